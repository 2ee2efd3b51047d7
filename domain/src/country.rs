//! Countries, by the codes of two letters that ISO 3166-1 assigns.
//!
//! The list is that of the file `iso3166.tab` of the IANA time zone database (release 2025b; in the public domain), which
//! follows ISO/TC 46 N1108 of 2023-04-05. Codes that the standard leaves to users (`XK`, say), has reserved (`EU`, `UK`)
//! or has withdrawn (`AN`, `SU`) are none.

/// All assigned codes, in the order of the alphabet.
const ASSIGNED: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ", "BA",
    "BB", "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV",
    "BW", "BY", "BZ", "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU",
    "CV", "CW", "CX", "CY", "CZ", "DE", "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES",
    "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA", "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM",
    "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK", "HM", "HN", "HR", "HT", "HU", "ID", "IE",
    "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM", "JO", "JP", "KE", "KG", "KH", "KI", "KM",
    "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LS", "LT", "LU", "LV", "LY",
    "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT",
    "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU",
    "NZ", "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA",
    "RE", "RO", "RS", "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM",
    "SN", "SO", "SR", "SS", "ST", "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL",
    "TM", "TN", "TO", "TR", "TT", "TV", "TW", "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE",
    "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "ZA", "ZM", "ZW",
];

/// Whether a text is the code of a country: two capital letters that ISO 3166-1 assigns.
pub fn is_country(code: &str) -> bool {
    ASSIGNED.binary_search(&code).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_looked_up() {
        // What is not in order would not be found.
        assert!(ASSIGNED.is_sorted_by(|one, next| one < next));
        assert!(ASSIGNED.iter().all(|code| is_country(code)));
        let two = |code: &&str| code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_uppercase());
        assert!(ASSIGNED.iter().all(two));
        for code in ["AD", "DE", "GB", "GR", "SS", "TW", "US", "ZW"] {
            assert!(is_country(code), "{code}");
        }
        for code in ["", "D", "de", "DEU", " DE", "XX", "XK", "ZZ", "AA", "UK", "EU", "AN", "SU", "ÄÖ"] {
            assert!(!is_country(code), "{code}");
        }
    }
}
