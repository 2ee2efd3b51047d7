//! What is done by a mutation, or asked for with an input: by whoever may not, of things that they see and of things
//! that they do not; and by whoever may.
//!
//! What is refused changes nothing, so everybody tries it on the same things. What is granted need not be done: that
//! the rules stand against it, because it has been done already, is for who may do it to hear.

use std::sync::atomic::{AtomicUsize, Ordering};

use bursar_domain::permission::Action;
use serde_json::{Value, json};

use super::callers::{Caller, Outcome};
use super::looks::{is_turned_away, parsed};
use super::needs::{At, Need, Who};
use super::roots::{FOR_ANYBODY, LAST, MUTATIONS, OTHERWISE, QUERIES, Step};
use super::sdl::Sdl;
use super::things::{Things, absent};
use crate::support::schema::Schema;

/// A field of a root that takes an input.
pub struct Act {
    name: &'static str,
    input: String,
    document: String,
    steps: &'static [Step],
    /// A field of the input that says something else than usual, or nothing.
    otherwise: Option<(&'static str, Option<&'static str>)>,
}

/// All of them, the mutations first.
pub fn all(sdl: &Sdl, schema: &Schema) -> Vec<Act> {
    let act = |name: &'static str, steps: &'static [Step], otherwise| {
        let (root, kind, input) = match schema.mutations.get(name) {
            Some(input) => ("Mutation", "mutation", input.clone()),
            None if name == "quotePurchase" => ("Query", "query", "QuotePurchaseInput".to_owned()),
            None => ("Query", "query", "QuoteChargeInput".to_owned()),
        };
        let fields = sdl.selection(&sdl.field(root, name).kind);
        let document = format!("{kind} A($input: {input}!) {{ {name}(input: $input) {{ {fields} }} }}");
        Act { name, input, document, steps, otherwise }
    };
    let queries = QUERIES.iter().filter(|(_, steps)| steps.iter().any(|(field, _)| !field.is_empty()));
    let usual = MUTATIONS.iter().chain(queries).map(|&(name, steps)| act(name, steps, None));
    let others = OTHERWISE.iter().map(|&(name, field, said, steps)| act(name, steps, Some((field, said))));
    usual.chain(others).collect()
}

impl Act {
    /// The input with which somebody tries it, where an id may stand for that of a field.
    fn filled(&self, schema: &Schema, things: &Things, unique: &str, other: Option<(&str, &str)>) -> Value {
        let id = |field: &str| match other {
            Some((known, id)) if self.target(field).trim_end_matches('s') == known => id.to_owned(),
            _ => things.named(self.target(field)).id.clone(),
        };
        let mut input = schema.input(&self.input, &id, unique);
        // In whose name somebody may charge is looked at by itself.
        without(&mut input, "onBehalfOfId");
        if self.name == "refundCharge" {
            input["guaranteed"] = json!(true);
        }
        if self.name == "quotePurchase" {
            // One of them is asked for.
            without(&mut input, "credits");
            without(&mut input, "quoteId");
        }
        match self.otherwise {
            Some((field, None)) => without(&mut input, field),
            Some((field, Some(said))) => input[field] = json!(said),
            None => {}
        }
        input
    }

    /// What a field of the input names, where another input means something else by the same name.
    fn target<'f>(&self, field: &'f str) -> &'f str {
        match (self.name, field) {
            ("decideApproval", "requestId") => "approvalId",
            (_, field) => field,
        }
    }

    async fn send(&self, caller: &Caller, input: &Value) -> (u16, String) {
        caller.client.text(&self.document, json!({ "input": input })).await
    }
}

/// Takes a field out of an input, wherever it is in it.
fn without(input: &mut Value, name: &str) {
    match input {
        Value::Object(fields) => {
            fields.remove(name);
            fields.values_mut().for_each(|field| without(field, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, name)),
        _ => {}
    }
}

/// Whether a payload has nothing in it but why.
fn is_empty(payload: &Value) -> bool {
    match payload {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(fields) => fields.iter().all(|(name, value)| name == "userErrors" || is_empty(value)),
        _ => false,
    }
}

/// Code and last part of the field of the first thing that stands in the way.
fn refusal(payload: &Value) -> (&str, &str) {
    let error = &payload["userErrors"][0];
    let field = error["field"].as_array().and_then(|parts| parts.last()).and_then(Value::as_str);
    (error["code"].as_str().unwrap_or("none"), field.unwrap_or_default())
}

/// Tries all that the caller may not do.
pub async fn refused(caller: &Caller, acts: &[Act], schema: &Schema, things: &Things) {
    for act in acts {
        let outcome = caller.outcome(act.steps, things);
        if outcome == Outcome::Granted {
            continue;
        }
        let input = act.filled(schema, things, "refused", None);
        let answer = act.send(caller, &input).await;
        let what = format!("{}, {}: {} {}", caller.name, act.name, answer.0, answer.1);
        if outcome == Outcome::Unauthenticated {
            is_turned_away(caller, &answer, act.name);
            continue;
        }
        let body = parsed(&answer.1);
        let payload = &body["data"][act.name];
        assert!(answer.0 == 200 && body.get("errors").is_none() && payload.is_object(), "{what}");
        assert!(is_empty(payload), "{what}");
        let Outcome::Absent(field) = outcome else {
            assert_eq!(refusal(payload).0, "FORBIDDEN", "{what}");
            continue;
        };
        let (code, named) = refusal(payload);
        assert_eq!((code, act.target(named)), ("NOT_FOUND", field), "{what}");
        let id = absent(&things.named(field).id);
        let nothing = act.filled(schema, things, "refused", Some((field, id.as_str())));
        assert_ne!(input, nothing, "{what}");
        let nothing = act.send(caller, &nothing).await;
        assert_eq!(answer, nothing, "{}, {}: what is hidden and what is not there", caller.name, act.name);
    }
}

/// Does what the caller may do, but for what everything else has to come before.
pub async fn granted(
    (number, caller): (usize, &Caller),
    acts: &[Act],
    schema: &Schema,
    things: &Things,
    spares: &AtomicUsize,
) {
    for (index, act) in acts.iter().enumerate() {
        // Who needs no token is the same whoever it is: one with one and one without will do.
        let same = act.steps == FOR_ANYBODY && number > 0 && !matches!(caller.who, Who::Nobody);
        let is_granted = caller.outcome(act.steps, things) == Outcome::Granted;
        if is_granted && !same && !LAST.contains(&act.name) {
            grant(caller, act, (schema, things, spares), &format!("m{number}-{index}")).await;
        }
    }
}

/// Does what everything else comes before, one after another.
pub async fn last(callers: &[Caller], acts: &[Act], schema: &Schema, things: &Things, spares: &AtomicUsize) {
    for name in LAST {
        let act = acts.iter().find(|act| act.name == *name).unwrap();
        for caller in callers.iter().filter(|caller| caller.outcome(act.steps, things) == Outcome::Granted) {
            grant(caller, act, (schema, things, spares), "last").await;
        }
    }
}

async fn grant(
    caller: &Caller,
    act: &Act,
    (schema, things, spares): (&Schema, &Things, &AtomicUsize),
    unique: &str,
) {
    // Who is gone cannot be removed by the next one.
    let spare = || &things.spares[spares.fetch_add(1, Ordering::Relaxed)];
    let other = match act.name {
        "removeMember" => Some(("memberId", spare().0.as_str())),
        "erasePerson" => Some(("userId", spare().1.as_str())),
        _ => None,
    };
    let input = act.filled(schema, things, unique, other);
    let (status, text) = act.send(caller, &input).await;
    let body = parsed(&text);
    let what = format!("{} may {}: {status} {text}", caller.name, act.name);
    assert!(status == 200 && body.get("errors").is_none(), "{what}");
    let (code, field) = refusal(&body["data"][act.name]);
    let checked = !field.is_empty() && act.steps.iter().any(|(known, _)| *known == act.target(field));
    assert!(code != "FORBIDDEN" && !(code == "NOT_FOUND" && checked), "{what}");
}

/// Whoever may use a department's credits, and names a colleague whom they do not see as the one on whose behalf, is
/// told the same as when there is no such colleague.
pub async fn colleagues(caller: &Caller, acts: &[Act], schema: &Schema, things: &Things) {
    let (colleague, pool) = (things.named("memberId"), things.named("poolId"));
    let for_all = caller.meets(&[Need::May(Action::ChargeDepartment, At::PoolAlone)], &pool.place);
    if !caller.is_somebody() || for_all || caller.sees(colleague) {
        return;
    }
    let names = ["chargeCredits", "holdCredits", "quoteCharge", "explainCharge"];
    for act in acts.iter().filter(|act| names.contains(&act.name) && act.otherwise.is_none()) {
        if caller.outcome(act.steps, things) != Outcome::Granted {
            continue;
        }
        let mut answers = Vec::new();
        for id in [colleague.id.clone(), absent(&colleague.id)] {
            let mut input = act.filled(schema, things, "in a name", None);
            input["onBehalfOfId"] = json!(id);
            answers.push(act.send(caller, &input).await);
        }
        assert_eq!(answers[0], answers[1], "{}, {}: a colleague and nobody", caller.name, act.name);
        let body = parsed(&answers[0].1);
        let payload = &body["data"][act.name];
        assert!(is_empty(payload) && refusal(payload).0 != "none", "{}: {body}", caller.name);
    }
}
