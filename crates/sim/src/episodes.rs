//! What goes wrong in a plan, in episodes that begin and end?
//!
//! Any number of replicas is hit by what a disk should survive. What none can survive hits at most f replicas, together with
//! the traitors: such a replica may have forgotten what it promised.

use std::collections::BTreeSet;

use crate::disk::Part;
use crate::faults::{Fault, Operation, TimedFault};
use crate::plan::liars_max;
use crate::stream::Stream;

/// Until when clients are busy in most runs, in microseconds: what goes wrong begins before.
const BUSY_US: u64 = 100_000;
/// Longer than a view lasts without its primary, in microseconds.
const LONG_US: u64 = 200_000;

/// Draws the faults of a seed. The last one heals everything.
pub(crate) fn draw_faults(
    seed: u64,
    replicas: u16,
    heal_us: u64,
    traitors: BTreeSet<u16>,
) -> Vec<TimedFault> {
    let draw = |label| Episodes { random: Stream::new(seed, label), replicas, heal_us, faults: Vec::new() };
    let mut episodes = [draw("faults"), draw("laggards"), draw("disks"), draw("lost disks")];
    episodes[0].draw_network_and_crashes();
    episodes[1].draw_laggards();
    episodes[2].draw_disks();
    episodes[3].draw_lost_disks(traitors);
    let mut faults: Vec<TimedFault> = episodes.into_iter().flat_map(|episodes| episodes.faults).collect();
    faults.retain(|fault| fault.at_us < heal_us);
    faults.sort_by_key(|fault| fault.at_us);
    faults.push(TimedFault { at_us: heal_us, fault: Fault::Heal });
    faults
}

/// Draws what goes wrong around a user's test: cuts, crashes and what a disk survives. Every episode ends by itself.
pub(crate) fn draw_surroundings(seed: u64, replicas: u16) -> Vec<TimedFault> {
    let draw =
        |label| Episodes { random: Stream::new(seed, label), replicas, heal_us: 0, faults: Vec::new() };
    let mut episodes = [draw("faults"), draw("laggards"), draw("disks")];
    episodes[0].draw_network_and_crashes();
    episodes[1].draw_laggards();
    episodes[2].draw_disks();
    let mut faults: Vec<TimedFault> = episodes.into_iter().flat_map(|episodes| episodes.faults).collect();
    faults.sort_by_key(|fault| fault.at_us);
    faults
}

/// The replicas that are hit by what no disk can survive.
pub(crate) fn victims(faults: &[TimedFault]) -> BTreeSet<u16> {
    faults.iter().filter_map(|timed| timed.fault.victim()).collect()
}

struct Episodes {
    random: Stream,
    replicas: u16,
    heal_us: u64,
    faults: Vec<TimedFault>,
}

impl Episodes {
    fn draw_network_and_crashes(&mut self) {
        let count = self.random.pick(&[0, 1, 2, 2, 3]);
        for _ in 0..count {
            let (begin, end) = self.draw_span();
            match self.random.below(17) {
                0 | 1 => self.cut(begin, end),
                2 | 3 => self.partition(begin, end),
                4 => self.bridge(begin, end),
                5 => self.crash_all(begin, end),
                6..14 => self.crash_primary(begin, end),
                _ => self.crash_some(begin, end),
            }
        }
    }

    /// Somebody is cut off for so long that the others' logs begin above its own end, and maybe loses power while it
    /// catches up.
    fn draw_laggards(&mut self) {
        if !self.random.chance(400) {
            return;
        }
        let begin = self.random.between(1_000, 30_000);
        let end = begin + self.random.between(40_000, 300_000);
        let mut others = self.draw_order();
        let late = others.split_off(others.len() - 1);
        let laggard = late[0];
        self.push(begin, Fault::Partition { groups: vec![late, others] });
        self.push(end, Fault::Restore);
        if self.random.chance(500) {
            // While it fetches, or soon after it installed.
            let crash = end + self.random.between(1_000, 150_000);
            let after = self.random.between(1_000, 30_000);
            self.crash(laggard, crash, crash + after);
        }
        if self.random.chance(300) {
            // While it gathers or installs: its states' disk does little else.
            let operation = Operation::PowerLoss;
            let after = self.random.below(8);
            self.push(end, Fault::Disk { replica: laggard, part: Part::States, after, operation });
            self.push(end + LONG_US / 2, Fault::Restart(laggard));
        }
    }

    /// What a disk should survive.
    fn draw_disks(&mut self) {
        let count = self.random.pick(&[0, 0, 1, 1, 2, 3]);
        for _ in 0..count {
            let (begin, end) = self.draw_span();
            let replica = self.draw_replica();
            match self.random.below(12) {
                0..4 => self.fail_at(replica, begin, end, Operation::PowerLoss),
                4 => self.lose_power_everywhere(begin, end),
                5 => self.fail_at(replica, begin, end, Operation::Failure),
                6 => self.fail_at(replica, begin, end, Operation::Full),
                7 | 8 => {
                    let room = self.random.below(8_000);
                    self.push(begin, Fault::FillDisk { replica, room });
                    self.push(end, Fault::FreeDisk(replica));
                }
                9 => {
                    let slowness = self.random.pick(&[10, 30, 100]);
                    self.push(begin, Fault::SlowDisk { replica, slowness });
                    self.push(end, Fault::SlowDisk { replica, slowness: 1 });
                }
                _ => {
                    self.push(begin, Fault::Kill(replica));
                    let after = self.random.between(1_000, 60_000);
                    self.push(begin + after, Fault::Restart(replica));
                }
            }
        }
    }

    /// Something happens at one of the next operations of a replica's disk.
    fn fail_at(&mut self, replica: u16, begin: u64, end: u64, operation: Operation) {
        let (part, after) = self.draw_operation();
        self.push(begin, Fault::Disk { replica, part, after, operation });
        self.push(end, Fault::Restart(replica));
    }

    /// Each at another write or sync, so that every mixture of what was durable comes about.
    fn lose_power_everywhere(&mut self, begin: u64, end: u64) {
        for replica in self.draw_order() {
            self.fail_at(replica, begin, end, Operation::PowerLoss);
        }
    }

    /// What no disk can survive: its replica counts as faulty.
    fn draw_lost_disks(&mut self, traitors: BTreeSet<u16>) {
        let spare = liars_max(self.replicas).saturating_sub(traitors.len());
        if spare == 0 || !self.random.chance(500) {
            return;
        }
        let honest = self.draw_order().into_iter().filter(|replica| !traitors.contains(replica));
        let victims: Vec<u16> = honest.take(1 + self.random.index(spare)).collect();
        for replica in victims {
            let begin = self.random.between(5_000, self.heal_us * 3 / 4);
            let end = begin + self.random.between(5_000, 60_000);
            match self.random.below(6) {
                0 | 1 => {
                    let with_mark = self.random.chance(250);
                    self.push(begin, Fault::Crash(replica));
                    self.push(begin, Fault::Wipe { replica, with_mark });
                }
                2 => {
                    let earlier = self.random.below(begin);
                    self.push(earlier, Fault::TakeImage(replica));
                    self.push(begin, Fault::RollBack(replica));
                }
                3 => {
                    self.push(begin, Fault::Crash(replica));
                    let bit = self.random.draw() >> 16;
                    let part = self.random.pick(&[Part::Log, Part::States]);
                    self.push(begin, Fault::Flip { replica, part, bit });
                }
                4 => self.damage(replica, begin, Operation::Lost),
                _ => {
                    let place = self.random.draw() >> 16;
                    self.damage(replica, begin, Operation::Misdirected { place });
                }
            }
            self.push(end, Fault::Restart(replica));
        }
    }

    /// What the disk did wrong shows when its replica starts.
    fn damage(&mut self, replica: u16, crash: u64, operation: Operation) {
        let (part, after) = self.draw_operation();
        let earlier = crash - self.random.below(crash.min(20_000));
        self.push(earlier, Fault::Disk { replica, part, after, operation });
        self.push(crash, Fault::Crash(replica));
    }

    fn draw_operation(&mut self) -> (Part, u64) {
        let part = self.random.pick(&[Part::Log, Part::Log, Part::States]);
        (part, self.random.below(if part == Part::Log { 40 } else { 12 }))
    }

    fn draw_span(&mut self) -> (u64, u64) {
        let begin = self.random.between(2_000, BUSY_US);
        (begin, begin + self.random.between(20_000, 400_000))
    }

    fn push(&mut self, at_us: u64, fault: Fault) {
        self.faults.push(TimedFault { at_us, fault });
    }

    fn draw_replica(&mut self) -> u16 {
        u16::try_from(self.random.below(u64::from(self.replicas))).unwrap_or(0)
    }

    fn draw_order(&mut self) -> Vec<u16> {
        let mut order: Vec<u16> = (0..self.replicas).collect();
        self.random.shuffle(&mut order);
        order
    }

    fn cut(&mut self, begin: u64, end: u64) {
        for _ in 0..=self.random.below(3) {
            let (from, to) = (self.draw_replica(), self.draw_replica());
            if from != to {
                self.push(begin, Fault::Cut { from, to });
            }
        }
        self.push(end, Fault::Restore);
    }

    fn partition(&mut self, begin: u64, end: u64) {
        let mut left = self.draw_order();
        let size = 1 + self.random.index(left.len() - 1);
        let right = left.split_off(size);
        self.push(begin, Fault::Partition { groups: vec![left, right] });
        self.push(end, Fault::Restore);
    }

    fn bridge(&mut self, begin: u64, end: u64) {
        let mut left = self.draw_order();
        let bridge = left.pop().unwrap_or(0);
        let size = 1 + self.random.index(left.len() - 1);
        let right = left.split_off(size);
        self.push(begin, Fault::Bridge { bridge, left, right });
        self.push(end, Fault::Restore);
    }

    fn crash(&mut self, replica: u16, begin: u64, end: u64) {
        self.push(begin, Fault::Crash(replica));
        self.push(end, Fault::Restart(replica));
    }

    fn crash_all(&mut self, begin: u64, end: u64) {
        for replica in self.draw_order() {
            let (late, later) = (self.random.below(5_000), self.random.below(5_000));
            self.crash(replica, begin + late, end + later);
        }
    }

    /// The primaries of the first views are likely to be primary at that time.
    fn crash_primary(&mut self, begin: u64, end: u64) {
        let replica = self.random.pick(&[0, 0, 1]);
        self.crash(replica, begin, end + LONG_US);
    }

    fn crash_some(&mut self, begin: u64, end: u64) {
        let count = 1 + self.random.index(usize::from(self.replicas) - 1);
        for replica in self.draw_order().into_iter().take(count.min(1 + self.random.index(count))) {
            self.crash(replica, begin, end);
        }
    }
}
