//! Signing in as people do, for tests.

use std::time::Duration;

use bursar::sign_in::SignInLink;
use bursar_entity::{sign_in_link, user};
use serde_json::{Value, json};

use super::{Client, DEADLINE, World};

/// What somebody who has signed in has, with somebody who calls by it.
pub struct Opened {
    /// The session's global id.
    pub id: String,
    /// The refresh token.
    pub refresh: String,
    /// Who calls by the token.
    pub client: Client,
}

/// What the answers to redeeming and refreshing are asked for.
pub const TOKENS: &str =
    "tokens { accessToken accessTokenExpiresAt refreshToken session { id current createdAt expiresAt } }";

impl Opened {
    /// The session in the answer of a mutation.
    pub fn of(world: &World, payload: &Value) -> Opened {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{payload}")).to_owned();
        let tokens = &payload["tokens"];
        Opened {
            id: text(&tokens["session"]["id"]),
            refresh: text(&tokens["refreshToken"]),
            client: Client::new(&world.base, Some(text(&tokens["accessToken"]))),
        }
    }
}

/// Asks for a link as nobody, and answers the payload.
pub async fn ask(world: &World, email: &str) -> Value {
    let input = json!({ "email": email });
    world.anonymous().try_mutate("requestSignInLink", "RequestSignInLinkInput", input, "requested").await
}

/// The rows of the links of a person, oldest first.
pub async fn links(world: &World, email: &str) -> Vec<sign_in_link::Model> {
    let people = world.database.rows::<user::Entity>().await;
    let Some(person) = people.into_iter().find(|person| person.email == email) else { return Vec::new() };
    let mut rows = world.database.rows::<sign_in_link::Entity>().await;
    rows.retain(|row| row.user_id == person.id);
    rows.sort_by_key(|row| row.id);
    rows
}

/// Asks for a link and waits until there is one, which is after the answer.
pub async fn link(world: &World, email: &str) -> SignInLink {
    let before: Vec<_> = links(world, email).await.iter().map(|row| row.id).collect();
    let payload = ask(world, email).await;
    assert_eq!(payload["requested"], true, "{payload}");
    let come = async {
        loop {
            let rows = links(world, email).await;
            if let Some(row) = rows.into_iter().find(|row| !before.contains(&row.id)) {
                break row;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let row = tokio::time::timeout(DEADLINE, come).await.expect("there is no link");
    SignInLink::new(&world.services().keys, &row)
}

/// Redeems the last part of a link's address with the code of its mail, and answers the payload, whatever it says.
pub async fn redeem(world: &World, token: &str) -> Value {
    let keys = &world.services().keys;
    // What is no link has no mail.
    let code = SignInLink::read(keys, token).map_or_else(|_| "0000".to_owned(), |link| link.code(keys));
    redeem_with(world, token, &code).await
}

/// Redeems the last part of a link's address with a code, and answers the payload, whatever it says.
pub async fn redeem_with(world: &World, token: &str, code: &str) -> Value {
    let input = json!({ "token": token, "code": code });
    world.anonymous().try_mutate("redeemSignInLink", "RedeemSignInLinkInput", input, TOKENS).await
}

/// Refreshes, and answers the payload, whatever it says.
pub async fn refresh(world: &World, token: &str) -> Value {
    let input = json!({ "refreshToken": token });
    world.anonymous().try_mutate("refreshSession", "RefreshSessionInput", input, TOKENS).await
}

/// Signs a person in by a link.
pub async fn sign_in(world: &World, email: &str) -> Opened {
    let link = link(world, email).await;
    Opened::of(world, &redeem(world, &link.text()).await)
}

/// Signs out, and answers the ids of the sessions that have ended.
pub async fn sign_out(client: &Client, everywhere: bool) -> Vec<String> {
    let input = json!({ "everywhere": everywhere });
    let payload = client.mutate("signOut", "SignOutInput", input, "sessions { id revokedAt }").await;
    let ended = payload["sessions"].as_array().unwrap();
    assert!(ended.iter().all(|session| session["revokedAt"].is_string()), "{payload}");
    ended.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
}
