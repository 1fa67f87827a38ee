//! Messages of WebSockets and their channels.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pluglet::fuzzing::websocket(bytes));
