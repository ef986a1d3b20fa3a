use super::scan::tests::bytes_read;

fn redact(text: &str) -> String {
    super::redact(text, 4_096)
}

#[test]
fn plain_words_stay() {
    for text in [
        "connection refused (os error 111)",
        "Unexpected token: '}' at line 3",
        "what? this = that",
        "max_tokens: 4096 is too large; see https://example.com/docs/limits.",
        "ratio 3:4, key not found",
        "Incorrect API key: sk-inval****-key",
        "Incorrect API key provided: sk-. You can find your API key elsewhere.",
        "see https://example.com/docs#limits",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn secrets_go() {
    let table = [
        ("error for url (http://host/x?key=secret)", "error for url (http://host/x)"),
        ("https://user:pw@host:8080/p#t=1 failed", "https://host:8080/p failed"),
        ("https://host/p#part?x=1 failed", "https://host/p#part failed"),
        ("a=https://u:p@h/x?y=1, b", "a=https://h/x b"),
        ("GET /v1/models?key=abc failed", "GET /v1/models failed"),
        (
            "Incorrect API key provided: sk-proj-abcdwxyz. See",
            "Incorrect API key provided: [redacted] See",
        ),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("\"authorization\": \"xyz\" bad", "\"authorization\": [redacted] bad"),
        ("denied Basic dXNlcjpwdw==", "denied Basic [redacted]"),
        ("{\"api_key\":\"12345678\"}", "{\"api_key\":\"[redacted]\"}"),
        (
            "{\"user\":\"bob\",\"password\":\"hunter2\"}",
            "{\"user\":\"bob\",\"password\":\"[redacted]\"}",
        ),
        ("user=bob&password=hunter2&x=1", "user=bob&password=[redacted]&x=1"),
        (
            "{\"Authorization\":\"Bearer opaque123\"} bad",
            "{\"Authorization\":\"Bearer [redacted] bad",
        ),
        ("token:Bearer abc no", "token:Bearer [redacted] no"),
        ("Authorization: Token abc no", "Authorization: [redacted] [redacted] no"),
        ("x-goog-api-key: abc no", "x-goog-api-key: [redacted] no"),
        ("Ocp-Apim-Subscription-Key=abc no", "Ocp-Apim-Subscription-Key=[redacted] no"),
        ("token=abc no", "token=[redacted] no"),
        ("password: hunter2 refused", "password: [redacted] refused"),
        ("key AKIAIOSFODNN7EXAMPLE is unknown", "key [redacted] is unknown"),
        (
            "{\"authorization\": \"Bearer a b\", \"x-api-key\": \"c\"} bad",
            "{\"authorization\": [redacted] \"x-api-key\": [redacted] bad",
        ),
        (
            "[(\"x-api-key\", \"opaque\"), (\"x\", \"y\")]",
            "[(\"x-api-key\", [redacted] (\"x\", \"y\")]",
        ),
        ("{\\\"api_key\\\":\\\"opaque\\\"} bad", "{\\\"api_key\\\":\\\"[redacted]\\\"} bad"),
        ("password: \"two words\" bad", "password: [redacted] bad"),
        ("password=\"two words\" bad", "password=\"[redacted] bad"),
        ("password 'two words' bad", "password [redacted] bad"),
        ("api_key = opaque bad", "api_key = [redacted] bad"),
        ("\"SecretAccessKey\" : \"opaque\" bad", "\"SecretAccessKey\" : [redacted] bad"),
        ("access token: opaque bad", "access token: [redacted] bad"),
        ("Cookie: a=b; c=d bad", "Cookie: [redacted] [redacted] bad"),
        ("proxy-authorization: x1 bad", "proxy-authorization: [redacted] bad"),
        (
            "authorization: AWS4-HMAC-SHA256 Credential=x/y, SignedHeaders=host, Signature=z",
            "authorization: AWS4-HMAC-SHA256 [redacted] SignedHeaders=host, Signature=[redacted]",
        ),
        (
            "a -----BEGIN PRIVATE KEY-----\nMIIE\nvQIB\n-----END PRIVATE KEY----- b",
            "a [redacted] b",
        ),
        ("a -----BEGIN RSA PRIVATE KEY----- MIIE", "a [redacted]"),
        ("https://host/keys/sk-proj-abcdwxyz failed", "https://host/keys/[redacted] failed"),
        ("user:pw@host:443 refused", "host:443 refused"),
        ("?x=1&sig=abc bad", "bad"),
        ("https%3A%2F%2Fhost%3Fapi_key%3Dabc bad", "https%3A%2F%2Fhost bad"),
        ("http://a/b,http://u:p@c/d?e=f bad", "http://a/b,http://c/d bad"),
        ("bad xai-abcdwxyz1234", "bad [redacted]"),
        ("bad dapi0123456789abcdef0123456789abcdef", "bad [redacted]"),
        ("bad eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln token", "bad [redacted] token"),
    ];
    for (text, expected) in table {
        assert_eq!(redact(text), expected, "{text}");
    }
}

proptest::proptest! {
    /// Whatever is cut, it is cut between characters, and does not hide a key after it.
    #[test]
    fn every_text_can_be_redacted(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "é", "://", "?", "@", ":", "=", "\"", "'", "\\", "/", ",", " ", "\n", "#",
                "key", "Bearer", "authorization", "a", "sk-", "12345678", "cookie", ";",
                "-----BEGIN", " PRIVATE KEY-----", "-----END", "%3F", "%3D", "***", "€",
            ]),
            0..24,
        ),
    ) {
        let text = redact(&format!("{} AKIA12345678", pieces.concat()));
        proptest::prop_assert!(!text.contains("AKIA12345678"), "{text}");
    }
}

#[test]
fn line_breaks_become_spaces() {
    assert_eq!(redact("a\r\n\tb\u{0}c"), "a b c");
}

#[test]
fn secrets_after_their_names_go() {
    let table = [
        ("bearer token abc.def is bad", "bearer token [redacted] is bad"),
        ("Bearer token: opaque is bad", "Bearer token: [redacted] is bad"),
        ("Authorization: Bearer token opaque", "Authorization: Bearer token [redacted]"),
        ("run --password hunter -v", "run --password [redacted] -v"),
        ("run --db-pass hunter --auth 'a b' x", "run --db-pass [redacted] --auth [redacted] x"),
        ("run --api-key=x1 --token x", "run --api-key=[redacted] --token [redacted]"),
        ("[\"--password\", \"x\"]", "[\"--password\", [redacted]"),
        ("bad apikey a1b2c3", "bad apikey [redacted]"),
        ("bad API key a1b2c3.", "bad API key [redacted]"),
        ("bad token a1b2c3d4 of bob", "bad token [redacted] of bob"),
        ("bad token 'a1b2c3d4' of bob", "bad token [redacted] of bob"),
        ("token: a1b2", "token: [redacted]"),
        ("token : a1b2", "token : [redacted]"),
        ("token = opaque", "token = [redacted]"),
        ("{\"token\": \"opaque\"}", "{\"token\": [redacted]"),
        ("password hunter2", "password [redacted]"),
        ("Incorrect API key provided: opaque. See", "Incorrect API key provided: [redacted] See"),
        ("Invalid token provided: a1b2", "Invalid token provided: [redacted]"),
        ("The password given was: opaque", "The password given was: [redacted]"),
        ("the access token is a1b2c3", "the access token is [redacted]"),
        (
            "Authorization: Digest username=\"bob\", response=\"6629fae4\", qop=auth",
            "Authorization: Digest username=\"bob\", response=\"[redacted]\", qop=auth",
        ),
        (
            "{\"Authorization\":\"Digest username=bob, response=6629\"}",
            "{\"Authorization\":\"Digest username=bob, response=[redacted]\"}",
        ),
        ("sent sig=abc", "sent sig=[redacted]"),
        ("sent auth=abc;pass=def", "sent auth=[redacted];pass=[redacted]"),
        ("DB_PASS=abc dbPass=def", "DB_PASS=[redacted] dbPass=[redacted]"),
        ("{\"pass\":\"abc\",\"auth\": \"def\"}", "{\"pass\":\"[redacted]\",\"auth\": [redacted]"),
        ("auth = abc", "auth = [redacted]"),
        ("api_key%3Dabc&x", "api_key=[redacted]&x"),
        ("%7B%22token%22%3A%22abc%22%7D", "{\"token\":\"[redacted]\"}"),
        ("a%3D1%26password%253Dabc%26b%3D2", "a=1&password=[redacted]&b=2"),
        ("Authorization%3A%20Bearer%20abc", "Authorization: Bearer [redacted]"),
        ("x%20sk-proj-abcdwxyz", "x [redacted]"),
        ("csrf_token=abc next_token=abc", "csrf_token=[redacted] next_token=[redacted]"),
        ("https://hooks.slack.com/services/T0/B0/abcdefgh failed", "https://[redacted] failed"),
        ("bad hvs.CAESIabcdwxyz", "bad [redacted]"),
    ];
    for (text, expected) in table {
        assert_eq!(redact(text), expected, "{text}");
    }
}

#[test]
fn sentences_about_secrets_stay() {
    for text in [
        "the token expired",
        "The token has expired. Request a new token.",
        "token expired at 12:30, 5 minutes ago",
        "Unexpected token o in JSON at position 1",
        "Unexpected token 'item', expected 'end'",
        "Unexpected end of input at token 4096",
        "2 tokens used, 4096 tokens left",
        "token limit exceeded: 128000 of 128000",
        "token usage was 1500",
        "password reset failed",
        "the password is required and the password was changed",
        "pass 3 of 5 failed",
        "pass: 3, fail: 2",
        "auth failed: no such user",
        "auth: service unavailable",
        "auth=failed sig=invalid",
        "the signature does not match the request",
        "API key not valid. Please pass a valid API key.",
        "API key expired; renew the API key in the console",
        "No API key found for provider",
        "the access token lacks the scope read",
        "Bearer authentication failed",
        "the bearer token is invalid",
        "Bearer realm=\"api\", error=\"invalid_token\"",
        "the Basic plan has ended",
        "Basic authentication is disabled",
        "the option --password is required",
        "use --token-file or --password, not both",
        "digest mismatch: response=incomplete",
        "key FAB_26933659 is not in the index",
        "secret prod/db/password not found",
        "bypass=7 compass=north",
        "input_token=15 max_tokens=20",
        "next_token: 7",
        "100% of 50%3 and a%20b",
        "the cookie banner blocks the page",
        "passport AB123456 of the counterparty",
        "authorization failed for agent pdfAdapter",
        "tokenization of document FAB_26933659 failed",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn reading_ends_with_the_result() {
    let text = "word ".repeat(800);
    let read = bytes_read(|| assert_eq!(super::redact(&text, 50).len(), 54));
    let all = bytes_read(|| drop(super::redact(&text, 4_096)));
    assert!(all > 5 * read, "{read} of {all}");
}

/// How many bytes are searched, at most, for each byte of a text.
const PASSES: usize = 40;

#[test]
fn hostile_texts_are_read_once() {
    for piece in [
        "=:",
        "a=",
        "a:",
        "key=",
        "sig:",
        "auth=:",
        "sig=\"",
        "://",
        "a://",
        "a://?",
        "a://#",
        "@",
        "a://@",
        "?",
        "%3F",
        "sk-/",
        "eyJ/",
        "eyJ./",
        "sk-***/",
        "PRIVATE KEY",
        "BEGIN",
        "-----",
        "-----BEGIN PRIVATE KEY-----",
        "BEGIN PRIVATE KEY-----",
        "%25",
        "%2525",
        "%3D",
        "\"",
        "\\",
        "token ",
        "password \"",
        "Bearer ",
        "key-",
        "a-",
        "token=\"'",
        "x'",
        "dapi",
        "Q~",
    ] {
        let text = piece.repeat(4_096 / piece.len());
        let read = bytes_read(|| drop(super::redact(&text, usize::MAX)));
        assert!(read <= PASSES * text.len(), "{piece}: {read} of {}", text.len());
    }
}

proptest::proptest! {
    #[test]
    fn every_text_is_read_once(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "é", "://", "?", "@", ":", "=", "\"", "'", "\\", "/", ",", " ", "#", "%", "25",
                "key", "Bearer", "token", "sig", "a", "sk-", "12345678", ";", "eyJ", ".", "-",
                "-----BEGIN", "PRIVATE KEY", "-----", "END", "%3F", "%3D", "***", "~",
            ]),
            1..12,
        ),
    ) {
        let text = pieces.concat();
        let text = text.repeat(2_048 / text.len());
        let read = bytes_read(|| drop(super::redact(&text, usize::MAX)));
        proptest::prop_assert!(read <= PASSES * text.len(), "{read} of {}: {pieces:?}", text.len());
    }
}
