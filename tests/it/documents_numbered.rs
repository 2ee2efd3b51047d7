//! Numbered documents: no gaps, whoever issues them at once and whatever fails; they say for ever what they said; their
//! addresses prove themselves.

use std::process::{Command, Stdio};

use bursar::billing::{Issue, issue_document};
use bursar::config::Seller;
use bursar::db;
use bursar::error::Error;
use bursar_domain::invoice::DocumentKind;
use bursar_entity::{document, purchase};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::billed;
use crate::support::mail::tenant;
use crate::support::{Backend, Client, World};

on_both_databases!(numbers_have_no_gaps, a_document_says_what_it_said);

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
                        purchase_order: None,
                        due_at: None,
                        note: None,
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

/// The newest document of the organization.
async fn newest(owner: &Client) -> Value {
    let query = r#"{ organization(by: { slug: "demo" }) { billing { documents(first: 1) {
        nodes { id kind number total { amount } purchase { id } url pdfUrl } } } } }"#;
    let data = owner.query(query, json!({})).await;
    data["organization"]["billing"]["documents"]["nodes"][0].clone()
}

/// The words of a PDF, where there is a program that reads them.
fn words(pdf: &[u8]) -> Option<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pdf).unwrap();
    let read = Command::new("pdftotext").arg(file.path()).arg("-").stderr(Stdio::null()).output().ok()?;
    assert!(read.status.success(), "a PDF that cannot be read");
    Some(String::from_utf8_lossy(&read.stdout).into_owned())
}

async fn a_document_says_what_it_said(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    billed(&operator, &owner, &demo.organization, "10000.00").await;
    let (purchase, url) = owner.checkout(&demo.pool, "k").await;
    owner.submit(&format!("{url}/pay")).await;
    let receipt = newest(&owner).await;
    assert_eq!(
        (&receipt["kind"], &receipt["purchase"]["id"], &receipt["total"]["amount"]),
        (&json!("RECEIPT"), &json!(purchase), &json!("199.00"))
    );
    let here = |url: &Value| url.as_str().unwrap().replace("http://bursar.test", &owner.url(""));
    let (page_url, pdf_url) = (here(&receipt["url"]), here(&receipt["pdfUrl"]));
    let (status, page) = owner.open(&page_url).await;
    // 199.00 with 19 percent in it: 167.23 and 31.77.
    let number = receipt["number"].as_str().unwrap();
    for expected in
        [number, "Acme Ltd.", "1 Main Street", "DE1", "Cost centre 7", "VAT, 19 %", "167.23", "31.77"]
    {
        assert!(status == 200 && page.contains(expected), "{expected} is not in {page}");
    }
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
    if let Some(words) = words(&pdf) {
        for expected in [number, "Acme Ltd.", "VAT, 19 %", "31.77", "199.00"] {
            assert!(words.contains(expected), "{expected} is not in {words}");
        }
    }
    // What is changed afterwards is said by documents that come afterwards.
    let input =
        json!({ "organizationId": demo.organization, "name": "Another Ltd.", "address": "2 Side Street" });
    owner.mutate("setBillingProfile", "SetBillingProfileInput", input, "billingProfile { name }").await;
    assert_eq!(owner.open(&page_url).await, (200, page));
    addresses_prove_themselves(&world, &owner, (&page_url, &pdf_url)).await;
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
