//! The inflater of SPDY's header blocks.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pluglet_spdy::fuzzing::headers(bytes));
