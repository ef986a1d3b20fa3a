#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let label = "application/vnd.amazon.eventstream";
    usage_fuzz::check(label, data);
    usage_fuzz::check(label, &usage_fuzz::frames(data));
});
