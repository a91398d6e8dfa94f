//! When does a datagram arrive, and how? One direction of a link, without sockets or a clock of its own.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::shape::{LinkCounters, QUEUE_MAX, Shape};

/// One direction of a link, and what is under way on it.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) shape: Shape,
    pub(super) counters: LinkCounters,
    random: StdRng,
    /// When all that came is sent, at the link's bandwidth.
    sent_at: Instant,
    /// When the last datagram arrives that is not held back.
    last: Instant,
    under_way: BTreeMap<(Instant, u64), Vec<u8>>,
    /// Keeps datagrams of one time in order.
    sequence: u64,
}

impl Wire {
    pub(super) fn new(shape: Shape, seed: u64, now: Instant) -> Self {
        Self {
            shape,
            counters: LinkCounters::default(),
            random: StdRng::seed_from_u64(seed),
            sent_at: now,
            last: now,
            under_way: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Takes a datagram.
    pub(super) fn put(&mut self, now: Instant, datagram: &[u8]) {
        self.counters.came += 1;
        if self.shape.is_cut || self.happens(self.shape.loss) {
            self.counters.lost += 1;
            return;
        }
        let Some(sent_at) = self.sent_at(now, datagram.len()) else {
            self.counters.overflowed += 1;
            return;
        };
        let mut datagram = datagram.to_vec();
        if self.happens(self.shape.corruption) && !datagram.is_empty() {
            let bit = self.random.random_range(0..datagram.len() * 8);
            datagram[bit / 8] ^= 1 << (bit % 8);
            self.counters.corrupted += 1;
        }
        let copies = if self.happens(self.shape.duplication) { 2 } else { 1 };
        self.counters.duplicated += copies - 1;
        for _ in 0..copies {
            let arrives = self.arrives(sent_at);
            self.sequence += 1;
            self.under_way.insert((arrives, self.sequence), datagram.clone());
        }
    }

    /// The next datagram that has arrived.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Vec<u8>> {
        let entry = self.under_way.first_entry()?;
        let datagram = (entry.key().0 <= now).then(|| entry.remove())?;
        self.counters.went += 1;
        Some(datagram)
    }

    /// When the next datagram arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((due, _), _)| *due)
    }

    /// When it has left, or nothing if it would have to wait for too long.
    fn sent_at(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = self.shape.bytes_per_second else { return Some(now) };
        let begins = self.sent_at.max(now);
        if begins - now > QUEUE_MAX {
            return None;
        }
        self.sent_at = begins + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        Some(self.sent_at)
    }

    fn arrives(&mut self, sent_at: Instant) -> Instant {
        let jitter = self.shape.jitter.mul_f64(self.random.random_range(0.0..=1.0));
        let arrives = sent_at + self.shape.latency + jitter;
        if self.happens(self.shape.reordering) {
            self.counters.held_back += 1;
            return arrives + self.shape.held_back;
        }
        self.last = self.last.max(arrives);
        self.last
    }

    fn happens(&mut self, part: f64) -> bool {
        self.random.random_range(0.0..1.0) < part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u64 = 10_000;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// What arrives of so many numbered datagrams, one each millisecond, and when.
    fn run(shape: Shape, seed: u64) -> (Wire, Vec<(u64, Duration)>) {
        let start = Instant::now();
        let (mut wire, mut arrived) = (Wire::new(shape, seed, start), Vec::new());
        for number in 0..COUNT {
            wire.put(start + ms(number), &number.to_be_bytes());
            while let Some(due) = wire.due() {
                let Some(datagram) = wire.pop(start + ms(number)) else { break };
                arrived.push((number_of(&datagram), due - start));
            }
        }
        while let Some(due) = wire.due() {
            let datagram = wire.pop(due).expect("it is due");
            arrived.push((number_of(&datagram), due - start));
        }
        (wire, arrived)
    }

    fn number_of(datagram: &[u8]) -> u64 {
        u64::from_be_bytes(datagram.try_into().expect("nothing is cut short"))
    }

    #[test]
    fn the_default_changes_nothing() {
        let (wire, arrived) = run(Shape::default(), 1);
        assert!(
            arrived
                .iter()
                .enumerate()
                .all(|(at, (number, time))| (at as u64, ms(*number)) == (*number, *time))
        );
        assert_eq!(wire.counters, LinkCounters { came: COUNT, went: COUNT, ..LinkCounters::default() });
    }

    #[test]
    fn latency_and_jitter_keep_the_order() {
        let (_, arrived) = run(Shape { latency: ms(40), jitter: ms(5), ..Shape::default() }, 2);
        assert_eq!(arrived.len() as u64, COUNT);
        assert!(arrived.is_sorted());
        let took = |(number, time): &(u64, Duration)| *time - ms(*number);
        assert!(arrived.iter().all(|one| (ms(40)..=ms(45)).contains(&took(one))));
        assert!(arrived.iter().any(|one| took(one) > ms(43)));
    }

    #[test]
    fn parts_are_lost_doubled_overtaken_and_flipped_as_often_as_is_said() {
        let shape = Shape {
            loss: 0.1,
            duplication: 0.1,
            reordering: 0.1,
            held_back: ms(5),
            corruption: 0.1,
            ..Shape::default()
        };
        let (wire, arrived) = run(shape.clone(), 3);
        let counters = wire.counters;
        let (tenth, left) = (COUNT / 10, COUNT * 9 / 10);
        assert!(counters.lost.abs_diff(tenth) < 150, "{counters:?}");
        assert!(counters.duplicated.abs_diff(left / 10) < 150, "{counters:?}");
        assert!(counters.corrupted.abs_diff(left / 10) < 150, "{counters:?}");
        assert!(counters.held_back.abs_diff((left + counters.duplicated) / 10) < 150, "{counters:?}");
        assert_eq!(counters.went, counters.came - counters.lost + counters.duplicated);
        assert!(!arrived.is_sorted());
        assert_eq!(run(shape.clone(), 3).1, arrived, "a seed says it all");
        assert_ne!(run(shape, 4).1, arrived);
    }

    #[test]
    fn a_flipped_bit_is_one() {
        let start = Instant::now();
        let mut wire = Wire::new(Shape { corruption: 1.0, ..Shape::default() }, 5, start);
        wire.put(start, &[0; 100]);
        let datagram = wire.pop(start).expect("it arrives");
        assert_eq!(datagram.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    }

    #[test]
    fn bandwidth_is_shared_out_and_what_waits_too_long_is_lost() {
        // A datagram has 8 bytes, and comes each millisecond: half of them fit.
        let (wire, arrived) = run(Shape { bytes_per_second: Some(4000), ..Shape::default() }, 6);
        let counters = wire.counters;
        assert!(counters.overflowed.abs_diff(COUNT / 2) < 200, "{counters:?}");
        assert!(arrived.iter().all(|(number, time)| *time - ms(*number) <= QUEUE_MAX + ms(4)));
    }

    #[test]
    fn a_cut_loses_everything_until_it_is_healed() {
        let start = Instant::now();
        let mut wire = Wire::new(Shape::cut(), 7, start);
        wire.put(start, &[1]);
        wire.shape = Shape::default();
        wire.put(start, &[2]);
        assert_eq!((wire.pop(start), wire.pop(start)), (Some(vec![2]), None));
        assert_eq!(wire.counters.lost, 1);
    }
}
