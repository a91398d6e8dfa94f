//! How much may be queued, buffered and awaited? Every bound of an endpoint, with its default.

use std::time::Duration;

use crate::FrameLimits;

/// Bounds and timeouts of an endpoint. Start from [`Config::peers`] or [`Config::clients`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Most bytes in one frame. Both ends should agree: a larger frame closes the connection.
    pub limits: FrameLimits,
    /// Most frames queued for sending, per connection and lane.
    pub queue_frames_max: usize,
    /// Most bytes queued for sending, per connection and lane. One frame always fits.
    pub queue_bytes_max: usize,
    /// Most bytes that were received but whose [`Permit`](crate::Permit) still lives, per connection
    /// and lane. Each frame counts at least 256, so this bounds their number too. Beyond it the
    /// stream is not read, until a permit is dropped.
    pub inbound_bytes_max: usize,
    /// Most bytes that QUIC buffers per received stream before it is read.
    pub stream_window_bytes: u32,
    /// Most bytes that QUIC holds for sending, unacknowledged, per connection.
    pub send_window_bytes: u64,
    /// A handshake, and the opening of the lanes after it, must end within this time.
    pub handshake_timeout: Duration,
    /// A silent connection ends after this time.
    pub idle_timeout: Duration,
    /// Both ends send something at least this often. Well below the idle timeout.
    pub keep_alive: Duration,
    /// First delay before a lost connection is dialled again; it doubles up to `reconnect_max`.
    pub reconnect_min: Duration,
    /// Longest delay before a lost connection is dialled again.
    pub reconnect_max: Duration,
    /// Most incoming handshakes under way. From half of it on, strangers must prove their address.
    pub handshakes_pending_max: usize,
    /// Most incoming connections, handshakes included.
    pub connections_max: usize,
    /// Most incoming connections of one client key.
    pub connections_per_key_max: usize,
}

impl Config {
    /// Defaults between replicas: few connections, large frames, a dead peer is noticed in seconds.
    #[must_use]
    pub fn peers() -> Self {
        Self {
            limits: FrameLimits::default(),
            queue_frames_max: 8192,
            queue_bytes_max: 64 << 20,
            inbound_bytes_max: 32 << 20,
            stream_window_bytes: 8 << 20,
            send_window_bytes: 16 << 20,
            handshake_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(1),
            reconnect_min: Duration::from_millis(10),
            reconnect_max: Duration::from_secs(1),
            handshakes_pending_max: 128,
            connections_max: 256,
            connections_per_key_max: usize::MAX,
        }
    }

    /// Defaults between clients and replicas: many connections, each with little memory.
    #[must_use]
    pub fn clients() -> Self {
        Self {
            queue_frames_max: 4096,
            queue_bytes_max: 16 << 20,
            inbound_bytes_max: 4 << 20,
            stream_window_bytes: 1 << 20,
            send_window_bytes: 4 << 20,
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(3),
            connections_max: 4096,
            connections_per_key_max: 64,
            ..Self::peers()
        }
    }
}
