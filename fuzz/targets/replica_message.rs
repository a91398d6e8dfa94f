//! What a client receives from a replica.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::entries::replica_message(data));
