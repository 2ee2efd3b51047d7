//! Every stream as everybody: who may watch something is shown it, and others are told the same as of an id that is of
//! nothing.

use serde_json::{Value, json};

use super::callers::{Caller, Outcome};
use super::needs::Who;
use super::roots::{STREAMS, Step};
use super::sdl::Sdl;
use super::things::{Things, absent};
use crate::support::Socket;

/// Who is asked to decide now, and so is told of it by the stream of requests.
const DECIDES: &str = "member@demo.test";

/// All of them.
pub async fn all(caller: &Caller, things: &Things, sdl: &Sdl) {
    let Some(mut socket) = opened(caller).await else {
        assert!(!caller.is_somebody(), "{} is not let in", caller.name);
        return;
    };
    for (name, argument, step) in STREAMS {
        // The argument is there, or the document would not be valid.
        let fields = match sdl.field("Subscription", name).kind.as_str() {
            "Purchase" | "ApprovalRequest" => "id state",
            _ => "version",
        };
        let document = format!("subscription S($id: ID!) {{ {name}({argument}: $id) {{ {fields} }} }}");
        let steps: &[Step] = &[*step];
        let id = things.named(step.0).id.clone();
        let what = format!("{}, {name}", caller.name);
        let is_told = |who: &Who| matches!(who, Who::Person(person) if person.email == DECIDES);
        if *name == "approvalRequests"
            && !is_told(&caller.who)
            && caller.outcome(steps, things) == Outcome::Granted
        {
            says_nothing(&mut socket, &document, &id, &what).await;
            continue;
        }
        let shown = answer(&mut socket, &document, &id).await;
        match (caller.outcome(steps, things), shown) {
            (Outcome::Granted, Ok(message)) => {
                assert_eq!(message["type"], "next", "{what}: {message}");
                let payload = &message["payload"];
                let shown = payload["data"][*name].is_object() && payload.get("errors").is_none();
                assert!(shown, "{what}: {message}");
                socket.send(json!({ "id": id, "type": "complete" })).await;
            }
            (Outcome::Unauthenticated, Ok(message)) => {
                let code = &message["payload"][0]["extensions"]["code"];
                assert!(message["type"] == "error" && code == "UNAUTHENTICATED", "{what}: {message}");
            }
            (Outcome::Unauthenticated, Err((code, _))) => {
                assert_eq!(code, 4403, "{what}");
                return;
            }
            (_, Ok(message)) => {
                let mut nothing = answer(&mut socket, &document, &absent(&id)).await.unwrap();
                nothing["id"] = message["id"].clone();
                assert_eq!(message, nothing, "{what}: what is hidden and what is not there");
                let code = &message["payload"][0]["extensions"]["code"];
                assert!(message["type"] == "error" && code == "BAD_USER_INPUT", "{what}: {message}");
            }
            (_, Err(closed)) => panic!("{what}: {closed:?}"),
        }
    }
}

/// Watches what there is nothing to be seen of: neither an event comes before the server has answered to something that was
/// sent later, nor a refusal.
async fn says_nothing(socket: &mut Socket, document: &str, id: &str, what: &str) {
    socket.subscribe(id, document, json!({ "id": id })).await;
    socket.send(json!({ "type": "ping" })).await;
    loop {
        let message = socket.raw_message().await.unwrap();
        assert_ne!(message["id"], id, "{what}: {message}");
        if message["type"] == "pong" {
            break;
        }
    }
    socket.send(json!({ "id": id, "type": "complete" })).await;
}

/// A socket on which the caller has said who it is, if the server lets them in.
async fn opened(caller: &Caller) -> Option<Socket> {
    let mut socket = Socket::connect(caller.client.base(), None).await.unwrap();
    let payload = match caller.who {
        Who::Nobody => json!({}),
        _ => json!({ "authorization": format!("Bearer {}", caller.client.token()) }),
    };
    socket.send(json!({ "type": "connection_init", "payload": payload })).await;
    match socket.message().await {
        Ok(message) => {
            assert_eq!(message["type"], "connection_ack", "{}", caller.name);
            Some(socket)
        }
        Err((code, reason)) => {
            assert_eq!(code, 4403, "{}: {reason}", caller.name);
            None
        }
    }
}

/// The first message of a subscription, whose id is that of what it watches.
async fn answer(socket: &mut Socket, document: &str, id: &str) -> Result<Value, (u16, String)> {
    socket.subscribe(id, document, json!({ "id": id })).await;
    loop {
        let message = socket.message().await?;
        if message["id"] == id {
            return Ok(message);
        }
    }
}
