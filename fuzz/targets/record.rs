//! An entry of the log as it may lie on a damaged disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::record_entry::record(data));
