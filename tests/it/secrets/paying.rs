//! What has to do with paying: an agreement, a checkout, the document of it, and what somebody has to agree to first.

use bursar::approvals::ApprovalLink;
use bursar::auth::Keys;
use bursar::clock::Clock;
use bursar_domain::approval::LinkKind;
use bursar_entity::approval_link;
use secrecy::SecretString;
use serde_json::json;

use super::{Run, last, submit};
use crate::support::client::Demo;
use crate::support::process::SIGNING_SECRET;
use crate::support::{Client, approvals, consent};

impl Run {
    /// Agrees to be charged.
    pub async fn consent(&mut self, owner: &Client, demo: &Demo) {
        let input = json!({ "poolId": demo.pool, "threshold": 1, "package": "STARTER" });
        let set = owner.mutate("setAutoTopUp", "SetAutoTopUpInput", input, "setupUrl").await;
        let url = set["setupUrl"].as_str().unwrap().replace("http://bursar.test", owner.base());
        self.keep("an agreement to pay", last(&url));
        assert_eq!(owner.open(&format!("{url}x")).await.0, 404);
        assert_eq!(owner.open(&url).await.0, 200);
        let keys = Keys::derive(&SecretString::from(SIGNING_SECRET));
        let code = consent::code(&keys, &url);
        assert_eq!(submit(owner, &url, &[("choice", "pays"), ("code", code.as_str())]).await.0, 200);
    }

    /// Agrees to a purchase by a mail.
    pub async fn approval(&mut self, owner: &Client, demo: &Demo) {
        let managers =
            json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
        approvals::save(owner, &demo.organization, approvals::professional(managers), json!({})).await;
        approvals::requested(owner, &demo.pool, "PROFESSIONAL", "to agree to").await;
        let letter = self.smtp.letter("manager@demo.test", 1).await;
        let (link, code) = (letter.link(approvals::LINK), approvals::code_of(&letter));
        self.keep("a link to decide by", last(&link));
        let url = owner.url(&format!("/approval/{}", last(&link)));
        self.opened_by_others(&url).await;
        let nonce = self.nonce_of(&url).await;
        let form = [("nonce", nonce.as_str()), ("code", code.as_str()), ("choice", "APPROVE")];
        for (url, expected) in [(format!("{url}x"), 404), (url.clone(), 200), (url, 409)] {
            assert_eq!(submit(owner, &url, &form).await.0, expected);
        }
        // Whoever has asked pays by another link.
        let rows = self.database.rows::<approval_link::Entity>().await;
        let row =
            rows.into_iter().find(|row| row.kind == LinkKind::Pay).expect("nobody was sent a link to pay by");
        let keys = Keys::derive(&SecretString::from(SIGNING_SECRET));
        let link = ApprovalLink::new(&keys, &row);
        self.keep("a link to pay by", last(&link.path()));
        let url = owner.url(&link.path());
        let (nonce, code) = (self.nonce_of(&url).await, link.code(&keys));
        let form = [("nonce", nonce.as_str()), ("code", code.as_str())];
        for (url, expected) in [(format!("{url}x"), 404), (url, 303)] {
            assert_eq!(submit(owner, &url, &form).await.0, expected);
        }
    }

    /// Pays at a provider, which tells of it, and somebody else tells of it too.
    pub async fn checkout(&mut self, owner: &Client, demo: &Demo) {
        let (purchase, _) = owner.checkout(&demo.pool, "bought").await;
        let session = self.stripe.session_of(&purchase);
        let back = self.stripe.object("sessions", &session)["success_url"].as_str().unwrap().to_owned();
        let url = back.strip_suffix("/done").unwrap().replace("http://bursar.test", &self.process.base);
        self.keep("a checkout", last(&url));
        assert_eq!(owner.open(&format!("{url}x")).await.0, 404);
        let event = self.stripe.pay(&session);
        let now = Clock::system().now();
        let (forged, good) = (event.signed_with("whsec_another", now), event.signature(now));
        for (signature, expected) in [(&forged, 400), (&good, 200), (&good, 200)] {
            let answered = self.stripe.post(&self.process.base, &event.body, signature).await;
            assert_eq!(answered, Some(expected));
        }
        let query = r#"{ organization(by: { slug: "demo" }) { billing { documents(first: 1) { nodes { url pdfUrl } } } } }"#;
        let data = owner.query(query, json!({})).await;
        let document = &data["organization"]["billing"]["documents"]["nodes"][0];
        let address =
            |name: &str| document[name].as_str().unwrap().replace("http://bursar.test", &self.process.base);
        let (page, pdf) = (address("url"), address("pdfUrl"));
        self.keep("a document", last(&page));
        for (url, expected) in [(page.clone(), 200), (pdf, 200), (format!("{page}x"), 404)] {
            let opened = owner.http().get(&url).send().await.unwrap();
            assert_eq!(opened.status().as_u16(), expected);
        }
        let (status, page) = owner.open(&url).await;
        assert_eq!(status, 200, "{page}");
    }
}
