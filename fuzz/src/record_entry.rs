//! Does any log entry make the reader of the log panic, or read as something else than it says?

use quorate_consensus::Record;

/// An entry of the log.
pub fn record(data: &[u8]) {
    let frame = crate::entries::frame(data);
    if let Ok(record) = Record::decode(&frame) {
        assert_eq!(record.encode(), frame, "one record has one encoding");
    }
}
