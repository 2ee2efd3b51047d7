//! The hash chain of an organization's audit events: what a link covers, byte for byte. The first link follows
//! the same origin as the ledger's.

use bursar_domain::ledger::chain::Canonical;
use bursar_entity::audit_event;
use sha2::{Digest, Sha256};

/// The link of an event: a hash of the link before it, and of everything in its row but the link itself.
pub(super) fn link(previous: &[u8], row: &audit_event::Model) -> [u8; 32] {
    let mut form = Canonical::of("audit event");
    form.bytes(previous).id(row.organization_id).number(row.position).id(row.id);
    form.number(i64::from(row.actor_kind.code()));
    form.option(row.actor_id, |form, id| _ = form.bytes(id.as_bytes()));
    form.option(row.on_behalf_of, |form, id| _ = form.id(id));
    form.option(row.origin.as_deref(), |form, origin| _ = form.text(origin));
    form.text(&row.action).text(&row.subject);
    for text in [&row.before, &row.after, &row.personal] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    form.number(row.created_at.micros());
    Sha256::digest(form.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::Timestamp;
    use bursar_domain::actor::ActorKind;
    use bursar_domain::id::{AuditEventId, Id, OrganizationId, UserId};

    fn event() -> audit_event::Model {
        audit_event::Model {
            organization_id: OrganizationId::from_u128(1),
            id: AuditEventId::from_u128(2),
            actor_kind: ActorKind::System,
            actor_id: None,
            origin: None,
            action: "a".to_owned(),
            subject: "s".to_owned(),
            before: None,
            after: None,
            created_at: Timestamp::EPOCH,
            position: 1,
            on_behalf_of: None,
            personal: None,
            link: None,
        }
    }

    #[test]
    fn every_field_counts() {
        let text = || Some("t".to_owned());
        let all = [
            event(),
            audit_event::Model { organization_id: OrganizationId::from_u128(3), ..event() },
            audit_event::Model { id: AuditEventId::from_u128(3), ..event() },
            audit_event::Model { actor_kind: ActorKind::User, ..event() },
            audit_event::Model { actor_id: Some(uuid::Uuid::nil()), ..event() },
            audit_event::Model { origin: text(), ..event() },
            audit_event::Model { action: "b".to_owned(), ..event() },
            audit_event::Model { action: "as".to_owned(), subject: String::new(), ..event() },
            audit_event::Model { subject: "t".to_owned(), ..event() },
            audit_event::Model { before: text(), ..event() },
            audit_event::Model { after: text(), ..event() },
            audit_event::Model { personal: text(), ..event() },
            audit_event::Model { created_at: Timestamp::from_micros(1), ..event() },
            audit_event::Model { position: 2, ..event() },
            audit_event::Model { on_behalf_of: Some(UserId::from_u128(0)), ..event() },
        ];
        let mut links: Vec<[u8; 32]> = all.iter().map(|row| link(&[0; 32], row)).collect();
        links.push(link(&[1; 32], &event()));
        for (index, one) in links.iter().enumerate() {
            assert!(!links[index + 1..].contains(one), "{index}");
        }
    }
}
