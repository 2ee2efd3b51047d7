//! Letters, and the password for the mail server, go by an encrypted way to the server that was meant, or not at all.

use bursar::clock::Clock;
use bursar::config::{Config, Security};
use bursar::delivery::{Courier, run_once};
use bursar::error::Error;
use bursar::global_id;
use bursar_domain::delivery::DeliveryState;
use bursar_entity::delivery;
use data_encoding::BASE64;

use crate::support::acts::at;
use crate::support::authority::Authority;
use crate::support::encrypted_smtp::{EncryptedSmtp, Entrance};
use crate::support::mail::{invitation, post, row, tenant};
use crate::support::{Backend, World, run};

const MARCH: &str = "2026-03-10T12:00:00Z";
const HOST: &str = "127.0.0.1";

/// A world whose mail nobody delivers but whom the test sends, and its organization.
async fn start() -> (World, String) {
    let world = World::start_untimed(Backend::Sqlite, Clock::set(at(MARCH))).await;
    let organization = world.client("owner@demo.test").await.demo().await.organization;
    (world, organization)
}

/// Somebody who delivers to a server, by a way, and trusts an authority.
fn courier(
    world: &World,
    server: &EncryptedSmtp,
    security: Security,
    authorities: Option<String>,
) -> Result<Courier, Error> {
    let services = world.services();
    let mut config: Config = services.config.clone();
    server.takes_mail_of(&mut config, security, authorities);
    Courier::new(&services.context, &services.keys, &config)
}

/// Has a letter tried once, and answers what has become of it. Letters that failed before wait: the clock stands.
async fn tried(world: &World, organization: &str, courier: &Courier) -> delivery::Model {
    let mail = invitation("a@example.test", "Demo");
    let id = post(world, tenant(organization), mail).await.unwrap();
    assert_eq!(run_once(courier).await.unwrap(), 1);
    row(world, id).await
}

#[test]
fn letters_go_by_tls_and_by_starttls() {
    run(async {
        let (world, organization) = start().await;
        let authority = Authority::make();
        let encoded = |text: &str| BASE64.encode(text.as_bytes());
        let plain = vec![format!("AUTH PLAIN {}", encoded("\0bursar\0swordfish"))];
        let login = vec!["AUTH LOGIN".to_owned(), encoded("bursar"), encoded("swordfish")];
        for (security, entrance, mechanism, proof) in [
            (Security::Tls, Entrance::Tls, "PLAIN LOGIN", &plain),
            (Security::StartTls, Entrance::StartTls, "PLAIN LOGIN", &plain),
            (Security::StartTls, Entrance::StartTls, "LOGIN", &login),
        ] {
            let server = EncryptedSmtp::start(entrance, mechanism, authority.acceptor(HOST)).await;
            let courier = courier(&world, &server, security, Some(authority.pem())).unwrap();
            for number in 1..=2 {
                let row = tried(&world, &organization, &courier).await;
                assert_eq!(row.state, DeliveryState::Delivered, "{entrance:?}: {:?}", row.last_error);
                let taken = server.taken();
                assert_eq!(taken.len(), number);
                let named = format!("<{}@bursar.test>", global_id::encode(row.id));
                assert_eq!(taken[number - 1].header("Message-ID"), Some(named));
                assert!(taken[number - 1].to.contains("a@example.test"));
            }
            let clear: &[&str] =
                if entrance == Entrance::Tls { &[] } else { &["EHLO bursar.test", "STARTTLS"] };
            assert_eq!(server.clear(), clear);
            let hidden = server.hidden();
            assert_eq!(hidden[0], "EHLO bursar.test");
            assert_eq!(hidden[1..=proof.len()], proof[..]);
            assert!(hidden[proof.len() + 1].starts_with("MAIL FROM:<credits@bursar.test>"), "{hidden:?}");
            assert_eq!(server.connections(), 1, "the second letter goes by the same connection");
        }
    });
}

#[test]
fn what_cannot_go_encrypted_does_not_go() {
    run(async {
        let (world, organization) = start().await;
        let (ours, foreign) = (Authority::make(), Authority::make());
        let trusted = Some(ours.pem());
        let right = || ours.acceptor(HOST);
        for (security, entrance, certificate, authorities, expected) in [
            // No encryption, refused encryption, and encryption where there is none.
            (Security::StartTls, Entrance::Clear, right(), trusted.clone(), "STARTTLS is not supported"),
            (Security::StartTls, Entrance::Refused, right(), trusted.clone(), "454"),
            (Security::Tls, Entrance::Clear, right(), trusted.clone(), "Connection error"),
            // Another server.
            (
                Security::Tls,
                Entrance::Tls,
                ours.acceptor("smtp.other.test"),
                trusted.clone(),
                "not valid for name",
            ),
            (
                Security::StartTls,
                Entrance::StartTls,
                ours.acceptor("127.0.0.2"),
                trusted.clone(),
                "not valid for name",
            ),
            // An authority that is not trusted, whether there is one that is or only those of the system.
            (
                Security::Tls,
                Entrance::Tls,
                foreign.acceptor(HOST),
                trusted.clone(),
                "invalid peer certificate",
            ),
            (
                Security::StartTls,
                Entrance::StartTls,
                right(),
                None,
                "invalid peer certificate: UnknownIssuer",
            ),
            // Nobody answers.
            (Security::Tls, Entrance::SilentTls, right(), trusted.clone(), "did not answer within 400ms"),
            (
                Security::StartTls,
                Entrance::SilentStartTls,
                right(),
                trusted.clone(),
                "did not answer within 400ms",
            ),
            // Somebody else answers.
            (Security::StartTls, Entrance::Injected, right(), trusted.clone(), "Connection error"),
        ] {
            let server = EncryptedSmtp::start(entrance, "PLAIN LOGIN", certificate).await;
            let courier = courier(&world, &server, security, authorities).unwrap();
            let row = tried(&world, &organization, &courier).await;
            let case = format!("{security:?}, {entrance:?}, {expected}");
            // That is about the server, not about the letter: it is tried again.
            assert_eq!(
                (row.state, row.attempts),
                (DeliveryState::Pending, 1),
                "{case}: {:?}",
                row.last_error
            );
            let error = row.last_error.unwrap();
            assert!(error.contains(expected) && !error.contains("swordfish"), "{case}: {error}");
            assert!(server.taken().is_empty() && server.hidden().is_empty(), "{case}: {:?}", server.hidden());
            let harmless = |line: &String| ["EHLO bursar.test", "STARTTLS", "QUIT"].contains(&line.as_str());
            assert!(server.clear().iter().all(harmless), "{case}: {:?}", server.clear());
        }
        // What is no certificate is found out at start, and named.
        let server = EncryptedSmtp::start(Entrance::Tls, "PLAIN", right()).await;
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
        let refused = courier(&world, &server, Security::Tls, Some(broken)).err().unwrap();
        assert!(
            matches!(&refused, Error::Invalid { field, .. } if *field == "BURSAR_SMTP_CA_FILE"),
            "{refused}"
        );
    });
}
