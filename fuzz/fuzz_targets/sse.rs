#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| usage_fuzz::check("text/event-stream", body));
