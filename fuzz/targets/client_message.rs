//! What a replica receives from a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::entries::client_message(data));
