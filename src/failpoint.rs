//! Named places where a test can end the process at once, as a power cut would.
//!
//! Must never do anything in a release build, nor in a debug build unless `TRAILHOUND_FAILPOINT` asks for it:
//! `after_data_put:3` ends the process when it is there for the third time.

/// Every place, in the order in which an object on its way into the lake comes by.
pub const POINTS: [&str; 18] = [
    "received",
    "object_read",
    "before_data_put",
    "file_written",
    "file_synced",
    "file_placed",
    "directory_synced",
    "after_data_put",
    "before_log_put",
    "after_log_put",
    "before_checkpoint",
    "after_checkpoint",
    "committed",
    "before_acknowledge",
    "after_acknowledge",
    "before_index",
    "after_index_put",
    "after_index",
];

/// Passes a place, or ends the process there.
#[cfg(debug_assertions)]
pub fn pass(point: &str) {
    if armed::is_reached(point) {
        // No destructor runs, nothing is flushed.
        std::process::abort();
    }
}

/// Passes a place.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn pass(_point: &str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The place that ends the process, and how often it is still to be passed.
    struct Armed {
        point: String,
        left: AtomicU64,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    pub(super) fn is_reached(point: &str) -> bool {
        debug_assert!(super::POINTS.contains(&point), "`{point}` is not in the list");
        let armed = ARMED.get_or_init(|| parse(&std::env::var("TRAILHOUND_FAILPOINT").ok()?));
        armed
            .as_ref()
            .is_some_and(|armed| armed.point == point && armed.left.fetch_sub(1, Ordering::SeqCst) == 1)
    }

    fn parse(text: &str) -> Option<Armed> {
        let (point, count) = text.split_once(':').unwrap_or((text, "1"));
        let left = count.parse().ok().filter(|count| *count > 0)?;
        Some(Armed { point: point.to_owned(), left: AtomicU64::new(left) })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_place_may_come_with_a_number() {
            let check = |text: &str| parse(text).map(|armed| (armed.point, armed.left.into_inner()));
            assert_eq!(check("committed"), Some(("committed".to_owned(), 1)));
            assert_eq!(check("committed:3"), Some(("committed".to_owned(), 3)));
            assert_eq!((check("committed:0"), check("committed:x")), (None, None));
        }
    }
}
