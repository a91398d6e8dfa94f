//! How long before something is sent again? Follows measured round trips (rule R2).

use std::time::Duration;

/// Longest wait between two transmissions of one bundle, however often it was sent.
pub(super) const RETRY_MAX: Duration = Duration::from_secs(4);
/// Shortest wait, so that a setting of zero does not send without end.
const RETRY_FLOOR: Duration = Duration::from_millis(1);

/// Smoothed round trips from sending a bundle to its first answer, and their deviation.
#[derive(Debug)]
pub(super) struct Pace {
    timeout_min: Duration,
    measured: Option<(Duration, Duration)>,
}

impl Pace {
    pub(super) fn new(retry_min: Duration) -> Self {
        Self { timeout_min: retry_min.clamp(RETRY_FLOOR, RETRY_MAX), measured: None }
    }

    /// Takes one round trip into account. It counts as twice the present timeout at most, so that
    /// one outage does not slow the client down for long, while a slow cluster is still followed.
    pub(super) fn measure(&mut self, round_trip: Duration) {
        let round_trip = round_trip.min(self.timeout() * 2);
        self.measured = Some(match self.measured {
            None => (round_trip, round_trip / 2),
            Some((mean, deviation)) => {
                let off = mean.abs_diff(round_trip);
                ((mean * 7 + round_trip) / 8, (deviation * 3 + off) / 4)
            }
        });
    }

    /// The wait before the first retransmission.
    pub(super) fn timeout(&self) -> Duration {
        let expected = self.measured.map_or(Duration::ZERO, |(mean, deviation)| mean + deviation * 4);
        expected.clamp(self.timeout_min, RETRY_MAX)
    }

    /// The wait after so many retransmissions: doubles up to [`RETRY_MAX`].
    pub(super) fn backoff(&self, resends: u32) -> Duration {
        self.timeout().saturating_mul(1 << resends.min(16)).min(RETRY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_timeout_follows_round_trips_but_never_falls_below_its_setting() {
        let mut pace = Pace::new(ms(20));
        assert_eq!(pace.timeout(), ms(20));
        (0..100).for_each(|_| pace.measure(ms(1)));
        assert_eq!(pace.timeout(), ms(20));
        (0..100).for_each(|_| pace.measure(ms(300)));
        assert!((ms(300)..ms(330)).contains(&pace.timeout()), "{:?}", pace.timeout());
        (0..100).for_each(|_| pace.measure(ms(1)));
        assert_eq!(pace.timeout(), ms(20));
    }

    #[test]
    fn one_outage_moves_the_timeout_little() {
        let mut pace = Pace::new(ms(20));
        (0..100).for_each(|_| pace.measure(ms(10)));
        pace.measure(ms(60_000));
        assert!(pace.timeout() < ms(60), "{:?}", pace.timeout());
    }

    #[test]
    fn waits_double_up_to_a_cap_and_are_never_zero() {
        let pace = Pace::new(ms(100));
        assert_eq!([0, 1, 2, 3].map(|resends| pace.backoff(resends)), [ms(100), ms(200), ms(400), ms(800)]);
        assert_eq!(pace.backoff(u32::MAX), RETRY_MAX);
        assert!(Pace::new(Duration::ZERO).timeout() > Duration::ZERO);
        assert_eq!(Pace::new(Duration::MAX).timeout(), RETRY_MAX);
    }
}
