//! The state machine that a user replicates, and its erased form.
