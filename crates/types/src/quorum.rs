//! How many is enough? The only module that compares counts of replicas.
//!
//! n = 3f+1 or more; f = (n-1)/3; t = min(f, (n-3f+1)/2).
//! Q = n-f is a quorum, F = n-t a fast quorum, W = f+1 a weak quorum (at least one member of it is
//! honest) and S = n-t-2f+1 the support that a claimed block needs when its primary equivocated.

/// The smallest cluster that survives a lie.
pub const REPLICAS_MIN: usize = 4;
/// The largest cluster that identifiers and limits are made for.
pub const REPLICAS_MAX: usize = 128;

/// The thresholds of a cluster of n replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorums {
    n: usize,
    f: usize,
    t: usize,
}

impl Quorums {
    /// The thresholds for `n` replicas; `None` unless `n` is between [`REPLICAS_MIN`] and
    /// [`REPLICAS_MAX`].
    #[must_use]
    pub fn new(n: usize) -> Option<Self> {
        if !(REPLICAS_MIN..=REPLICAS_MAX).contains(&n) {
            return None;
        }
        let f = (n - 1) / 3;
        let t = f.min((n - 3 * f).div_ceil(2));
        Some(Self { n, f, t })
    }

    /// Number of replicas.
    #[must_use]
    pub const fn n(&self) -> usize {
        self.n
    }
    /// Number of faulty replicas that the cluster survives.
    #[must_use]
    pub const fn f(&self) -> usize {
        self.f
    }
    /// Q: any two quorums share an honest replica.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        self.n - self.f
    }
    /// F: this many votes commit in one round.
    #[must_use]
    pub const fn fast(&self) -> usize {
        self.n - self.t
    }
    /// W: one of this many is honest.
    #[must_use]
    pub const fn weak(&self) -> usize {
        self.f + 1
    }
    /// S: claims that a block needs among a quorum's claims when the primary equivocated.
    #[must_use]
    pub const fn support(&self) -> usize {
        self.n - self.t + 1 - 2 * self.f
    }
    /// Whether votes alone commit as soon as a quorum does, so that commit votes are only needed
    /// for the first block of a view (F = Q).
    #[must_use]
    pub const fn is_fast_always(&self) -> bool {
        self.fast() == self.quorum()
    }

    /// The greatest value that at least `count` of the values reach; `None` if there are fewer.
    #[must_use]
    pub fn reached_by<T: Ord + Copy>(count: usize, values: impl Iterator<Item = T>) -> Option<T> {
        let mut values: Vec<T> = values.collect();
        let position = values.len().checked_sub(count)?;
        if count == 0 {
            return None;
        }
        values.sort_unstable();
        values.get(position).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_protocol() {
        let of = |n| {
            let q = Quorums::new(n).unwrap();
            (q.quorum(), q.fast(), q.support())
        };
        assert_eq!(of(4), (3, 3, 2));
        assert_eq!(of(7), (5, 6, 3));
        assert_eq!(of(10), (7, 9, 4));
        assert_eq!(of(31), (21, 30, 11));
        assert!(Quorums::new(3).is_none());
        assert!(Quorums::new(REPLICAS_MAX + 1).is_none());
    }

    #[test]
    fn intersections_hold_for_every_size() {
        for n in REPLICAS_MIN..=REPLICAS_MAX {
            let q = Quorums::new(n).unwrap();
            let (f, t) = (q.f(), n - q.fast());
            assert!(n > 3 * f, "n = {n}");
            assert!(n >= 3 * f + 2 * t - 1, "n = {n}");
            // Two quorums share an honest replica.
            assert!(2 * q.quorum() - n >= q.weak(), "n = {n}");
            // With the equivocating primary out of the certificate at least S of the honest fast
            // voters are among its signers, and those who oppose them are fewer than S.
            let honest_supporters = (q.fast() + q.quorum()).saturating_sub(n + f - 1);
            assert!(honest_supporters >= q.support(), "n = {n}");
            assert!(q.quorum() - honest_supporters < q.support(), "n = {n}");
            // A claim with support has an honest member behind it.
            assert!(q.support() > f.saturating_sub(1), "n = {n}");
        }
    }

    #[test]
    fn reached_by_counts_from_the_top() {
        assert_eq!(Quorums::reached_by(3, [5, 1, 9, 7].into_iter()), Some(5));
        assert_eq!(Quorums::reached_by(5, [5, 1, 9, 7].into_iter()), None);
        assert_eq!(Quorums::reached_by(0, [5].into_iter()), None);
    }
}
