//! How many is enough? Derived again from the protocol's definitions, because an oracle never
//! calls the code that it judges.

/// The thresholds of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Replicas.
    pub n: u32,
    /// Faulty replicas that the cluster survives.
    pub f: u32,
    /// Q.
    pub quorum: u32,
    /// F.
    pub fast: u32,
    /// W.
    pub weak: u32,
    /// S.
    pub support: u32,
}

impl Thresholds {
    /// The thresholds for `n` replicas, at least four.
    #[must_use]
    pub fn of(n: usize) -> Self {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        // The greatest f with n >= 3f + 1, found by search.
        let f = (0..n).take_while(|f| 3 * f < n).last().unwrap_or(0);
        // The greatest t <= f with n >= 3f + 2t - 1.
        let t = (0..=f).take_while(|t| n + 1 >= 3 * f + 2 * t).last().unwrap_or(0);
        Self { n, f, quorum: n - f, fast: n - t, weak: f + 1, support: n - t - 2 * f + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_protocol() {
        let of = |n| {
            let t = Thresholds::of(n);
            (t.quorum, t.fast, t.support)
        };
        assert_eq!((of(4), of(7)), ((3, 3, 2), (5, 6, 3)));
        assert_eq!((of(10), of(31)), ((7, 9, 4), (21, 30, 11)));
    }
}
