//! What does a link do to what it carries? Its shape, as data.

use std::time::Duration;

/// What a link does to datagrams in one direction. The default carries everything at once and unchanged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// How long every datagram takes. Timers are as coarse as a millisecond.
    pub latency: Duration,
    /// What some take longer, drawn evenly from zero to this. Datagrams stay in their order.
    pub jitter: Duration,
    /// The part of datagrams that is lost, from 0 to 1.
    pub loss: f64,
    /// The part that arrives twice.
    pub duplication: f64,
    /// The part that is held back by [`Shape::held_back`], so that later ones overtake it.
    pub reordering: f64,
    /// How much later a datagram comes that others overtake.
    pub held_back: Duration,
    /// The part in which one bit is flipped.
    pub corruption: f64,
    /// Most bytes in a second; more waits, and what would wait longer than [`QUEUE_MAX`] is lost. Without it there is no
    /// limit.
    pub bytes_per_second: Option<u64>,
    /// Whether nothing arrives at all.
    pub is_cut: bool,
}

impl Shape {
    /// Machines in one room: 0.5 ms, and hardly anything else.
    #[must_use]
    pub fn lan() -> Self {
        let (latency, jitter) = (Duration::from_micros(500), Duration::from_micros(200));
        Self { latency, jitter, bytes_per_second: Some(125_000_000), ..Self::default() }
    }

    /// Data centres on two continents: 40 ms each way, a little jitter and loss, 100 Mbit/s.
    #[must_use]
    pub fn wan() -> Self {
        Self {
            latency: Duration::from_millis(40),
            jitter: Duration::from_millis(5),
            loss: 0.001,
            bytes_per_second: Some(12_500_000),
            ..Self::default()
        }
    }

    /// A bad day: 30 ms with as much jitter, 3 % lost, 1 % twice, 5 % out of order, 10 Mbit/s.
    #[must_use]
    pub fn bad() -> Self {
        Self {
            latency: Duration::from_millis(30),
            jitter: Duration::from_millis(30),
            loss: 0.03,
            duplication: 0.01,
            reordering: 0.05,
            held_back: Duration::from_millis(20),
            bytes_per_second: Some(1_250_000),
            ..Self::default()
        }
    }

    /// A link on which nothing arrives.
    #[must_use]
    pub fn cut() -> Self {
        Self { is_cut: true, ..Self::default() }
    }
}

/// What a link did to datagrams in one direction since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Datagrams that came to it.
    pub came: u64,
    /// Datagrams that it handed on; one that arrives twice counts twice.
    pub went: u64,
    /// Datagrams that it lost, by its shape or because it was cut off.
    pub lost: u64,
    /// Datagrams that it lost because more came than its bandwidth carries.
    pub overflowed: u64,
    /// Datagrams that it handed on twice.
    pub duplicated: u64,
    /// Datagrams that it held back, so that others overtook them.
    pub held_back: u64,
    /// Datagrams in which it flipped a bit.
    pub corrupted: u64,
}

/// How long a datagram may wait for bandwidth before it is lost.
pub const QUEUE_MAX: Duration = Duration::from_millis(200);
