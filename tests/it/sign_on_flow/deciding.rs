//! Deciding about what needs a session of the organization's own provider.

use bursar_domain::approval::LinkKind;
use serde_json::json;

use super::{Setting, person, start};
use crate::support::{Backend, approvals, plain_http};

pub(super) async fn deciding_about_much_goes_by_it(backend: Backend) {
    let setting = start(backend, json!({ "joinsJustInTime": true })).await;
    let Setting { world, issuer, owner, organization, clock } = &setting;
    let manager = "manager@demo.test";
    let demo = owner.demo().await;
    let managers = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    let limit = json!({ "signInAbove": { "amount": "1.00", "currency": "USD" } });
    approvals::save(owner, organization, approvals::professional(managers), limit).await;
    let asked = approvals::requested(owner, &demo.pool, "PROFESSIONAL", "much").await;
    let letter = approvals::newest(world, manager, LinkKind::Decide).await;
    // A session by mail is not enough where the provider is believed about the address, and the page leads to that.
    let by_mail = approvals::Browser::of(world, manager).await;
    let page = by_mail.open(&letter.url).await;
    assert_eq!(page.state(), (200, "SIGN_IN"));
    assert!(page.body.contains("href=\"/sso/demo\"") && !page.has_form(), "{}", page.body);
    assert_eq!(by_mail.approve(&letter).await.state(), (403, "SIGN_IN"));
    // Nor is it through the API, which says so before.
    let client = world.client(manager).await;
    let why = "query N($id: ID!) { node(id: $id) { ... on ApprovalRequest { canDecide cannotDecide } } }";
    let shown = client.query(why, json!({ "id": asked.request })).await["node"].clone();
    assert_eq!(shown, json!({ "canDecide": false, "cannotDecide": "SIGN_IN_REQUIRED" }));
    assert_eq!(approvals::why_not(&client, &asked.request, 1).await, "SIGN_IN_REQUIRED");
    assert_eq!(approvals::decisions(world).await, 0);
    // Signed in there, one decides.
    issuer.signs_in(person("s9", manager));
    let (back, cookie) = setting.there().await;
    let http = plain_http().build().unwrap();
    let response = http.get(&back).header("cookie", cookie).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let mut kept = response.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let kept = kept.find(|value| value.starts_with("bursar-person=")).unwrap().split(';').next().unwrap();
    let signed_in = approvals::Browser::with(kept);
    assert_eq!(signed_in.open(&letter.url).await.state(), (200, "OPEN"));
    assert_eq!(signed_in.approve(&letter).await.state(), (200, "DECIDED"));
    // Not when the provider is no longer believed, nor when it is again.
    clock.turn(clock.now().plus_seconds(1));
    approvals::requested(owner, &demo.pool, "PROFESSIONAL", "more").await;
    let letter = approvals::newest(world, manager, LinkKind::Decide).await;
    assert_eq!(signed_in.open(&letter.url).await.state(), (200, "OPEN"));
    for enabled in [false, true] {
        issuer.trusted_by(owner, organization, json!({ "enabled": enabled })).await;
        assert_eq!(signed_in.open(&letter.url).await.state(), (200, "SIGN_IN"), "{enabled}");
        assert_eq!(signed_in.approve(&letter).await.state(), (403, "SIGN_IN"), "{enabled}");
    }
    assert_eq!(approvals::decisions(world).await, 1);
}
