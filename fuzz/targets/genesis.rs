//! A genesis file as an operator may write it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quorate_fuzz::entries::genesis(data));
