//! [`CallError`], [`Outcome`] and [`ErrorMessage`]: what is said of a failure, short and
//! without secrets.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The agent answered, and reported no failure.
    Success,
    /// The agent failed, or nobody waited for its answer.
    Error(CallError),
}

/// How an agent failed: a class to group by and a short message to read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallError {
    /// A class of few values: `cancelled`, `timeout`, `transport`, `http_500`,
    /// `agent` (reported inside a 200), `incomplete` (a stream that broke off),
    /// `workflow_ended`.
    pub class: Cow<'static, str>,
    /// What happened, in at most [`ErrorMessage::MAX_BYTES`] bytes.
    pub message: ErrorMessage,
}

impl CallError {
    /// An error of this class with this message, which is shortened and redacted.
    pub fn new(class: impl Into<Cow<'static, str>>, message: impl fmt::Display) -> Self {
        Self { class: class.into(), message: ErrorMessage::new(message) }
    }

    /// A failure of the transport. All that is known of it is what it says.
    pub(crate) fn transport(error: &dyn fmt::Display) -> Self {
        let message = ErrorMessage::new(error);
        let text = message.as_str().to_ascii_lowercase();
        let is_timeout = ["timed out", "timeout", "time out", "deadline has elapsed"]
            .iter()
            .any(|words| text.contains(words));
        Self { class: if is_timeout { "timeout" } else { "transport" }.into(), message }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

/// A text about a failure that is fit to be stored and shown.
///
/// There is no way to make one that was not shortened to
/// [`MAX_BYTES`](Self::MAX_BYTES) and redacted: of URLs the user information, the query
/// and the fragment go, and so do bearer and basic credentials, the values of
/// parameters named like secrets (`api_key=…`), and keys known by their shape (`sk-…`,
/// `AKIA…`, `AIza…`, `ghp_…`, JSON web tokens).
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorMessage(Box<str>);

impl ErrorMessage {
    /// The longest message kept, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 500;

    /// Shortens and redacts a text. Line breaks become spaces.
    pub fn new(text: impl fmt::Display) -> Self {
        let mut head = Head { text: String::new() };
        // The only error is the one `Head` gives to end a text that is long enough.
        let _ = write!(head, "{text}");
        let mut message = redact(&head.text);
        if message.len() > Self::MAX_BYTES {
            let end = message.floor_char_boundary(Self::MAX_BYTES - '…'.len_utf8());
            message.truncate(end);
            message.push('…');
        }
        Self(message.into_boxed_str())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ErrorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Takes the beginning of a text and stops its formatting there: an error may show
/// itself at any length.
struct Head {
    text: String,
}

impl Head {
    /// More than a message needs, so that a secret is seen whole before the cut.
    const MAX_BYTES: usize = 4096;
}

impl fmt::Write for Head {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let room = Self::MAX_BYTES - self.text.len();
        if piece.len() <= room {
            self.text.push_str(piece);
            return Ok(());
        }
        self.text.push_str(&piece[..piece.floor_char_boundary(room)]);
        Err(fmt::Error)
    }
}

const REDACTED: &str = "[redacted]";

/// What a word says about the word after it.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Plain,
    Secret,
    /// `Authorization:` announces a scheme, and the scheme announces the secret.
    SchemeThenSecret,
}

fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(ErrorMessage::MAX_BYTES + 64));
    let mut next = Next::Plain;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
        }
        next = match next {
            Next::SchemeThenSecret if is_scheme(word) => {
                out.push_str(word);
                Next::Secret
            }
            Next::Secret | Next::SchemeThenSecret => {
                out.push_str(REDACTED);
                Next::Plain
            }
            Next::Plain => {
                redact_word(word, &mut out);
                announces(word)
            }
        };
    }
    out
}

fn announces(word: &str) -> Next {
    let name = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if is_scheme(name) {
        return Next::Secret;
    }
    // `"x-api-key":` or `password =` at the end of a word speaks of the next one.
    let ends_as_name = word.trim_end_matches(['"', '\'']).ends_with([':', '=']);
    if !ends_as_name {
        Next::Plain
    } else if name.eq_ignore_ascii_case("authorization") {
        Next::SchemeThenSecret
    } else if is_secret_name(name) {
        Next::Secret
    } else {
        Next::Plain
    }
}

fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

fn is_secret_name(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "apikey",
        "xapikey",
        "key",
        "accesskey",
        "secretkey",
        "secretaccesskey",
        "awssecretaccesskey",
        "secret",
        "clientsecret",
        "password",
        "passwd",
        "accesstoken",
        "refreshtoken",
        "sessiontoken",
        "signature",
        "authorization",
    ];
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(24)
        .collect();
    NAMES.contains(&plain.as_str())
}

fn redact_word(word: &str, out: &mut String) {
    let word = &*without_url_secrets(word);
    // `name=value` and `"name":"value"` inside one word.
    if let Some(at) = word.find(['=', ':'])
        && is_secret_name(word[..at].rsplit(['&', ';', ',', '{', '(']).next().unwrap_or_default())
        && word[at + 1..].chars().any(char::is_alphanumeric)
    {
        out.push_str(&word[..=at]);
        out.push_str(REDACTED);
        return;
    }
    // A key by its shape, anywhere in the word.
    let mut rest = word;
    while let Some(start) = rest.find(is_key_char) {
        let run = &rest[start..];
        let run = &run[..run.find(|c| !is_key_char(c)).unwrap_or(run.len())];
        out.push_str(&rest[..start]);
        out.push_str(if is_key(run) { REDACTED } else { run });
        rest = &rest[start + run.len()..];
    }
    out.push_str(rest);
}

/// Cuts `user:password@` and all from `?` or `#` on out of a word that is, or holds, a URL.
fn without_url_secrets(word: &str) -> Cow<'_, str> {
    let ends_url = |c: char| matches!(c, '"' | '\'' | ')' | ']' | '>' | '}' | '`');
    let mut kept = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("://") {
        let start = at + "://".len();
        let end = rest[start..].find(ends_url).map_or(rest.len(), |end| start + end);
        let url = &rest[start..end];
        let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        let cut = url.find(['?', '#']).unwrap_or(url.len()).max(user);
        kept.push_str(&rest[..start]);
        kept.push_str(&url[user..cut]);
        rest = &rest[end..];
    }
    // A path with a query and no scheme: `/v1/models?key=…`.
    if let Some(at) = rest.find('?')
        && rest[..at].contains('/')
        && rest[at..].contains('=')
    {
        let end = rest[at..].find(ends_url).map_or(rest.len(), |end| at + end);
        kept.push_str(&rest[..at]);
        rest = &rest[end..];
    } else if kept.is_empty() {
        return Cow::Borrowed(word);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '/' | '+')
}

fn is_key(run: &str) -> bool {
    // The published prefixes of the providers that agents and their callers use.
    const PREFIXES: [&str; 18] = [
        "sk-",
        "sk_",
        "pk-",
        "pk_",
        "rk_",
        "AKIA",
        "ASIA",
        "AIza",
        "ya29.",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "xox",
        "hf_",
        "gsk_",
        "r8_",
    ];
    let long_enough = |prefix: &str| run.len() >= prefix.len() + 8;
    let is_jwt = run.starts_with("eyJ") && run.len() >= 24 && run.contains('.');
    is_jwt || PREFIXES.iter().any(|prefix| run.starts_with(prefix) && long_enough(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        ErrorMessage::new(text).to_string()
    }

    #[test]
    fn plain_words_stay() {
        for text in [
            "connection refused (os error 111)",
            "Unexpected token: '}' at line 3",
            "what? this = that",
            "max_tokens: 4096 is too large; see https://example.com/docs/limits.",
            "ratio 3:4, key not found",
        ] {
            assert_eq!(message(text), text);
        }
    }

    #[test]
    fn secrets_go() {
        let table = [
            ("error for url (http://host/x?key=secret)", "error for url (http://host/x)"),
            ("https://user:pw@host:8080/p#frag failed", "https://host:8080/p failed"),
            ("a=https://u:p@h/x?y=1, b", "a=https://h/x b"),
            ("GET /v1/models?key=abc failed", "GET /v1/models failed"),
            (
                "Incorrect API key provided: sk-proj-abc****wxyz. See",
                "Incorrect API key provided: [redacted] See",
            ),
            ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
            ("\"authorization\": \"xyz\" bad", "\"authorization\": [redacted] bad"),
            ("denied Basic dXNlcjpwdw==", "denied Basic [redacted]"),
            ("{\"api_key\":\"12345678\"}", "{\"api_key\":[redacted]"),
            ("password: hunter2 refused", "password: [redacted] refused"),
            ("key AKIAIOSFODNN7EXAMPLE is unknown", "key [redacted] is unknown"),
            ("bad eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln token", "bad [redacted] token"),
        ];
        for (text, expected) in table {
            assert_eq!(message(text), expected, "{text}");
        }
    }

    #[test]
    fn is_bounded_at_a_character() {
        for text in ["é".repeat(5_000), "x".repeat(501), "€".repeat(100_000)] {
            let message = ErrorMessage::new(&text);
            assert!(message.as_str().len() <= ErrorMessage::MAX_BYTES);
            assert!(message.as_str().ends_with('…'));
        }
        assert_eq!(message(&"x".repeat(500)).len(), 500);
    }

    #[test]
    fn an_endless_display_ends() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("again and again ")?;
                }
            }
        }
        assert!(ErrorMessage::new(Endless).as_str().len() <= ErrorMessage::MAX_BYTES);
    }

    #[test]
    fn line_breaks_become_spaces() {
        assert_eq!(message("a\r\n\tb\u{0}c"), "a b c");
    }
}
