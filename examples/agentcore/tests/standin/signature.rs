//! Verification of Signature Version 4.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt::Write as _;

use hmac::{Hmac, Mac as _};
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::{ACCESS_KEY, SECRET_KEY};

/// Checks that a request is signed with the stand-in's key for this service. Returns what is
/// wrong otherwise.
pub(super) fn check(parts: &Parts, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
    };
    let authorization = header("authorization")
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("the request is not signed")?;
    let field = |name: &str| {
        authorization
            .split(", ")
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
            .ok_or(format!("the signature has no {name}"))
    };
    let credential = field("Credential")?;
    let (access_key, scope) = credential.split_once('/').ok_or("Credential has no scope")?;
    if access_key != ACCESS_KEY {
        return Err("The security token included in the request is invalid.".into());
    }
    let [date, "us-east-1", "bedrock-agentcore", "aws4_request"] =
        scope.split('/').collect::<Vec<_>>()[..]
    else {
        return Err(format!("the scope is {scope}"));
    };
    let signed = field("SignedHeaders")?;
    for name in ["host", "x-amz-date", "x-amzn-bedrock-agentcore-runtime-session-id"] {
        if !signed.split(';').any(|header| header == name) {
            return Err(format!("{name} is not signed"));
        }
    }
    let headers = signed.split(';').fold(String::new(), |mut text, name| {
        writeln!(text, "{name}:{}", header(name)).unwrap();
        text
    });
    // Every service except S3 encodes the path once more.
    let path = parts.uri.path().replace('%', "%25");
    let request = [
        parts.method.as_str(),
        &path,
        parts.uri.query().unwrap_or_default(),
        &headers,
        signed,
        &hex(&Sha256::digest(body)),
    ]
    .join("\n");
    let to_sign = [
        "AWS4-HMAC-SHA256",
        header("x-amz-date"),
        scope,
        &hex(&Sha256::digest(request.as_bytes())),
    ]
    .join("\n");
    let key = [date, "us-east-1", "bedrock-agentcore", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| sign(&key, part));
    if hex(&sign(&key, &to_sign)) != field("Signature")? {
        return Err("The request signature we calculated does not match.".into());
    }
    Ok(())
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
