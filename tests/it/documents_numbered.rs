//! Numbered documents: no gaps, whoever issues them at once and whatever fails; they say for ever what they said; their
//! addresses prove themselves.

use bursar::billing::{Content, DocumentLink, Issue, issue_document};
use bursar::clock::Clock;
use bursar::config::Seller;
use bursar::db;
use bursar::error::Error;
use bursar_domain::Timestamp;
use bursar_domain::invoice::DocumentKind;
use bursar_entity::{document, purchase};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{self, Opened, billed, newest_document, on_invoice};
use crate::support::client::Demo;
use crate::support::mail::tenant;
use crate::support::{Backend, Client, World};

on_both_databases!(numbers_have_no_gaps, a_document_says_what_it_said, days_are_those_of_the_organization);

async fn numbers_have_no_gaps(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let bought = world.database.rows::<purchase::Entity>().await.remove(0);
    let (context, tenant) = (world.services().context.clone(), tenant(&demo.organization));
    let issued = (0..60).map(|number| {
        let (context, bought) = (context.clone(), bought.clone());
        async move {
            let clock = context.clock.clone();
            let work = db::work(move |txn| {
                let (clock, bought) = (clock.clone(), bought.clone());
                Box::pin(async move {
                    let issue = Issue {
                        kind: DocumentKind::CreditNote,
                        purchase: &bought,
                        title: "Returned",
                        total: 1 + number,
                        corrects: None,
                        pays: None,
                        purchase_order: None,
                        at: clock.now(),
                        due_at: None,
                    };
                    let row = issue_document(txn, (tenant, &Seller::default()), &clock, issue).await?;
                    // What fails after its number was taken takes no number.
                    if number % 6 == 5 { Err(Error::Forbidden) } else { Ok(row.number) }
                })
            });
            context.db.write(tenant, work).await.ok()
        }
    });
    let mut numbers: Vec<i64> = join_all(issued).await.into_iter().flatten().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<i64>>());
    let rows = world.database.rows::<document::Entity>().await;
    let mut written: Vec<String> = rows
        .into_iter()
        .filter(|row| row.kind == DocumentKind::CreditNote)
        .map(|row| row.written_number)
        .collect();
    written.sort_unstable();
    assert_eq!(written.len(), 50);
    assert_eq!((written[0].as_str(), written[49].as_str()), ("CRN-DEMO-000001", "CRN-DEMO-000050"));
}

async fn days_are_those_of_the_organization(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let bought = world.database.rows::<purchase::Entity>().await.remove(0);
    let services = world.services();
    // Half past three in the morning by UTC on the first of January of 2026.
    let night = Timestamp::from_micros(1_767_238_200_000_000);
    let issued = async || {
        let (clock, bought, tenant) = (Clock::set(night), bought.clone(), tenant(&demo.organization));
        let work = db::work(move |txn| {
            let (clock, bought) = (clock.clone(), bought.clone());
            Box::pin(async move {
                let issue = Issue {
                    kind: DocumentKind::Invoice,
                    purchase: &bought,
                    title: "Starter",
                    total: bought.total,
                    corrects: None,
                    pays: None,
                    purchase_order: None,
                    at: clock.now(),
                    due_at: Some(night.plus_days(14)),
                };
                issue_document(txn, (tenant, &Seller::default()), &clock, issue).await
            })
        });
        services.context.db.write(tenant, work).await.unwrap()
    };
    let shown = async |row: &document::Model| {
        let (status, page) = owner.open(&owner.url(&DocumentLink::new(&services.keys, row).path())).await;
        assert_eq!(status, 200, "{page}");
        page
    };
    // There it is still the last day of the year before.
    let first = issued().await;
    let page = shown(&first).await;
    for expected in ["2025-12-31", "2026-01-14", "America/New_York"] {
        assert!(page.contains(expected), "{expected} is not in {page}");
    }
    let input = json!({ "organizationId": demo.organization, "timeZone": "Asia/Tokyo" });
    owner.mutate("updateOrganization", "UpdateOrganizationInput", input, "organization { id }").await;
    let content = Content::of(&issued().await).unwrap();
    assert_eq!(
        (content.issued.as_str(), content.due.as_deref(), content.zone.as_str()),
        ("2026-01-01", Some("2026-01-15"), "Asia/Tokyo")
    );
    assert_eq!(shown(&first).await, page, "what was said stays said");
}

/// What a document says, on its page and in its PDF: facts with their labels, then amounts with theirs.
fn says(opened: &Opened, facts: &[(&str, &str)], amounts: &[(&str, &str)]) {
    let Opened { page, pdf, .. } = opened;
    // Words that people have chosen are kept apart from the direction of what is around them.
    let plain = page.replace("<bdi>", "").replace("</bdi>", "");
    for (label, fact) in facts {
        assert!(plain.contains(&format!("<dt>{label}</dt><dd>{fact}<")), "{label}: {fact} is not in {page}");
        assert!(pdf.contains(&format!("{label}\n{fact}\n")), "{label}: {fact} is not in {pdf}");
    }
    for (label, amount) in amounts {
        let shown =
            plain.split(&format!("<dt>{label}</dt>")).nth(1).and_then(|rest| rest.split("</dd>").next());
        let there = shown.is_some_and(|shown| shown.ends_with(&format!(">USD {amount}")));
        assert!(there, "{label}: USD {amount} is not in {page}");
        let drawn = [format!("{label}\n{amount}\n"), format!("{label}, USD\n{amount}\n")];
        assert!(drawn.iter().any(|drawn| pdf.contains(drawn)), "{label}: {amount} is not in {pdf}");
    }
    // What `billed` says of the buyer is on each of them.
    for expected in
        ["Acme Ltd.", "1 Main Street", "Town", "DE", "Tax ID DE1", "Cost centre 7", "Starter: 100 credits"]
    {
        assert!(plain.contains(expected), "{expected} is not in {page}");
        assert!(pdf.lines().any(|line| line == expected), "{expected} is not in {pdf}");
    }
}

async fn a_document_says_what_it_said(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    billed(&operator, &owner, &demo.organization, "10000.00").await;
    let (purchase, url) = owner.checkout(&demo.pool, "k").await;
    owner.submit(&format!("{url}/pay")).await;
    let opened = newest_document(&owner).await;
    // 199.00 with 19 percent in it.
    says(&opened, &[], &[("Net", "167.23"), ("VAT, 19 %", "31.77"), ("Total", "199.00")]);
    let receipt = opened.node;
    assert_eq!(
        (&receipt["kind"], &receipt["purchase"]["id"], &receipt["total"]["amount"]),
        (&json!("RECEIPT"), &json!(purchase), &json!("199.00"))
    );
    let here = |url: &Value| url.as_str().unwrap().replace("http://bursar.test", &owner.url(""));
    let (page_url, pdf_url) = (here(&receipt["url"]), here(&receipt["pdfUrl"]));
    let page = opened.page;
    let number = receipt["number"].as_str().unwrap();
    assert!(page.contains(number), "{page}");
    assert!(opened.pdf.starts_with(&format!("Receipt {number}\n")), "{}", opened.pdf);
    let fetched = owner.http().get(&pdf_url).send().await.unwrap();
    let header = |name: &str| fetched.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("content-type").as_str(), header("cache-control").as_str()),
        ("application/pdf", "no-store")
    );
    assert_eq!(header("content-disposition"), format!("attachment; filename=\"{number}.pdf\""));
    let pdf = fetched.bytes().await.unwrap();
    assert!(pdf.starts_with(b"%PDF-"));
    let end = String::from_utf8_lossy(&pdf[pdf.len() - 64..]).into_owned();
    assert!(end.contains("startxref") && end.trim_end().ends_with("%%EOF"), "{end}");
    let invoiced = documents_of_an_invoice((&owner, &operator), &demo).await;
    // What is changed afterwards is said by documents that come afterwards.
    let input =
        json!({ "organizationId": demo.organization, "name": "Another Ltd.", "address": "2 Side Street" });
    owner.mutate("setBillingProfile", "SetBillingProfileInput", input, "billingProfile { name }").await;
    assert_eq!(owner.open(&page_url).await, (200, page));
    // What takes an invoice back has its taxes, though there are none by now, and the last part what is left of them: by the
    // rate alone 100.00 and 99.00 would have 31.78 of its 31.77.
    let input = json!({ "purchaseId": invoiced, "reason": "All of it", "idempotencyKey": "all back" });
    operator.mutate("refundPurchase", "RefundPurchaseInput", input, "purchase { state }").await;
    let last = newest_document(&owner).await;
    assert_eq!((&last.node["kind"], &last.node["total"]["amount"]), (&json!("CREDIT_NOTE"), &json!("99.00")));
    let mut notes = world.database.rows::<document::Entity>().await;
    notes.retain(|row| Some(row.written_number.as_str()) == last.node["number"].as_str());
    let content = Content::of(&notes[0]).unwrap();
    let taxes: Vec<[&str; 3]> = content
        .taxes
        .iter()
        .map(|tax| [tax.label.as_str(), tax.percent.as_str(), tax.amount.as_str()])
        .collect();
    assert_eq!((content.buyer.name.as_str(), content.net.as_str()), ("Another Ltd.", "83.20"));
    assert_eq!(taxes, [["VAT", "19", "15.80"]]);
    addresses_prove_themselves(&world, &owner, (&page_url, &pdf_url)).await;
}

/// An invoice, a part of which is paid, then a part credited, then the rest paid: each has a document that says so. Answers
/// the purchase.
async fn documents_of_an_invoice((owner, operator): (&Client, &Client), demo: &Demo) -> Value {
    let bought = on_invoice(owner, &demo.pool, "4711").await;
    let (invoice, purchase) = (&bought["invoice"]["id"], &bought["purchase"]["id"]);
    let opened = newest_document(owner).await;
    assert_eq!(
        (&opened.node["kind"], &opened.node["number"]),
        (&json!("INVOICE"), &json!("INV-DEMO-000001"))
    );
    let query = "query I($id: ID!) { node(id: $id) { ... on Invoice { createdAt dueAt } } }";
    let times = owner.query(query, json!({ "id": invoice })).await["node"].clone();
    let day = |at: &Value| {
        let at = chrono::DateTime::from_timestamp_micros(acts::at(at.as_str().unwrap()).micros()).unwrap();
        at.with_timezone(&chrono_tz::America::New_York).format("%Y-%m-%d").to_string()
    };
    let (issued, due) = (day(&times["createdAt"]), day(&times["dueAt"]));
    let order = ("Purchase order", "PO 4711");
    let facts = [("Date", issued.as_str()), ("Payable until", due.as_str()), order];
    says(&opened, &facts, &[("Net", "167.23"), ("VAT, 19 %", "31.77"), ("Total", "199.00")]);
    // A part of it is paid. What is recorded once has one receipt.
    let paid = async |amount: &str, dry_run: bool| {
        let amount_of = json!({ "amount": amount, "currency": "USD" });
        let input = json!({ "invoiceId": invoice, "amount": amount_of, "receivedAt": times["createdAt"],
            "idempotencyKey": amount, "dryRun": dry_run });
        let fields = "invoice { state } purchase { state }";
        operator.mutate("recordInvoicePayment", "RecordInvoicePaymentInput", input, fields).await;
        newest_document(owner).await
    };
    assert_eq!(paid("50.00", true).await.node["number"], "INV-DEMO-000001", "nothing was written");
    let received = |opened: &Opened, number: &str, amount: &str, left: &str| {
        assert_eq!((&opened.node["kind"], &opened.node["number"]), (&json!("RECEIPT"), &json!(number)));
        assert_eq!(
            (&opened.node["purchase"]["id"], &opened.node["total"]["amount"]),
            (purchase, &json!(amount))
        );
        let facts = [("Pays", "Invoice INV-DEMO-000001"), ("Received on", issued.as_str()), order];
        says(opened, &facts, &[("Amount received", amount), ("Still due", left)]);
        // The invoice says the tax.
        assert!(!opened.page.contains("VAT") && !opened.pdf.contains("VAT"), "{}", opened.page);
    };
    for _ in 0..2 {
        received(&paid("50.00", false).await, "REC-DEMO-000003", "50.00", "149.00");
    }
    // A part is credited: it takes back the invoice, not the receipt that came after that.
    let amount = json!({ "amount": "100.00", "currency": "USD" });
    let input =
        json!({ "purchaseId": purchase, "amount": amount, "reason": "Too many", "idempotencyKey": "back" });
    operator.mutate("refundPurchase", "RefundPurchaseInput", input, "purchase { state }").await;
    let opened = newest_document(owner).await;
    assert_eq!(
        (&opened.node["kind"], &opened.node["number"]),
        (&json!("CREDIT_NOTE"), &json!("CRN-DEMO-000001"))
    );
    assert_eq!(opened.node["corrects"]["number"], "INV-DEMO-000001");
    let facts = [
        ("Corrects", "Invoice INV-DEMO-000001"),
        ("Reason", "Too many"),
        ("Credits taken back", "51"),
        order,
    ];
    says(&opened, &facts, &[("Net", "84.03"), ("VAT, 19 %", "15.97"), ("Total credited", "100.00")]);
    // The rest is paid.
    for _ in 0..2 {
        received(&paid("49.00", false).await, "REC-DEMO-000004", "49.00", "0.00");
    }
    purchase.clone()
}

async fn addresses_prove_themselves(world: &World, owner: &Client, (page, pdf): (&str, &str)) {
    let stranger = world.found("stranger").await;
    let query = r#"{ organization(by: { slug: "stranger" }) { id } }"#;
    let theirs = stranger.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let own = owner.demo().await.organization;
    let (path, token) = page.rsplit_once('/').unwrap();
    let flipped = if token.starts_with('A') { "B" } else { "A" };
    for bad in [
        format!("{path}/{flipped}{}", &token[1..]),
        format!("{path}/x"),
        page.replace(&own, &theirs),
        format!("{}/document/x/y/z", owner.url("")),
        format!("{}/document/%FF/y/z", owner.url("")),
        page.replace("/document/", "/checkout/"),
    ] {
        assert_eq!(owner.open(&bad).await.0, 404, "{bad}");
        assert_eq!(owner.open(&format!("{bad}/pdf")).await.0, 404, "{bad}");
    }
    assert_eq!(owner.submit(page).await.0, 405);
    assert_eq!(owner.open(pdf).await.0, 200, "nothing has come of that");
}
