#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let encodings = ["gzip", "deflate", "br", "zstd", "gzip, gzip", "br, gzip, zstd", "none"];
    usage_fuzz::survive(encodings[usize::from(*first) % encodings.len()], body);
});
