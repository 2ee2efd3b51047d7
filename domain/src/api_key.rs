//! API keys as texts: how one is made of random bytes, and how one is told from everything else.
//!
//! A key is `bursar_live_` or `bursar_test_`, 43 digits in base 62 that say 256 random bits, and 6 digits that
//! say the CRC-32 of all that stands before them: `bursar_(live|test)_[0-9A-Za-z]{49}`. The prefix lets scanners
//! find keys that have leaked, the checksum lets them (and the server) leave out what only looks like one,
//! without asking anybody. The checksum proves nothing: whether a key is good is known by its digest alone.

string_enum! {
    /// Whose credits a key works with.
    KeyMode {
        /// The organization's own.
        Live = "LIVE",
        /// Those of its sandbox, which cost nothing and buy nothing.
        Test = "TEST",
    }
}

impl KeyMode {
    /// How its keys begin.
    pub const fn prefix(self) -> &'static str {
        match self {
            KeyMode::Live => "bursar_live_",
            KeyMode::Test => "bursar_test_",
        }
    }
}

/// How every key begins. A text that does is never taken for anything else.
pub const PREFIX: &str = "bursar_";
/// How many random bytes make a key.
pub const RANDOM_BYTES: usize = 32;
/// How many characters at the end of a key may be shown, to tell keys apart.
pub const HINT: usize = 4;

/// The digits of base 62, in the order of their characters.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 is just above 2^256.
const SECRET_DIGITS: usize = 43;
/// 62^6 is above 2^32.
const CHECK_DIGITS: usize = 6;

/// The key of some random bytes.
pub fn format(mode: KeyMode, random: [u8; RANDOM_BYTES]) -> String {
    let mut key = String::from(mode.prefix());
    key.push_str(&base62(random, SECRET_DIGITS));
    let check = checksum(&key);
    key.push_str(&check);
    key
}

/// The mode of a text that is a key by its shape and its checksum; `None` when it is none.
pub fn recognise(text: &str) -> Option<KeyMode> {
    let mode = KeyMode::ALL.iter().copied().find(|mode| text.starts_with(mode.prefix()))?;
    let digits = text.get(mode.prefix().len()..)?;
    let shaped =
        digits.len() == SECRET_DIGITS + CHECK_DIGITS && digits.bytes().all(|byte| DIGITS.contains(&byte));
    if !shaped {
        return None;
    }
    let (before, check) = text.split_at_checked(text.len() - CHECK_DIGITS)?;
    (checksum(before) == check).then_some(mode)
}

/// The end of a key, which may be kept and shown.
pub fn hint(key: &str) -> &str {
    key.len().checked_sub(HINT).and_then(|from| key.get(from..)).unwrap_or_default()
}

/// The checksum of what stands before it.
fn checksum(text: &str) -> String {
    let mut number = [0; RANDOM_BYTES];
    let sum = crc32(text.as_bytes()).to_be_bytes();
    for (place, byte) in number.iter_mut().rev().zip(sum.iter().rev()) {
        *place = *byte;
    }
    base62(number, CHECK_DIGITS)
}

/// CRC-32 as in ISO 3309: the polynomial 0x04C11DB7, bits mirrored.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carry = if sum & 1 == 1 { 0xEDB8_8320 } else { 0 };
            (sum >> 1) ^ carry
        })
    })
}

/// A number of 256 bits, most significant byte first, as so many digits in base 62, with zeros before it.
fn base62(mut number: [u8; RANDOM_BYTES], digits: usize) -> String {
    let mut text = Vec::with_capacity(digits);
    for _ in 0..digits {
        // Divides by 62, as one does on paper; what is left over is the next digit from the right.
        let mut left = 0u16;
        for byte in &mut number {
            let part = (left << 8) | u16::from(*byte);
            // Below 256: what was left over is below 62.
            *byte = (part / 62) as u8;
            left = part % 62;
        }
        text.push(DIGITS.get(usize::from(left)).copied().map_or('0', char::from));
    }
    text.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn numbers_in_base_62() {
        let number = |last: u8| {
            let mut bytes = [0; RANDOM_BYTES];
            bytes[RANDOM_BYTES - 1] = last;
            bytes
        };
        assert_eq!(base62(number(0), 3), "000");
        assert_eq!(base62(number(61), 3), "00z");
        assert_eq!(base62(number(62), 3), "010");
        // 255 = 4 * 62 + 7.
        assert_eq!(base62(number(255), 3), "047");
        // The largest number needs all 43 digits and no more: divided by them, nothing is left.
        let largest = base62([255; RANDOM_BYTES], SECRET_DIGITS + 1);
        assert!(largest.starts_with('0') && !largest.starts_with("00"), "{largest}");
        assert_ne!(base62([255; RANDOM_BYTES], 43), base62([254; RANDOM_BYTES], 43));
    }

    #[test]
    fn keys_are_recognised() {
        for mode in KeyMode::ALL {
            for byte in [0, 1, 77, 255] {
                let key = format(*mode, [byte; RANDOM_BYTES]);
                assert_eq!(key.len(), 12 + 49, "{key}");
                assert!(key.starts_with(PREFIX) && key[12..].bytes().all(|b| b.is_ascii_alphanumeric()));
                assert_eq!(recognise(&key), Some(*mode), "{key}");
                assert_eq!(hint(&key), &key[57..]);
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_key_is_none() {
        let key = format(KeyMode::Live, [7; RANDOM_BYTES]);
        // Every single character that is another one is found out, the mode's among them.
        for (place, old) in key.bytes().enumerate() {
            for new in [b'0', b'a', b'Z', b'_', b' '] {
                let mut bytes = key.clone().into_bytes();
                bytes[place] = new;
                let changed = String::from_utf8(bytes).unwrap();
                assert_eq!(recognise(&changed).is_some(), new == old, "{changed}");
            }
        }
        let other_mode = key.replace("live", "test");
        for text in
            ["", "bursar_live_", &key[..60], &key[1..], &std::format!("{key}0"), &other_mode, "bursar_ä"]
        {
            assert_eq!(recognise(text), None, "{text}");
        }
        // Texts that do not end between characters.
        let wide = std::format!("bursar_live_{}äää", &key[12..55]);
        assert_eq!(recognise(&wide), None);
        assert_eq!(hint("ä"), "");
    }
}
