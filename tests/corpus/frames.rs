//! Frames of AWS event streams, as a service sends them:
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>.

/// A frame with these headers, whose values are all strings.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(u8::try_from(name.len()).unwrap());
        block.extend(name.as_bytes());
        // The type of a string.
        block.push(7);
        block.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        block.extend(value.as_bytes());
    }
    let mut frame = Vec::new();
    frame.extend(u32::try_from(16 + block.len() + payload.len()).unwrap().to_be_bytes());
    frame.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
    frame.extend(crc(&frame).to_be_bytes());
    frame.extend(block);
    frame.extend(payload);
    frame.extend(crc(&frame).to_be_bytes());
    frame
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
