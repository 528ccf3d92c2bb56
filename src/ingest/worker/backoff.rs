//! How long to wait before trying again.

use std::time::Duration;

use rand::Rng;

/// Waits that double, up to a longest one, each shortened by up to a half so that many do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after failed attempt number `attempt`, from 1.
    pub fn after(&self, attempt: u32) -> Duration {
        self.longest_after(attempt).mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn longest_after(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.checked_pow(attempt.saturating_sub(1));
        doubled
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.longest, |wait| wait.min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff { first: Duration::from_secs(30), longest: Duration::from_mins(15) };
        for (attempt, seconds) in [(0, 30), (1, 30), (2, 60), (5, 480), (6, 900), (40, 900), (u32::MAX, 900)]
        {
            let longest = Duration::from_secs(seconds);
            assert_eq!(backoff.longest_after(attempt), longest, "{attempt}");
            let wait = backoff.after(attempt);
            assert!(longest / 2 <= wait && wait <= longest, "{attempt}: {wait:?}");
        }
    }
}
