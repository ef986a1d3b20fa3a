#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for label in [
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/connect+json",
        "application/connect+proto",
    ] {
        usage_fuzz::check(label, data);
        usage_fuzz::check(label, &usage_fuzz::envelopes(data));
    }
});
