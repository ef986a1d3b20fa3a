//! The page, as far as it can be tested without a browser.

use std::process::Command;

use axum::Router;
use base64::Engine as _;
use http::StatusCode;
use sha2::{Digest as _, Sha256};

use crate::support::{Store, portal, whole};

#[tokio::test]
async fn it_is_self_contained() {
    let (status, headers, body) = whole(&portal(Store::default()).router(), "/").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(body.matches("<script>").count(), 1);
    assert_eq!(body.matches("<style>").count(), 1);
    // XML namespaces are not requested.
    let body = body.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", " src=", "@import", "url(", "innerHTML", "insertAdjacent"] {
        assert!(!body.contains(outside), "the page has {outside}");
    }
    // Inline styles and handlers would need a looser policy.
    for inline in [" style=\"", " onclick", " onload", "eval(", "new Function"] {
        assert!(!body.contains(inline), "the page has {inline}");
    }
}

/// Each file of the page is in it, whole. Those of markup may have placeholders for others.
#[tokio::test]
async fn it_is_made_of_all_its_files() {
    let (_, headers, body) = whole(&portal(Store::default()).router(), "/").await;
    assert!(!body.contains("{{"), "a placeholder is left");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/portal/page");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut pieces =
            text.split("{{").map(|part| part.split_once("}}").map_or(part, |(_, rest)| rest));
        assert!(pieces.all(|piece| body.contains(piece)), "{}", path.display());
        assert!(text.lines().count() <= 500, "{} is too long", path.display());
        files += 1;
    }
    assert!(files > 20, "{files} files");
    // The digests are those of the style and of the script as served.
    let policy = headers["content-security-policy"].to_str().unwrap();
    for element in ["style", "script"] {
        let (_, rest) = body.split_once(&format!("<{element}>")).unwrap();
        let (text, _) = rest.split_once(&format!("</{element}>")).unwrap();
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("'sha256-{digest}'")), "{element}: {policy}");
    }
}

#[tokio::test]
async fn its_policy_allows_only_its_own_script() {
    let (_, headers, body) = whole(&portal(Store::default()).router(), "/").await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "connect-src 'self'",
    ] {
        assert!(policy.split("; ").any(|found| found == part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    for (element, directive) in [("script", "script-src"), ("style", "style-src")] {
        let given = policy.split("; ").find_map(|part| part.strip_prefix(directive)).unwrap();
        let digest = given.trim().trim_matches('\'').strip_prefix("sha256-").unwrap();
        let digest = base64::engine::general_purpose::STANDARD.decode(digest).unwrap();
        assert_eq!(digest.len(), 32);
        assert!(body.contains(&format!("</{element}>")));
    }
}

#[tokio::test]
async fn it_can_be_mounted_under_a_path() {
    let app = Router::new().nest("/status", portal(Store::default()).router());
    assert_eq!(whole(&app, "/status").await.0, StatusCode::OK);
    assert_eq!(whole(&app, "/status/api/workflow/recent").await.0, StatusCode::OK);
    // Merged into a service with a fallback.
    let app = Router::new().fallback(async || "mine").merge(portal(Store::default()).router());
    assert_eq!(whole(&app, "/elsewhere").await.2, "mine");
    assert_eq!(whole(&app, "/api/workflow/recent").await.0, StatusCode::OK);
}

#[test]
#[ignore = "needs Chromium: apt-get install chromium chromium-driver; .ci/run does it"]
fn it_works_in_a_browser() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/Cargo.toml");
    let arguments = ["test", "--locked", "--manifest-path", manifest];
    assert!(Command::new(env!("CARGO")).args(arguments).status().unwrap().success());
}
