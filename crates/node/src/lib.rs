//! Drives replicas and clients for real: clock, store, transport, verifier pool, executor.
