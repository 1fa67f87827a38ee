//! The framer of SPDY.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pluglet_spdy::fuzzing::frames(bytes));
