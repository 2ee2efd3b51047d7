//! Looking for secrets where they must not be: as they are, and in the forms in which bytes get written down.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded::byte_serialize;

/// How many bytes of a form it is found by.
const START: usize = 8;
/// The shortest part of a secret that is looked for by itself.
const PART: usize = 20;

/// Secrets in all their forms.
pub struct Needles {
    /// Whether a form begins with a pair of bytes.
    pairs: Vec<bool>,
    /// What each form is of, and which, by its beginning.
    by_start: HashMap<Vec<u8>, Vec<(String, Vec<u8>)>>,
}

impl Needles {
    /// The forms of secrets that each have a name.
    pub fn of(secrets: &[(String, String)]) -> Needles {
        let mut needles = Needles { pairs: vec![false; 1 << 16], by_start: HashMap::new() };
        let mut known = BTreeSet::new();
        for (name, secret) in secrets {
            for (form, bytes) in forms(secret) {
                if known.insert(bytes.clone()) {
                    assert!(bytes.len() >= START, "{name} is too short to be looked for");
                    needles.pairs[pair(&bytes)] = true;
                    let start = bytes[..START].to_vec();
                    needles.by_start.entry(start).or_default().push((format!("{name}, {form}"), bytes));
                }
            }
        }
        needles
    }

    /// What of them stands in a text: names and forms.
    pub fn found(&self, text: &[u8]) -> BTreeSet<&str> {
        let (mut found, mut at) = (BTreeSet::new(), 0);
        // Texts are long, and iterators are slow where nothing is optimized.
        while at + START <= text.len() {
            let rest = &text[at..];
            if self.pairs[pair(rest)] {
                let candidates = self.by_start.get(&rest[..START]).into_iter().flatten();
                let there = candidates.filter(|(_, bytes)| rest.starts_with(bytes));
                found.extend(there.map(|(what, _)| what.as_str()));
            }
            at += 1;
        }
        found
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) * 256 + usize::from(bytes[1])
}

/// The forms of a secret, each with what it is. Of one whose parts have dots between them the last, which is what
/// proves the others.
pub fn forms(secret: &str) -> BTreeMap<String, Vec<u8>> {
    let last = secret.rsplit('.').next().unwrap();
    let text = if last.len() >= PART { last } else { secret };
    let bytes = text.as_bytes();
    let decimals: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let mut all = BTreeMap::from([
        ("as it is".to_owned(), bytes.to_vec()),
        ("percent-encoded".to_owned(), utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().into()),
        ("in a form".to_owned(), byte_serialize(bytes).collect::<String>().into()),
        ("in hexadecimal".to_owned(), HEXLOWER.encode(bytes).into()),
        ("in capital hexadecimal".to_owned(), HEXUPPER.encode(bytes).into()),
        ("as a list of bytes".to_owned(), decimals.join(", ").into()),
    ]);
    for shift in 0..3_usize {
        // As it is encoded after so many other bytes, without the characters that these have a part in.
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(bytes);
        let (from, to) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        for (name, encoded) in
            [("base64", BASE64.encode(&shifted)), ("base64url", BASE64URL.encode(&shifted))]
        {
            all.insert(format!("in {name}, shifted by {shift}"), encoded.as_bytes()[from..to].to_vec());
        }
    }
    // What is the text of a MAC, or of random bytes, also as these.
    if let Some(decoded) = BASE64URL_NOPAD.decode(bytes).ok().filter(|decoded| decoded.len() >= 16) {
        all.insert("its bytes in hexadecimal".to_owned(), HEXLOWER.encode(&decoded).into());
        all.insert("its bytes in capital hexadecimal".to_owned(), HEXUPPER.encode(&decoded).into());
        all.insert("its bytes in base64".to_owned(), BASE64.encode(&decoded).trim_end_matches('=').into());
        all.insert("its bytes".to_owned(), decoded);
    }
    all
}
