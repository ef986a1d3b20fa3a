//! Whether a word after the name of a secret is the secret, or the next word of a sentence.

/// How sure it is that a secret follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// After a word of many sentences: `token`, `password`.
    Weak,
    /// After a name that means little else: `api key`, `bearer token`.
    Strong,
}

/// Whether the word looks generated, and not written.
///
/// `expired`, `Expired`, `OAuth`, `sign-in`, `1,500`, `4096ms` and `3/5` are words of sentences.
pub(super) fn is_opaque(word: &str, suspicion: Suspicion) -> bool {
    // As Base64 does.
    let is_padded = word.trim_end_matches(['"', '\'', ',', '.']).ends_with('=');
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    if word.contains("://") || word.contains(['=', '(', ')']) {
        return false;
    }
    let (mut letters, mut digits, mut others, mut turns) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut was_upper = None;
    for c in word.chars() {
        if c.is_ascii_digit() {
            digits += 1;
        } else if c.is_alphabetic() {
            letters += 1;
            turns += usize::from(was_upper == Some(!c.is_uppercase()));
            was_upper = Some(c.is_uppercase());
        } else {
            others += usize::from(matches!(c, '_' | '+' | '.' | '~'));
        }
    }
    // `Expired` turns once.
    let turns = turns.saturating_sub(usize::from(word.starts_with(char::is_uppercase)));
    let is_quantity = word.starts_with(|c: char| c.is_ascii_digit()) && letters <= 3;
    let is_mixed = letters > 0 && digits > 0 && !is_quantity;
    match suspicion {
        Suspicion::Strong => {
            is_mixed
                || letters > 0 && others > 0
                || turns > 2
                || turns > 0 && is_padded
                || letters + digits >= 24 && !word.contains('-')
                || letters == 0 && digits >= 8
        }
        Suspicion::Weak => {
            word.len() >= 6 && is_mixed
                || word.len() >= 12 && turns * 3 >= letters
                || letters + digits >= 24 && !word.contains(['-', '/', '_', '.'])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Suspicion::{Strong, Weak};
    use super::is_opaque;

    #[test]
    fn words_of_sentences_are_not_opaque() {
        for word in [
            "expired",
            "Expired.",
            "OAuth",
            "GitHub",
            "sign-in",
            "1,500",
            "4096ms",
            "3/5",
            "§",
            "é",
            "(os",
            "https://example.com/a1b2c3d4",
            "scope=read1234",
            "12:30",
            "user's",
        ] {
            assert!(!is_opaque(word, Strong), "{word}");
            assert!(!is_opaque(word, Weak), "{word}");
        }
        for word in ["max_tokens", "config.yaml", "ExpiredTokenException", "v2", "12345678"] {
            assert!(!is_opaque(word, Weak), "{word}");
        }
    }

    #[test]
    fn generated_words_are_opaque() {
        for word in ["hunter2", "s3cr3tvalue", "\"a1b2c3d4\",", "aGVsbG9Xb3JsZA==", "qXbYcZdWeVfU"]
        {
            assert!(is_opaque(word, Strong), "{word}");
            assert!(is_opaque(word, Weak), "{word}");
        }
        for word in ["abc.def", "x_y", "dXNlcjpwdw==", "aBcD", "a1", "12345678", &"q".repeat(24)] {
            assert!(is_opaque(word, Strong), "{word}");
        }
    }
}
