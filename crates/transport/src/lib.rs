//! Authenticated, bounded channels over QUIC.
