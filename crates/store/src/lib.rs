//! The replica's log: records, framing and recovery above an engine.
