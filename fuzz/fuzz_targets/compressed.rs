#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let encodings = ["gzip", "deflate", "br", "zstd"];
    usage_fuzz::survive(encodings[usize::from(*first) % 4], body);
});
