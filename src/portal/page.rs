//! The page: a single HTML document with its own style and script, and the content security
//! policy that allows no others.
//!
//! Its parts are files in `page`, put together here. Scripts share one scope, in this order.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use sha2::{Digest as _, Sha256};

const STYLE: &str = concat!(
    include_str!("page/base.css"),
    include_str!("page/list.css"),
    include_str!("page/board.css"),
    include_str!("page/workflow.css"),
    include_str!("page/window.css"),
);

const SCRIPT: &str = concat!(
    include_str!("page/dom.js"),
    include_str!("page/time.js"),
    include_str!("page/words.js"),
    include_str!("page/title.js"),
    include_str!("page/link.js"),
    include_str!("page/request.js"),
    include_str!("page/calls.js"),
    include_str!("page/steps.js"),
    include_str!("page/tokens.js"),
    include_str!("page/around.js"),
    include_str!("page/workflow.js"),
    include_str!("page/clock.js"),
    include_str!("page/watch.js"),
    include_str!("page/stream.js"),
    include_str!("page/share.js"),
    include_str!("page/notices.js"),
    include_str!("page/list.js"),
    include_str!("page/board.js"),
    include_str!("page/lanes.js"),
    include_str!("page/charts.js"),
    include_str!("page/find.js"),
    include_str!("page/navigation.js"),
    include_str!("page/keys.js"),
    include_str!("page/main.js"),
);

/// What the placeholders of the page stand for.
const PARTS: &[(&str, &str)] = &[
    ("{{icons}}", include_str!("page/icons.html")),
    ("{{list}}", include_str!("page/list.html")),
    ("{{board}}", include_str!("page/board.html")),
    ("{{workflow}}", include_str!("page/workflow.html")),
    ("{{around}}", include_str!("page/around.html")),
    ("{{related}}", include_str!("page/related.html")),
    ("{{dialogs}}", include_str!("page/dialogs.html")),
    ("{{style}}", STYLE),
    ("{{script}}", SCRIPT),
];

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let page = include_str!("page/page.html").to_owned();
    PARTS.iter().fold(page, |page, (name, part)| page.replace(name, part))
});

/// Allows the page's own style and script by their digests. A script that a stored text might
/// smuggle in does not run, and nothing is loaded from elsewhere.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = |text: &str| format!("sha256-{}", STANDARD.encode(Sha256::digest(text)));
    let (style, script) = (digest(STYLE), digest(SCRIPT));
    format!(
        "default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

pub(super) async fn page() -> impl IntoResponse {
    let headers = [(CONTENT_SECURITY_POLICY, POLICY.as_str()), (CACHE_CONTROL, "no-cache")];
    (headers, Html(PAGE.as_str()))
}
