//! Prefixes that are listed ahead of their turn, side by side, and given out in their order.
//!
//! Must never hold more than a few pages of each.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::Error;
use super::super::listing::Found;
use super::requests::{Next, Requests};

/// How many pages of one prefix wait for their turn.
const PAGES_AHEAD: usize = 3;

/// Prefixes with the place of each in the order, and where each is begun.
pub(super) struct Ahead<T> {
    requests: Arc<Requests>,
    /// How many prefixes are begun ahead.
    most: usize,
    waiting: VecDeque<(T, String, Next)>,
    begun: VecDeque<(T, Pages)>,
}

/// The pages of a prefix, as they come.
type Pages = mpsc::Receiver<Result<Vec<Found>, Error>>;

impl<T: Copy + PartialEq> Ahead<T> {
    pub(super) fn new(requests: &Arc<Requests>, most: usize, prefixes: VecDeque<(T, String, Next)>) -> Self {
        Ahead { requests: Arc::clone(requests), most, waiting: prefixes, begun: VecDeque::new() }
    }

    /// The next page of the first prefixes as long as they are of this place; none when they are through.
    pub(super) async fn next(&mut self, place: T) -> Option<Result<Vec<Found>, Error>> {
        loop {
            while self.begun.len() < self.most {
                let Some((place, prefix, first)) = self.waiting.pop_front() else { break };
                self.begun.push_back((place, self.begin(prefix, first)));
            }
            let (first, pages) = self.begun.front_mut()?;
            if *first != place {
                return None;
            }
            if let Some(page) = pages.recv().await {
                return Some(page);
            }
            self.begun.pop_front();
        }
    }

    /// Lists a prefix until nobody waits for its pages any more.
    fn begin(&self, prefix: String, first: Next) -> mpsc::Receiver<Result<Vec<Found>, Error>> {
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let requests = Arc::clone(&self.requests);
        tokio::spawn(async move {
            let mut next = first;
            loop {
                let (objects, more) = match requests.page(&prefix, false, next).await {
                    Ok(page) => (Ok(page.objects), page.next),
                    Err(error) => (Err(error), None),
                };
                if sender.send(objects).await.is_err() {
                    return;
                }
                let Some(more) = more else { return };
                next = more;
            }
        });
        receiver
    }
}
