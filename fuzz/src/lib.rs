//! The entry points of all fuzz targets, so that tests on a stable compiler run the same code.

pub mod entries;
pub mod record_entry;
