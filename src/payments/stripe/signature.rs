//! Whether a message is from Stripe: an HMAC-SHA-256 over its time and its bytes, by a secret that only Stripe has.
//!
//! The header is `t=<seconds>,v1=<hex>` with one `v1` for each secret while secrets are exchanged. Stripe signs each try
//! of a delivery anew, so a message that comes days late has a fresh time; one that is old was caught and sent again.

use bursar_domain::Timestamp;
use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::payments::EventError;

/// How far the time of a signature may be from now, in seconds, either way.
const TOLERANCE: u64 = 300;
/// The most signatures that are looked at.
const MOST: usize = 8;

/// The secrets that messages are signed with.
pub(super) struct Signatures(Vec<SecretString>);

impl Signatures {
    /// Those of one or two secrets.
    pub(super) fn new(secrets: Vec<SecretString>) -> Signatures {
        Signatures(secrets)
    }

    /// Checks the signature of a message.
    pub(super) fn check(&self, header: &str, body: &[u8], now: Timestamp) -> Result<(), EventError> {
        let (mut time, mut given) = (None, Vec::new());
        for part in header.split(',') {
            match part.trim().split_once('=') {
                Some(("t", _)) if time.is_some() => return Err(EventError::Signature),
                Some(("t", text)) => time = Some(text),
                // The others are of schemes that prove nothing here.
                Some(("v1", text)) if given.len() < MOST => {
                    given.extend(HEXLOWER_PERMISSIVE.decode(text.as_bytes()));
                }
                _ => {}
            }
        }
        let time = time.ok_or(EventError::Signature)?;
        let mut good = Choice::from(0);
        for secret in &self.0 {
            let expected = mac(secret, time, body);
            // All are compared, whatever the first ones say.
            for signature in &given {
                good |= expected.as_slice().ct_eq(signature);
            }
        }
        let seconds: i64 = time.parse().map_err(|_| EventError::Signature)?;
        let fresh = now.micros().div_euclid(1_000_000).abs_diff(seconds) <= TOLERANCE;
        if bool::from(good) && fresh { Ok(()) } else { Err(EventError::Signature) }
    }
}

/// The MAC of a message that was signed at a time.
fn mac(secret: &SecretString, time: &str, body: &[u8]) -> [u8; 32] {
    let key = secret.expose_secret().as_bytes();
    // HMAC takes keys of every length.
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of every length"),
    };
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"{\"id\": \"evt_1\"}";
    const AT: i64 = 1_700_000_000;

    fn secrets(names: &[&str]) -> Signatures {
        Signatures::new(names.iter().map(|name| SecretString::from(*name)).collect())
    }

    fn signed(secret: &str, at: i64) -> String {
        let time = at.to_string();
        let mac = mac(&SecretString::from(secret), &time, BODY);
        data_encoding::HEXLOWER.encode(&mac)
    }

    fn seconds(at: i64) -> Timestamp {
        Timestamp::EPOCH.plus_seconds(at)
    }

    #[test]
    fn the_mac_is_that_of_the_reference() {
        // printf '1700000000.{"id": "evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        assert_eq!(
            signed("whsec_test", AT),
            "a0c091828640f0b68061abc7c03981ad1100ff7160c5dba6b656239494a2b537"
        );
    }

    #[test]
    fn any_good_signature_will_do() {
        let (a, b) = (signed("whsec_a", AT), signed("whsec_b", AT));
        let ours = secrets(&["whsec_a", "whsec_b"]);
        for header in [
            format!("t={AT},v1={a}"),
            format!("t={AT},v1={b},v0=00"),
            format!("t={AT}, v1={}, v1={b}", "0".repeat(64)),
            format!("v1={a},t={AT}"),
        ] {
            assert_eq!(ours.check(&header, BODY, seconds(AT)), Ok(()), "{header}");
        }
    }

    #[test]
    fn nothing_else_will() {
        let ours = secrets(&["whsec_a"]);
        let a = signed("whsec_a", AT);
        for header in [
            String::new(),
            "t=".to_owned(),
            format!("v1={a}"),
            format!("t={AT}"),
            format!("t={AT},v1={}", &a[..62]),
            format!("t={AT},v1={a}00"),
            format!("t={AT},v0={a}"),
            format!("t={},v1={a}", AT + 1),
            format!("t={AT},t={AT},v1={a}"),
            format!("t={AT},v1={}", signed("whsec_b", AT)),
        ] {
            assert_eq!(ours.check(&header, BODY, seconds(AT)), Err(EventError::Signature), "{header}");
        }
        let header = format!("t={AT},v1={a}");
        assert_eq!(ours.check(&header, b"{\"id\":\"evt_1\"}", seconds(AT)), Err(EventError::Signature));
    }

    #[test]
    fn five_minutes_are_allowed_either_way() {
        let ours = secrets(&["whsec_a"]);
        let header = format!("t={AT},v1={}", signed("whsec_a", AT));
        for (now, good) in
            [(AT, true), (AT + 300, true), (AT - 300, true), (AT + 301, false), (AT - 301, false)]
        {
            assert_eq!(ours.check(&header, BODY, seconds(now)).is_ok(), good, "{now}");
        }
        let far = format!("t={},v1={a}", i64::MIN, a = signed("whsec_a", i64::MIN));
        assert_eq!(ours.check(&far, BODY, seconds(AT)), Err(EventError::Signature));
    }
}
