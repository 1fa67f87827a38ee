//! Queries of exec, port-forward and logs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pluglet::fuzzing::query(bytes));
