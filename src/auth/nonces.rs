//! Nonces of pages: what a form carries to show that it was on a page that Bursar has served lately.
//!
//! A link in a mail is also opened by machines that look for viruses, and some of them send POSTs to what they
//! find. Opening changes nothing; what changes something needs a nonce from the page, which says for what and when
//! it was made. Nothing is stored: that a thing is done once only is decided by the state of the thing.

use bursar_domain::Timestamp;

use super::Keys;

/// For how long a page may stay open before its form is sent, in microseconds: an hour.
const LIFETIME: i64 = 3_600_000_000;
/// How far the clocks of two nodes may be apart, in microseconds.
const SKEW: i64 = 60_000_000;

impl Keys {
    /// A nonce for a page about something, at `now`.
    pub fn page_nonce(&self, about: &str, now: Timestamp) -> String {
        let at = now.micros();
        format!("{at}.{}", self.link_token(&signed(at, about)))
    }

    /// Whether a nonce is from a page about the same thing that was served lately.
    pub fn is_page_nonce(&self, about: &str, nonce: &str, now: Timestamp) -> bool {
        let Some((at, token)) = nonce.split_once('.') else { return false };
        let Ok(at) = at.parse::<i64>() else { return false };
        let age = now.micros().saturating_sub(at);
        self.is_link_token(&signed(at, about), token) && (-SKEW..=LIFETIME).contains(&age)
    }
}

fn signed(at: i64, about: &str) -> String {
    format!("page {at} {about}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    #[test]
    fn a_nonce_is_of_one_page_and_one_hour() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let now = Timestamp::from_micros(1_000_000_000_000);
        let nonce = keys.page_nonce("a", now);
        assert!(keys.is_page_nonce("a", &nonce, now));
        assert!(keys.is_page_nonce("a", &nonce, now.plus_seconds(3_600)));
        assert!(!keys.is_page_nonce("a", &nonce, now.plus_seconds(3_601)));
        assert!(!keys.is_page_nonce("a", &nonce, now.plus_seconds(-61)));
        assert!(!keys.is_page_nonce("b", &nonce, now));
        let (at, token) = nonce.split_once('.').unwrap();
        let later = at.parse::<i64>().unwrap() + 1;
        for bad in ["", ".", at, token, &format!("{later}.{token}"), &format!("{at}.{}", &token[1..])] {
            assert!(!keys.is_page_nonce("a", bad, now), "{bad}");
        }
    }
}
