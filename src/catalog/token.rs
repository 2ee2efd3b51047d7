//! Quote tokens: a price that was told, as whoever it was told to can hand it back and buy at it. Nothing is stored: what
//! the price is stands in the token, with a proof that it was written here.
//!
//! A token is of one organization, and good until the instant that it names, whatever prices do meanwhile.

use bursar_domain::id::{Id, OrganizationId, PackageVersionId};
use bursar_domain::pricing::{PriceBasis, UnitPrice};
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::organization;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Offer, package_of_version};
use crate::auth::Keys;
use crate::db::{Tenant, Txn};
use crate::error::{Conflict, Error, Result};

/// A price that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    organization: OrganizationId,
    package_version: PackageVersionId,
    credits: Credits,
    unit_price: UnitPrice,
    total: i64,
    currency: Currency,
    lifetime_days: Option<i64>,
    basis: PriceBasis,
    valid_until: Timestamp,
}

/// The same in a token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    organization: Uuid,
    package_version: Uuid,
    credits: i64,
    unit_price: i64,
    total: i64,
    currency: String,
    lifetime_days: Option<i64>,
    basis: String,
    valid_until: i64,
}

impl From<&Pinned> for Written {
    fn from(pinned: &Pinned) -> Written {
        Written {
            organization: Uuid::from_u128(pinned.organization.as_u128()),
            package_version: Uuid::from_u128(pinned.package_version.as_u128()),
            credits: pinned.credits.get(),
            unit_price: pinned.unit_price.get(),
            total: pinned.total,
            currency: pinned.currency.code().to_owned(),
            lifetime_days: pinned.lifetime_days,
            basis: pinned.basis.as_str().to_owned(),
            valid_until: pinned.valid_until.micros(),
        }
    }
}

impl Written {
    fn read(self) -> Option<Pinned> {
        Some(Pinned {
            organization: OrganizationId::from_u128(self.organization.as_u128()),
            package_version: PackageVersionId::from_u128(self.package_version.as_u128()),
            credits: Credits::new(self.credits)?,
            unit_price: UnitPrice::new(self.unit_price)?,
            total: self.total,
            currency: Currency::parse(&self.currency)?,
            lifetime_days: self.lifetime_days,
            basis: PriceBasis::parse(&self.basis)?,
            valid_until: Timestamp::from_micros(self.valid_until),
        })
    }
}

impl Offer {
    /// The token that an organization buys with at this price; none for what the vendor has answered, which is bought by
    /// its id.
    ///
    /// # Errors
    /// When it cannot be written, which is a fault of ours.
    pub fn token(&self, keys: &Keys, tenant: Tenant) -> Result<Option<String>> {
        if self.quote.is_some() {
            return Ok(None);
        }
        let pinned = Pinned {
            organization: tenant.id(),
            package_version: self.package.version.id,
            credits: self.credits,
            unit_price: self.unit_price,
            total: self.total,
            currency: self.currency,
            lifetime_days: self.lifetime_days,
            basis: self.basis,
            valid_until: self.valid_until,
        };
        pinned.write(keys).map(Some)
    }
}

impl Pinned {
    fn write(&self, keys: &Keys) -> Result<String> {
        let content = serde_json::to_vec(&Written::from(self))
            .map_err(|error| Error::internal(format!("a quote token: {error}")))?;
        let content = BASE64URL_NOPAD.encode(&content);
        let proof = keys.quote_proof(&content);
        Ok(format!("{content}.{proof}"))
    }

    /// What a token says; `None`: it was not written here, or was changed since.
    pub fn read(keys: &Keys, token: &str) -> Option<Pinned> {
        let (content, proof) = token.split_once('.')?;
        if !keys.is_quote_proof(content, proof) {
            return None;
        }
        let content = BASE64URL_NOPAD.decode(content.as_bytes()).ok()?;
        serde_json::from_slice::<Written>(&content).ok()?.read()
    }
}

/// What a token says, as an offer to an organization. A token of another organization is as good as one that was made up.
pub(super) async fn of_token(
    txn: &Txn,
    tenant: Tenant,
    organization: &organization::Model,
    pinned: Option<&Pinned>,
    (wanted, now): (Option<Currency>, Timestamp),
) -> Result<Offer> {
    const FIELD: &str = "quoteToken";
    let foreign = || {
        let reason = "It is no quote of this organization, or it was changed.";
        Error::conflict(Conflict::QuoteInvalid, FIELD, reason)
    };
    let pinned = pinned.filter(|pinned| pinned.organization == tenant.id()).ok_or_else(foreign)?;
    if pinned.valid_until <= now {
        return Err(Error::conflict(Conflict::QuoteExpired, FIELD, "The quote is no longer valid."));
    }
    if let Some(fixed) = organization.currency.filter(|fixed| *fixed != pinned.currency) {
        let reason =
            format!("The currency has been fixed at {fixed} since, and the quote is in {}.", pinned.currency);
        return Err(Error::conflict(Conflict::QuoteInvalid, FIELD, reason));
    }
    if wanted.is_some_and(|wanted| wanted != pinned.currency) {
        return Err(Error::invalid("currency", format!("is {} in the quote", pinned.currency)));
    }
    Ok(Offer {
        package: package_of_version(txn, pinned.package_version).await?.ok_or_else(foreign)?,
        credits: pinned.credits,
        unit_price: pinned.unit_price,
        total: pinned.total,
        currency: pinned.currency,
        lifetime_days: pinned.lifetime_days,
        basis: pinned.basis,
        quote: None,
        considered: Vec::new(),
        valid_until: pinned.valid_until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    #[test]
    fn a_token_says_what_was_written_and_nothing_else() {
        let keys = Keys::derive(&SecretString::from("a".repeat(32)));
        let other = Keys::derive(&SecretString::from("b".repeat(32)));
        let pinned = Pinned {
            organization: OrganizationId::from_u128(1),
            package_version: PackageVersionId::from_u128(2),
            credits: Credits::new(301).unwrap(),
            unit_price: UnitPrice::new(175_000_500).unwrap(),
            total: 52_675,
            currency: Currency::USD,
            lifetime_days: Some(365),
            basis: PriceBasis::Volume,
            valid_until: Timestamp::from_micros(7),
        };
        let token = pinned.write(&keys).unwrap();
        assert_eq!(Pinned::read(&keys, &token), Some(pinned.clone()));
        assert_eq!(Pinned::read(&other, &token), None);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(Pinned::read(&keys, &String::from_utf8(changed).unwrap()), None, "{at}");
            assert_eq!(Pinned::read(&keys, &token[..at]), None, "{at}");
        }
        // A proof of something else proves nothing here.
        let (content, _) = token.split_once('.').unwrap();
        let link = keys.link_token(content);
        assert_eq!(Pinned::read(&keys, &format!("{content}.{link}")), None);
        let cheaper = Pinned { total: 1, ..pinned }.write(&other).unwrap();
        assert_eq!(Pinned::read(&keys, &cheaper), None);
    }
}
