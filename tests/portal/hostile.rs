//! Hostile and malformed requests.

use axum::body::Body;
use http::{Method, Request, StatusCode};

use crate::support::{Store, ask, portal, whole};

#[tokio::test]
async fn a_session_id_must_be_utf8() {
    let router = portal(Store::default()).router();
    for route in ["status", "events"] {
        let (status, headers, body) =
            whole(&router, &format!("/api/workflow/%FF%FE/{route}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(headers["content-type"], "application/json");
        let expected = r#"{"detail":"the session id in the path must be percent-encoded UTF-8"}"#;
        assert_eq!(body, expected);
        let (status, _, body) = whole(&router, &format!("/api/workflow//{route}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body, r#"{"detail":"the path has no session id"}"#);
    }
}

#[tokio::test]
async fn a_session_may_be_called_recent() {
    let store = Store::default();
    store.put("recent", &crate::support::completed(1)).await;
    let router = portal(store).router();
    let (status, _, body) = whole(&router, "/api/workflow/recent/status").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.starts_with(r#"{"sessionId":"recent","overallStatus":"completed""#), "{body}");
}

#[tokio::test]
async fn markup_is_data() {
    let id = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let router = portal(Store::default()).router();
    let (_, headers, body) = whole(&router, &format!("/api/workflow/{id}/status")).await;
    assert!(body.contains(r#""sessionId":"<script>alert(1)</script>""#), "{body}");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn nothing_can_be_written() {
    let router = portal(Store::default()).router();
    let paths = [
        "/",
        "/api/workflow/recent",
        "/api/workflow/metrics",
        "/api/workflow/s/status",
        "/api/workflow/s/events",
    ];
    for path in paths {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
            let response = ask(&router, request).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    for path in ["/api/workflow/a/b/status", "/api/workflow/s", "/x"] {
        assert_eq!(whole(&router, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}
