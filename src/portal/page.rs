//! The page: one file, and what a browser may do with it.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("page.html");

/// The page's own style and script by their digests, and nothing else: no script that a
/// text of the store might bring, and no other address.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) = (digest_of("style"), digest_of("script"));
    format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

pub(super) async fn page() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, POLICY.as_str()), (CACHE_CONTROL, "no-cache")], Html(PAGE))
}

/// The digest of the text of the page's one element of this name.
fn digest_of(element: &str) -> String {
    let text = PAGE
        .split_once(&format!("<{element}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{element}>")))
        .map_or("", |(text, _)| text);
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
