//! What a store says at its start if DynamoDB, or the way to it, refuses: each kind of error has the
//! remedy of its own. The servers are real sockets that answer as AWS does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use tower_agent_status::store::DynamoDbStore;

use crate::environment::{KEY, REGION, SECRET, TABLE, from_env};
use crate::script::{Script, Step};
use crate::warnings::Warnings;

/// A server that gives each request this response.
fn serve(response: String) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // A request to DynamoDB has one JSON object for a body, one to a proxy or for credentials
            // may have none, and TLS has no end.
            let has_ended = |request: &[u8]| match request {
                [0x16, ..] => true,
                [b'P', ..] => request.ends_with(b"}"),
                _ => request.ends_with(b"\r\n\r\n"),
            };
            while !has_ended(&request) {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => request.extend_from_slice(&buffer[..n]),
                }
            }
            // The client may be gone.
            let _ = stream.write_all(response.as_bytes());
        }
    });
    address
}

/// An error as DynamoDB sends it.
fn refusal(status: u16, code: &str, message: &str) -> String {
    let body = format!(r#"{{"__type":"com.amazon.coral.service#{code}","message":"{message}"}}"#);
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Refused\r\ncontent-type: application/x-amz-json-1.0\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// What a process says that starts with this endpoint.
fn started_at(endpoint: &str, more: &[(&str, &str)]) -> String {
    let mut variables = vec![TABLE, REGION, KEY, SECRET, ("AWS_ENDPOINT_URL_DYNAMODB", endpoint)];
    variables.extend(more);
    from_env(&variables)
}

#[test]
fn each_refusal_has_its_own_remedy() {
    const CLOCK: &str = "check the clock";
    const RENEW: &str = "renew them";
    const KEY_ID: &str = "check AWS_ACCESS_KEY_ID";
    const SECRET_KEY: &str = "check AWS_SECRET_ACCESS_KEY";
    const PROVIDE: &str = "provide AWS credentials";
    const NETWORK: &str = "check the network";
    let remedies = [CLOCK, RENEW, KEY_ID, SECRET_KEY, PROVIDE, NETWORK, "throttles", "trouble"];
    let table = [
        (
            "InvalidSignatureException",
            "Signature expired: 20261126T110000Z is now earlier than 20261126T115500Z \
             (20261126T121000Z - 15 min.)",
            CLOCK,
        ),
        (
            "InvalidSignatureException",
            "Signature not yet current: 20261126T130000Z is still later than 20261126T122500Z \
             (20261126T121000Z + 15 min.)",
            CLOCK,
        ),
        (
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method.",
            SECRET_KEY,
        ),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            KEY_ID,
        ),
        ("ExpiredTokenException", "The security token included in the request is expired", RENEW),
        (
            "RequestTimeTooSkewed",
            "The difference between the request time and now is too large",
            CLOCK,
        ),
        ("ThrottlingException", "Rate exceeded", "throttles"),
        ("InternalServerError", "The request could not be completed", "trouble"),
    ];
    for (code, message, remedy) in table {
        let status = if code == "InternalServerError" { 500 } else { 400 };
        let address = serve(refusal(status, code, message));
        let said = started_at(&format!("http://{address}"), &[]);
        assert!(said.contains(code) && said.contains("`agent-status`"), "{code}: {said}");
        let given: Vec<_> = remedies.iter().filter(|remedy| said.contains(**remedy)).collect();
        assert_eq!(given, [&remedy], "{said}");
        assert!(!said.contains(SECRET.1), "{said}");
    }
}

#[test]
fn a_refused_action_is_named_with_the_table() {
    let message = "User: arn:aws:sts::1:assumed-role/r/i is not authorized to perform: \
                   dynamodb:DescribeTable on resource: arn:aws:dynamodb:eu-west-1:1:table/agent-status";
    let address = serve(refusal(400, "AccessDeniedException", message));
    let said = started_at(&format!("http://{address}"), &[]);
    for part in ["ok: ", "allow `dynamodb:DescribeTable`", "STATUS_TABLE_KEY", "table/agent-status"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_table_that_does_not_exist_is_named_with_its_region() {
    let address = serve(refusal(400, "ResourceNotFoundException", "Requested resource not found"));
    let said = started_at(&format!("http://{address}"), &[]);
    for part in ["error: ", "`agent-status` does not exist in eu-west-1", "create-table"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn each_way_not_to_be_reached_has_its_own_remedy() {
    // No server is asked for a label of more than 63 bytes.
    let unknown = format!("http://{}.invalid", "a".repeat(64));
    let said = started_at(&unknown, &[]);
    for part in ["in eu-west-1", "check AWS_REGION", "DNS"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // It speaks HTTP without TLS.
    let plain = serve("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n".to_owned());
    let said = started_at(&format!("https://{plain}"), &[]);
    assert!(said.contains("TLS failed") && said.contains("SSL_CERT_FILE"), "{said}");
    // It closes each connection.
    let closes = serve(String::new());
    let said = started_at(&format!("http://{closes}"), &[]);
    assert!(said.contains("check the network"), "{said}");
}

#[test]
fn a_proxy_that_refuses_has_a_remedy_and_stands_before_credentials_too() {
    let refuses = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let proxy = format!("http://user:secret@{}", serve(refuses.to_owned()));
    let said = from_env(&[TABLE, REGION, KEY, SECRET, ("HTTPS_PROXY", &proxy)]);
    assert!(said.contains("the proxy opens no connection: check HTTPS_PROXY"), "{said}");
    assert!(!said.contains("secret@"), "{said}");
    // It answers in place of DynamoDB, and of the endpoint of a container's credentials.
    let endpoint = ("AWS_ENDPOINT_URL_DYNAMODB", "http://table.invalid");
    let said = from_env(&[TABLE, REGION, KEY, SECRET, endpoint, ("HTTP_PROXY", &proxy)]);
    assert!(said.contains("status 403 without an error of DynamoDB"), "{said}");
    let container = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/credentials");
    let said = from_env(&[TABLE, REGION, container, ("HTTP_PROXY", &proxy)]);
    assert!(said.contains("NO_PROXY=169.254.169.254") && said.contains("403"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn no_response_has_a_remedy() {
    let script = Script::default();
    script.always("DescribeTable", Step::Hang);
    let store = DynamoDbStore::new(script.client(1), "agent-status");
    let warnings = Warnings::watch();
    store.discover().await.unwrap();
    let said = warnings.take().concat();
    assert!(said.contains("timed out") && said.contains("check the network"), "{said}");
}

#[test]
fn credentials_that_cannot_be_loaded_have_a_remedy_by_their_source() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let broken = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[], "no AWS credentials were found; provide"),
        (&[("AWS_PROFILE", "nobody")], "the profile `nobody`"),
        (
            &[("AWS_SHARED_CREDENTIALS_FILE", folder)],
            "(AWS_SHARED_CREDENTIALS_FILE) cannot be read",
        ),
        (&[("AWS_CONFIG_FILE", broken)], "AWS_CONFIG_FILE"),
        // The endpoint of a container's credentials, where nobody listens.
        (
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/credentials")],
            "the source of the AWS credentials failed",
        ),
    ];
    for (more, expected) in table {
        let said = from_env(&[&[TABLE, REGION], more].concat());
        assert!(said.contains(expected), "{more:?}: {said}");
        assert!(said.contains("`agent-status` in eu-west-1"), "{more:?}: {said}");
    }
}
