//! Delivering alerts: what is pending in the lake goes to its sinks, and the lake remembers how it went.
//!
//! At least once: an alert is marked after the sink took it, so a crash in between sends it again with the same id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::sinks::{self, Sink};
use super::table::{self, AlertTable, Change, Delivery, DeliveryState, Stored};
use crate::lake::{self, Lake};

/// Alerts delivered before the lake is told: a crash repeats at most so many.
const MARK_EVERY: usize = 20;

/// What a round of deliveries did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Round {
    /// Deliveries made.
    pub delivered: usize,
    /// Deliveries that failed and will be tried again.
    pub postponed: usize,
    /// Deliveries that will never be taken.
    pub refused: usize,
    /// Deliveries still to be made, due or not.
    pub pending: usize,
}

/// Delivers everything that is pending and due, oldest first.
///
/// After the first failure of a sink its other alerts wait: a sink that is down is asked once a round.
pub async fn deliver_pending(lake: &Lake, sinks: &[Box<dyn Sink>]) -> Result<Round, lake::Error> {
    let table = AlertTable::new(lake);
    let mut alerts = table.all().await?;
    alerts.reverse();
    let mut round = Round::default();
    for sink in sinks {
        let now = lake.clock().now();
        round.pending += alerts.iter().filter(|stored| is_pending(stored, sink.name())).count();
        let due = alerts.iter().filter(|stored| is_due(stored, sink.name(), now));
        let mut marks: Vec<(String, Option<NaiveDate>, Delivery)> = Vec::new();
        for stored in due {
            let delivery = attempt(sink.as_ref(), stored, now).await;
            match delivery.state {
                DeliveryState::Delivered => round.delivered += 1,
                DeliveryState::Refused => round.refused += 1,
                DeliveryState::Pending => round.postponed += 1,
            }
            let failed = delivery.state == DeliveryState::Pending;
            marks.push((stored.alert.alert_id.clone(), table::day_of(stored.alert.window_start), delivery));
            if marks.len() >= MARK_EVERY {
                mark(&table, sink.name(), std::mem::take(&mut marks)).await?;
            }
            if failed {
                break;
            }
        }
        mark(&table, sink.name(), marks).await?;
    }
    round.pending -= round.delivered + round.refused;
    Ok(round)
}

fn is_pending(stored: &Stored, sink: &str) -> bool {
    stored.deliveries.get(sink).is_some_and(|delivery| delivery.state == DeliveryState::Pending)
}

fn is_due(stored: &Stored, sink: &str, now: DateTime<Utc>) -> bool {
    stored.deliveries.get(sink).is_some_and(|delivery| {
        delivery.state == DeliveryState::Pending && delivery.not_before.is_none_or(|time| time <= now)
    })
}

async fn attempt(sink: &dyn Sink, stored: &Stored, now: DateTime<Utc>) -> Delivery {
    let attempts = stored.deliveries.get(sink.name()).map_or(0, |delivery| delivery.attempts);
    let result = sink.deliver(&stored.alert).await;
    let mut delivery = Delivery { attempts: attempts.saturating_add(1), ..Delivery::pending() };
    match result {
        Ok(()) => delivery.state = DeliveryState::Delivered,
        Err(sinks::Error::Retry { after, reason, .. }) => {
            let seed =
                stored.alert.alert_id.bytes().fold(0_u64, |seed, byte| seed.rotate_left(5) ^ u64::from(byte));
            let wait = after.unwrap_or(Duration::ZERO).max(sinks::backoff(attempts, seed));
            delivery.not_before = Some(now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::hours(1)));
            tracing::warn!(
                sink = sink.name(),
                alert = stored.alert.alert_id,
                reason,
                "alert not delivered; it will be tried again"
            );
            delivery.last_error = Some(reason);
        }
        Err(error) => {
            tracing::error!(sink = sink.name(), alert = stored.alert.alert_id, %error, "alert refused; it stays in the `alerts` table");
            delivery.state = DeliveryState::Refused;
            delivery.last_error = Some(error.to_string());
        }
    }
    delivery
}

async fn mark(
    table: &AlertTable<'_>,
    sink: &str,
    marks: Vec<(String, Option<NaiveDate>, Delivery)>,
) -> Result<(), lake::Error> {
    if marks.is_empty() {
        return Ok(());
    }
    let days: BTreeSet<Option<NaiveDate>> = marks.iter().map(|(_, day, _)| *day).collect();
    let marks: BTreeMap<String, Delivery> =
        marks.into_iter().map(|(id, _, delivery)| (id, delivery)).collect();
    let change = Change { days, progress: Vec::new() };
    let edit = |stored: &mut BTreeMap<String, Stored>, _: &[Option<i64>]| {
        for (id, delivery) in &marks {
            let entry = stored.get_mut(id).and_then(|stored| stored.deliveries.get_mut(sink));
            // Another process may have delivered it meanwhile.
            if let Some(entry) = entry.filter(|entry| entry.state == DeliveryState::Pending) {
                *entry = delivery.clone();
            }
        }
        Some(((), Vec::new()))
    };
    table.change(change, edit).await?;
    Ok(())
}
