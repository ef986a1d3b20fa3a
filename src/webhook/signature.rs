//! [`Secret`]: signs a notification as Standard Webhooks does.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::InvalidWebhook;

/// How a secret begins, if it has this optional prefix.
const PREFIX: &str = "whsec_";

/// The key of the signatures. Its bytes never show.
#[derive(Clone)]
pub(super) struct Secret(Hmac<Sha256>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// Reads a secret: 24 to 64 bytes in base64, perhaps after `whsec_`.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidWebhook> {
        let encoded = text.trim().strip_prefix(PREFIX).unwrap_or(text.trim());
        let invalid = |what: &str| {
            InvalidWebhook::new(format!(
                "the webhook's secret {what}: expected 24 to 64 bytes in base64, such as \
                 `openssl rand -base64 32` prints"
            ))
        };
        let key = BASE64_STANDARD.decode(encoded).map_err(|_| invalid("is not base64"))?;
        if !(24..=64).contains(&key.len()) {
            return Err(invalid(&format!("has {} bytes", key.len())));
        }
        // Any length of key is valid.
        let mac = Hmac::new_from_slice(&key).map_err(|_| invalid("cannot be used"))?;
        Ok(Self(mac))
    }

    /// The value of the header `webhook-signature`.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the specification's libraries.
        for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        {
            let signature = Secret::parse(secret).unwrap().sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#,
            );
            assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        }
    }

    #[test]
    fn a_bad_secret_is_an_error_that_does_not_show_it() {
        let long = BASE64_STANDARD.encode([7; 65]);
        for secret in ["", "secret!", "whsec_", "c2VjcmV0", &long] {
            let error = Secret::parse(secret).unwrap_err().to_string();
            assert!(error.contains("openssl rand -base64 32"), "{error}");
            assert!(secret.is_empty() || !error.contains(secret), "{error}");
        }
        let secret = Secret::parse(&BASE64_STANDARD.encode([7; 24])).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
