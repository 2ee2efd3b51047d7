//! What the stand-in of Stripe keeps, in the words of Stripe's API: sessions, payments, refunds, disputes, customers, and
//! what was set up.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// What came in a form or in an address.
pub type Fields = BTreeMap<String, String>;

/// A status, and the body that comes with it.
pub type Answered = (u16, Value);

/// All that is kept.
#[derive(Default)]
pub struct Objects {
    /// Objects by their kind, the oldest first.
    kept: BTreeMap<&'static str, Vec<Value>>,
    /// What the payments of sessions will carry.
    of_payments: BTreeMap<String, Value>,
    made: u64,
    /// Why the next charge without anybody there is declined.
    pub declines: Option<String>,
    /// How refunds stand when they are made; none: they are carried out at once.
    pub refunds_are: Option<String>,
    /// The most that a list answers at once.
    pub at_most: Option<usize>,
}

/// An error as Stripe says it.
pub fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Answered {
    (status, json!({ "error": { "type": kind, "code": code, "message": message } }))
}

fn invalid(message: &str) -> Answered {
    error(400, "invalid_request_error", None, message)
}

fn missing(what: &str) -> Answered {
    error(404, "invalid_request_error", Some("resource_missing"), &format!("No such {what}"))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What stands in brackets behind a name: `name[key]`.
fn nested(fields: &Fields, name: &str) -> Value {
    let inner = |key: &str| Some(key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?.to_owned());
    let found = fields.iter().filter_map(|(key, value)| Some((inner(key)?, json!(value))));
    Value::Object(found.filter(|(key, _)| !key.contains('[')).collect::<Map<_, _>>())
}

impl Objects {
    fn name(&mut self, prefix: &str) -> String {
        self.made += 1;
        // As long as Stripe's own, and of the same letters.
        format!("{prefix}_1StandIn0fStripe{:06}", self.made)
    }

    /// All objects of a kind, the oldest first.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        self.kept.get(kind).cloned().unwrap_or_default()
    }

    /// An object.
    pub fn find(&self, kind: &str, id: &str) -> Option<Value> {
        self.kept.get(kind)?.iter().find(|object| object["id"] == id).cloned()
    }

    /// An object that is there.
    pub fn get(&self, kind: &str, id: &str) -> Value {
        self.find(kind, id).unwrap_or_else(|| panic!("there is no {kind} {id}"))
    }

    fn keep(&mut self, kind: &'static str, object: Value) -> Value {
        self.kept.entry(kind).or_default().push(object.clone());
        object
    }

    /// Changes an object, and answers it.
    pub fn change(&mut self, kind: &str, id: &str, with: Value) -> Value {
        let objects = self.kept.get_mut(kind).unwrap_or_else(|| panic!("there are no {kind}"));
        let object = objects.iter_mut().find(|object| object["id"] == id);
        let object = object.unwrap_or_else(|| panic!("there is no {kind} {id}"));
        object.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        object.clone()
    }

    /// Answers a GET.
    pub fn read(&self, path: &[&str], query: &Fields) -> Answered {
        match path {
            ["payment_intents"] | ["refunds"] | ["disputes"] => self.list(path[0], query),
            ["checkout", "sessions"] => self.list("sessions", query),
            ["checkout", "sessions", id] => {
                let (status, mut session) = self.found("sessions", id);
                let expanded = query.get("expand[]").is_some_and(|what| what == "payment_intent");
                let intent = session["payment_intent"].as_str().filter(|_| expanded);
                if let Some(intent) = intent.map(|id| self.get("payment_intents", id)) {
                    session["payment_intent"] = intent;
                }
                (status, session)
            }
            ["invoices", id] => self.found("invoices", id),
            ["refunds", id] => self.found("refunds", id),
            ["disputes", id] => self.found("disputes", id),
            ["payment_intents", id] => self.found("payment_intents", id),
            ["setup_intents", id] => {
                let (status, mut intent) = self.found("setup_intents", id);
                let expanded = query.get("expand[]").is_some_and(|what| what == "payment_method");
                if status == 200 && !expanded {
                    intent["payment_method"] = intent["payment_method"]["id"].clone();
                }
                (status, intent)
            }
            _ => missing("address"),
        }
    }

    fn found(&self, kind: &str, id: &str) -> Answered {
        self.find(kind, id).map_or_else(|| missing(kind), |object| (200, object))
    }

    /// A list, the newest first.
    fn list(&self, kind: &str, query: &Fields) -> Answered {
        let number = |name: &str| query.get(name).map(|text| text.parse::<u64>().unwrap());
        let limit = number("limit").unwrap_or(10);
        if limit == 0 || limit > 100 {
            return invalid("The limit must be between 1 and 100");
        }
        let limit = self.at_most.unwrap_or(100).min(usize::try_from(limit).unwrap());
        let since = number("created[gte]").unwrap_or_default();
        let mut objects = self.all(kind);
        objects.reverse();
        objects.retain(|object| object["created"].as_u64().unwrap() >= since);
        if let Some(payment) = query.get("payment_intent") {
            objects.retain(|object| object["payment_intent"] == json!(payment));
        }
        if let Some(after) = query.get("starting_after") {
            let Some(at) = objects.iter().position(|object| object["id"] == json!(after)) else {
                return missing(kind);
            };
            objects.drain(..=at);
        }
        let has_more = objects.len() > limit;
        objects.truncate(limit);
        (
            200,
            json!({ "object": "list", "url": format!("/v1/{kind}"), "has_more": has_more, "data": objects }),
        )
    }

    /// Answers a POST. `pages` is where checkouts can be paid.
    pub fn write(&mut self, path: &[&str], form: &Fields, pages: &str) -> Answered {
        match path {
            ["checkout", "sessions"] => self.open_session(form, pages),
            ["checkout", "sessions", id, "expire"] => {
                let (status, session) = self.found("sessions", id);
                if status != 200 || session["status"] == "open" {
                    return if status == 200 { (200, self.expire(id)) } else { (status, session) };
                }
                invalid(&format!(
                    "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a \
                     status of `{}`.",
                    session["status"].as_str().unwrap()
                ))
            }
            ["customers"] => {
                let id = self.name("cus");
                let customer = json!({ "id": id, "object": "customer", "name": form.get("name"), "created": now(),
                    "metadata": nested(form, "metadata") });
                (200, self.keep("customers", customer))
            }
            ["payment_intents"] => self.charge(form),
            ["refunds"] => {
                let (Some(payment), Some(amount)) = (form.get("payment_intent"), form.get("amount")) else {
                    return invalid("A refund needs a payment and an amount");
                };
                self.refund(payment, amount.parse().unwrap(), nested(form, "metadata"))
            }
            _ => missing("address"),
        }
    }

    fn open_session(&mut self, form: &Fields, pages: &str) -> Answered {
        let text = |name: &str| form.get(name).cloned();
        let price = "line_items[0][price_data]";
        let setup = match text("mode").as_deref() {
            Some("payment") => false,
            Some("setup") => true,
            _ => return invalid("Invalid mode: must be one of payment, setup, or subscription"),
        };
        if text("success_url").is_none() {
            return invalid("Missing required param: success_url.");
        }
        let amount: Option<i64> =
            text(&format!("{price}[unit_amount]")).map(|text| text.parse().expect("no whole amount"));
        let product = text(&format!("{price}[product_data][name]")).is_some();
        if !setup && (amount.is_none_or(|amount| amount <= 0) || !product) {
            return invalid("Missing required param: line_items.");
        }
        let currency = text(&format!("{price}[currency]")).or_else(|| text("currency"));
        if currency.as_ref().is_none_or(|code| code.len() != 3 || code.to_lowercase() != *code) {
            return invalid("Invalid currency");
        }
        let id = self.name("cs_test");
        let setup_intent = setup.then(|| self.name("seti"));
        if let Some(intent) = &setup_intent {
            let metadata = nested(form, "setup_intent_data[metadata]");
            let intent = json!({ "id": intent, "object": "setup_intent", "status": "requires_payment_method",
                "customer": text("customer"), "payment_method": null, "metadata": metadata, "created": now() });
            self.keep("setup_intents", intent);
        }
        self.of_payments.insert(id.clone(), nested(form, "payment_intent_data[metadata]"));
        let session = json!({ "id": id, "object": "checkout.session", "url": format!("{pages}{id}"),
            "mode": text("mode"), "status": "open", "livemode": false, "created": now(),
            "payment_status": if setup { "no_payment_required" } else { "unpaid" },
            "amount_total": amount, "currency": currency, "payment_intent": null, "setup_intent": setup_intent,
            "customer": text("customer"), "client_reference_id": text("client_reference_id"),
            "metadata": nested(form, "metadata"), "success_url": text("success_url"),
            "cancel_url": text("cancel_url"), "expires_at": text("expires_at").map(|at| at.parse::<i64>().unwrap()) });
        (200, self.keep("sessions", session))
    }

    /// Completes a session: it is paid, or will be, or a card was given.
    pub fn complete(&mut self, id: &str, paid: bool) -> Value {
        let session = self.get("sessions", id);
        if session["status"] == "complete" {
            return session;
        }
        assert_eq!(session["status"], "open", "{session}");
        if let Some(intent) = session["setup_intent"].as_str().map(str::to_owned) {
            let method = json!({ "id": self.name("pm"), "object": "payment_method", "type": "card",
                "card": { "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2040 } });
            self.change("setup_intents", &intent, json!({ "status": "succeeded", "payment_method": method }));
            return self.change("sessions", id, json!({ "status": "complete", "url": null }));
        }
        let (amount, metadata) = (session["amount_total"].as_i64().unwrap(), self.of_payments[id].clone());
        let intent = self.payment(amount, &session["currency"], &metadata, paid);
        let (status, intent) = (if paid { "paid" } else { "unpaid" }, intent["id"].clone());
        let with =
            json!({ "status": "complete", "url": null, "payment_status": status, "payment_intent": intent });
        self.change("sessions", id, with)
    }

    /// A payment that was made, or is on its way.
    fn payment(&mut self, amount: i64, currency: &Value, metadata: &Value, paid: bool) -> Value {
        let (id, charge) = (self.name("pi"), self.name("ch"));
        let (status, received) = if paid { ("succeeded", amount) } else { ("processing", 0) };
        let intent = json!({ "id": id, "object": "payment_intent", "status": status, "amount": amount,
            "amount_received": received, "currency": currency, "metadata": metadata, "latest_charge": charge,
            "last_payment_error": null, "created": now(), "livemode": false });
        self.keep("payment_intents", intent)
    }

    /// What was on its way is there, or does not come.
    pub fn end(&mut self, id: &str, paid: bool) -> Value {
        let session = self.get("sessions", id);
        let intent = session["payment_intent"].as_str().unwrap().to_owned();
        let amount = &session["amount_total"];
        if paid {
            self.change(
                "payment_intents",
                &intent,
                json!({ "status": "succeeded", "amount_received": amount }),
            );
            return self.change("sessions", id, json!({ "payment_status": "paid" }));
        }
        self.change("payment_intents", &intent, json!({ "status": "requires_payment_method" }));
        session
    }

    /// A bill of Stripe's own that a payment has paid.
    pub fn bill(&mut self, payment: &str) -> Value {
        let id = self.name("in");
        let bill = json!({ "id": id, "object": "invoice", "status": "paid", "payment_intent": payment,
            "created": now() });
        self.keep("invoices", bill)
    }

    /// A session runs out.
    pub fn expire(&mut self, id: &str) -> Value {
        self.change("sessions", id, json!({ "status": "expired", "url": null }))
    }

    /// Charges without anybody there.
    fn charge(&mut self, form: &Fields) -> Answered {
        let text = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let right = text("off_session") == "true" && text("confirm") == "true";
        if !right || self.find("customers", text("customer")).is_none() {
            return invalid("Only charges of kept cards are made here");
        }
        let given = |setup: &Value| {
            setup["payment_method"]["id"] == json!(text("payment_method"))
                && setup["customer"] == json!(text("customer"))
        };
        if !self.all("setup_intents").iter().any(given) {
            return missing("PaymentMethod");
        }
        let (amount, currency) = (text("amount").parse().unwrap(), json!(text("currency")));
        let metadata = nested(form, "metadata");
        let Some(code) = self.declines.take() else {
            return (200, self.payment(amount, &currency, &metadata, true));
        };
        let asks = code == "authentication_required";
        let reason = json!({ "type": "card_error", "code": if asks { code.as_str() } else { "card_declined" },
            "decline_code": code, "message": "Your card was declined." });
        let intent = self.payment(amount, &currency, &metadata, false);
        let with = json!({ "status": "requires_payment_method", "last_payment_error": reason });
        let intent = self.change("payment_intents", intent["id"].as_str().unwrap(), with);
        let mut body = json!({ "error": reason });
        body["error"]["payment_intent"] = intent;
        (402, body)
    }

    /// Gives money back.
    pub fn refund(&mut self, payment: &str, amount: i64, metadata: Value) -> Answered {
        let (status, intent) = self.found("payment_intents", payment);
        if status != 200 {
            return (status, intent);
        }
        let of_payment =
            |refund: &&Value| refund["payment_intent"] == json!(payment) && refund["status"] != "failed";
        let returned: i64 = self
            .all("refunds")
            .iter()
            .filter(of_payment)
            .map(|refund| refund["amount"].as_i64().unwrap())
            .sum();
        if amount <= 0 || returned + amount > intent["amount_received"].as_i64().unwrap() {
            let message = "Refund amount is greater than unrefunded amount on charge";
            return error(400, "invalid_request_error", Some("charge_already_refunded"), message);
        }
        let id = self.name("re");
        let stands = self.refunds_are.clone().unwrap_or_else(|| "succeeded".to_owned());
        let refund = json!({ "id": id, "object": "refund", "payment_intent": payment, "charge": intent["latest_charge"],
            "amount": amount, "currency": intent["currency"], "status": stands, "metadata": metadata,
            "created": now() });
        (200, self.keep("refunds", refund))
    }

    /// The bank of a buyer asks for money back.
    pub fn dispute(&mut self, payment: &str, amount: i64) -> Value {
        let intent = self.get("payment_intents", payment);
        let id = self.name("dp");
        let dispute = json!({ "id": id, "object": "dispute", "payment_intent": payment, "charge": intent["latest_charge"],
            "amount": amount, "currency": intent["currency"], "status": "needs_response", "reason": "fraudulent",
            "created": now() });
        self.keep("disputes", dispute)
    }
}
