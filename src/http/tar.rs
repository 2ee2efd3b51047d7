//! Archives in the format of `tar` (POSIX.1-1988, "ustar"): files one after another, each behind a header that says how
//! long it is, so that one can be sent while it is made. What every system can open.

/// The size of a header, and what files are filled up to.
const BLOCK: usize = 512;

/// What stands before and after the bytes of a file. None: the name or the file is too long for the format.
///
/// `modified` is in seconds since 1970 UTC.
pub fn around(name: &str, length: usize, modified: i64) -> Option<([u8; BLOCK], Vec<u8>)> {
    let mut header = [0; BLOCK];
    // The last byte of a name is zero, as that of a text is.
    put(&mut header, 0, 99, name)?;
    put(&mut header, 100, 8, "0000644")?;
    put(&mut header, 108, 8, "0000000")?;
    put(&mut header, 116, 8, "0000000")?;
    put(&mut header, 124, 11, &format!("{length:011o}"))?;
    put(&mut header, 136, 11, &format!("{:011o}", modified.max(0)))?;
    // An ordinary file.
    put(&mut header, 156, 1, "0")?;
    put(&mut header, 257, 6, "ustar")?;
    put(&mut header, 263, 2, "00")?;
    // The sum of all bytes of the header, with spaces where it stands itself.
    put(&mut header, 148, 8, "        ")?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header, 148, 8, &format!("{sum:06o}\0 "))?;
    Some((header, vec![0; length.next_multiple_of(BLOCK) - length]))
}

/// What stands at the end of an archive: without it, something is missing.
pub fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

/// Puts a text into a field of a header, when it fits.
fn put(header: &mut [u8; BLOCK], start: usize, most: usize, text: &str) -> Option<()> {
    if text.len() > most {
        return None;
    }
    header.get_mut(start..start + text.len())?.copy_from_slice(text.as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_name_size_and_sum() {
        let (header, rest) = around("a/b.jsonl", 1_000, 1_700_000_000).unwrap();
        assert!(header.starts_with(b"a/b.jsonl\0"));
        assert_eq!(&header[124..136], b"00000001750\0");
        assert_eq!(&header[136..148], b"14524770400\0");
        assert_eq!((&header[156..157], &header[257..265]), (&b"0"[..], &b"ustar\x0000"[..]));
        assert_eq!((1_000 + rest.len()) % BLOCK, 0);
        let sum: u32 = header
            .iter()
            .enumerate()
            .fold(0, |sum, (at, byte)| sum + if (148..156).contains(&at) { 32 } else { u32::from(*byte) });
        assert_eq!(&header[148..156], format!("{sum:06o}\0 ").as_bytes());
        assert!(around("a", 512, 0).unwrap().1.is_empty() && around("a", 0, -1).unwrap().1.is_empty());
        assert_eq!(end().len(), 1_024);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(around(&"a".repeat(99), 0, 0).is_some() && around(&"a".repeat(100), 0, 0).is_none());
        assert!(around("a", 8 << 30, 0).is_none());
        // What stands in a field does not reach into the next one.
        assert!(around("a", 0, i64::MAX).is_none());
    }
}
