//! The replica's and the client's protocol machines: pure, deterministic, without I/O.
