//! The code that a mail about an agreement shows.

use bursar::auth::Keys;

/// The code that the page at an address of an agreement asks for; what is no such address has none.
pub fn code(keys: &Keys, url: &str) -> String {
    let mut parts = url.split_once("/consent/").map_or("", |(_, parts)| parts).split('/');
    let (organization, method) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    keys.link_code(&format!("consent {organization} {method}"))
}
