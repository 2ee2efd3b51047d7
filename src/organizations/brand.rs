//! The logo of an organization: what mails and pages show of it beside its name. A PNG image, and a small one: it goes
//! along with every mail.

use bursar_entity::{brand, organization};
use data_encoding::{BASE64, HEXLOWER};
use sea_orm::{EntityTrait, IntoActiveModel, QuerySelect};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::lock_for;
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};

/// The most bytes of a logo.
const MOST_BYTES: usize = 64 * 1024;
/// The most pixels of a side.
const MOST_PIXELS: u32 = 1_024;
/// How every PNG image begins (PNG specification, 5.2).
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The logo of an organization. None: it has none.
///
/// # Errors
/// What the database answers.
pub async fn logo_of(txn: &Txn, tenant: Tenant) -> Result<Option<Vec<u8>>> {
    Ok(tenant.find::<brand::Entity>().one(txn).await?.map(|row| row.logo))
}

/// Sets the logo of an organization, or takes it away: a PNG image as base64.
///
/// # Errors
/// [`Error::Invalid`] at `logo`; what the database answers.
pub async fn set_logo(
    context: &Context,
    organization: &Authorized<organization::Model>,
    logo: Option<String>,
) -> Result<organization::Model> {
    let logo = logo.as_deref().map(image).transpose()?;
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (logo, actor, clock) = (logo.clone(), actor.clone(), clock.clone());
        Box::pin(async move {
            let row = lock_for(txn, tenant, &actor).await?;
            let before = tenant.find::<brand::Entity>().lock_exclusive().one(txn).await?;
            let before = before.map(|row| row.logo);
            if before == logo {
                return Ok(row);
            }
            if before.is_some() {
                brand::Entity::delete_by_id(tenant.id()).exec(txn).await?;
            }
            if let Some(logo) = logo.clone() {
                let row = brand::Model { organization_id: tenant.id(), logo, updated_at: clock.now() };
                brand::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
            }
            let (before, after) = (facts(before.as_deref()), facts(logo.as_deref()));
            let change = Change::updated("setOrganizationLogo", tenant.id(), before, after);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(row)
        })
    });
    context.db.write(tenant, work).await
}

/// What is recorded of a logo: not the image, but which one it was.
fn facts(logo: Option<&[u8]>) -> Value {
    let digest = logo.map(|logo| HEXLOWER.encode(&Sha256::digest(logo)));
    json!({ "logoSha256": digest, "logoBytes": logo.map(<[u8]>::len) })
}

/// The image that a text stands for.
fn image(text: &str) -> Result<Vec<u8>> {
    let invalid = |reason: &'static str| Error::invalid("logo", reason);
    // So many characters as the longest image has.
    if text.len() > MOST_BYTES.div_ceil(3) * 4 {
        return Err(invalid("is larger than 64 KiB"));
    }
    let bytes = BASE64.decode(text.as_bytes()).map_err(|_| invalid("is not base64"))?;
    if bytes.len() > MOST_BYTES {
        return Err(invalid("is larger than 64 KiB"));
    }
    let (width, height) = size(&bytes).ok_or_else(|| invalid("is not a PNG image"))?;
    if !(1..=MOST_PIXELS).contains(&width) || !(1..=MOST_PIXELS).contains(&height) {
        return Err(invalid("is not between 1 and 1024 pixels wide and high"));
    }
    Ok(bytes)
}

/// How wide and how high a PNG image is. None: it is none from its first to its last byte.
fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    let mut size = None;
    loop {
        // Length, kind, that many bytes, checksum.
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let (data, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let (_, after) = after.split_first_chunk::<4>()?;
        match (kind, size) {
            (b"IHDR", None) if data.len() == 13 => {
                let (width, data) = data.split_first_chunk::<4>()?;
                let (height, _) = data.split_first_chunk::<4>()?;
                size = Some((u32::from_be_bytes(*width), u32::from_be_bytes(*height)));
            }
            // It comes first, and once.
            (b"IHDR", _) | (_, None) => return None,
            (b"IEND", Some(_)) => return size.filter(|_| data.is_empty() && after.is_empty()),
            (_, Some(_)) => {}
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of an image. Its checksum is looked at by nobody here.
    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [length.as_slice(), kind, data, &[0; 4]].concat()
    }

    fn header(width: u32, height: u32) -> Vec<u8> {
        let data = [width.to_be_bytes().as_slice(), &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
        chunk(b"IHDR", &data)
    }

    fn png(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
        [SIGNATURE, &header(width, height), &chunk(b"IDAT", data), &chunk(b"IEND", &[])].concat()
    }

    #[test]
    fn images_are_whole_and_small() {
        let read = |bytes: &[u8]| image(&BASE64.encode(bytes));
        for good in [png(1, 1, &[1]), png(1_024, 1_024, &[0; 60_000])] {
            assert_eq!(read(&good).unwrap(), good);
        }
        let whole = png(4, 4, &[1, 2, 3]);
        for (bytes, said) in [
            (png(0, 1, &[1]), "pixels"),
            (png(1, 1_025, &[1]), "pixels"),
            (png(1, 1, &[0; 64 * 1024]), "64 KiB"),
            (Vec::new(), "PNG"),
            (b"GIF89a".to_vec(), "PNG"),
            (SIGNATURE.to_vec(), "PNG"),
            (whole[..whole.len() - 1].to_vec(), "PNG"),
            ([whole.as_slice(), b"<script>"].concat(), "PNG"),
            ([SIGNATURE, &chunk(b"IDAT", &[1]), &header(1, 1), &chunk(b"IEND", &[])].concat(), "PNG"),
            ([SIGNATURE, &header(1, 1), &header(1, 1), &chunk(b"IEND", &[])].concat(), "PNG"),
            ([SIGNATURE, &chunk(b"IHDR", &[0; 12]), &chunk(b"IEND", &[])].concat(), "PNG"),
        ] {
            let error = read(&bytes).unwrap_err();
            let Error::Invalid { field, reason, .. } = &error else { panic!("{error}") };
            assert!(reason.contains(said) && field.contains("logo"), "{said}: {error}");
        }
        for text in ["not base64!", "data:image/png;base64,iVBORw0KGgo=", "iVBORw0KGgo"] {
            assert!(image(text).unwrap_err().to_string().contains("base64"), "{text}");
        }
        assert!(image(&"A".repeat(1_000_000)).unwrap_err().to_string().contains("64 KiB"));
    }
}
