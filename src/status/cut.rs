//! Texts that are cut to a number of bytes, between two characters.

/// The beginning of a text: as many whole characters as this number of bytes holds.
///
/// As `str::floor_char_boundary`, which needs Rust 1.91.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Cuts a text to this many bytes, with an ellipsis at its end.
pub(super) fn shorten(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(cut(text, max.saturating_sub('…'.len_utf8())).len());
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        for (max, expected) in
            [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (5, "aé"), (7, "aé🦀"), (9, "aé🦀")]
        {
            assert_eq!(cut("aé🦀", max), expected, "{max}");
        }
        for (max, expected) in [(7, "aé🦀"), (6, "aé…"), (5, "a…"), (4, "a…"), (3, "…")]
        {
            let mut text = "aé🦀".to_owned();
            shorten(&mut text, max);
            assert_eq!(text, expected, "{max}");
        }
    }
}
