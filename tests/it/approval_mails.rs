//! Approval as people meet it, from the mail to the credits: letters come from a real mail server, are read in Chromium by
//! `tests/clients/approvals.mjs`, and lead to the page where somebody decides. In between a machine opens and sends all that
//! it finds. Once on invoice, where the credits come in at once, and once by a checkout.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use crate::clients::script;
use crate::support::acts::{balances_are_right, billed};
use crate::support::approvals::{self, Asked, LINK, code_of, managers_and_owners, professional};
use crate::support::client::Demo;
use crate::support::schema::PIXEL;
use crate::support::{Backend, Client, Script, SmtpServer, World, run};

const MANAGER: &str = "manager@demo.test";
const OWNERS: [&str; 3] = ["owner@demo.test", "second@demo.test", "third@demo.test"];

/// The script, which reads one letter after another as it is told to.
struct Reader {
    node: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Reader {
    async fn start(world: &World) -> Reader {
        let mut node = script("approvals.mjs", world).await;
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut node = node.spawn().expect("node is not installed: run scripts/test");
        let (input, output) = (node.stdin.take().unwrap(), node.stdout.take().unwrap());
        Reader { node, input, output: BufReader::new(output).lines() }
    }

    /// Has it do something, and waits until it has.
    async fn step(&mut self, step: &Value) {
        self.input.write_all(format!("{step}\n").as_bytes()).await.unwrap();
        let said = self.output.next_line().await.unwrap();
        if said.as_deref() != step["name"].as_str().map(|name| format!("ok {name}")).as_deref() {
            let mut complained = String::new();
            self.node.stderr.take().unwrap().read_to_string(&mut complained).await.unwrap();
            panic!("{step}: {said:?} {complained}");
        }
    }

    async fn end(mut self) {
        drop(self.input);
        assert!(self.node.wait().await.unwrap().success());
    }
}

/// An organization where managers of Sales, and then two of three owners, have to agree to what its admin asks for.
struct Office {
    world: World,
    smtp: SmtpServer,
    owner: Client,
    demo: Demo,
    before: i64,
}

impl Office {
    async fn open(backend: Backend, payer: &str) -> Office {
        let smtp = SmtpServer::start(Script::Accept).await;
        let world =
            World::start_as(backend, |config| smtp.takes_mail_of(config, Duration::from_secs(10))).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let operator = world.client("operator@bursar.test").await;
        for email in &OWNERS[1..] {
            approvals::add(&operator, &demo.organization, email, "OWNER").await;
        }
        let input = json!({ "organizationId": demo.organization, "logo": PIXEL });
        let fields = "organization { logo }";
        let set = owner.mutate("setOrganizationLogo", "SetOrganizationLogoInput", input, fields).await;
        assert_eq!(set["organization"]["logo"], format!("data:image/png;base64,{PIXEL}"));
        let rule = professional(managers_and_owners(&demo.sales, 2));
        approvals::save(&owner, &demo.organization, rule, json!({ "payer": payer })).await;
        let before = owner.balance(&demo.pool).await.0;
        Office { world, smtp, owner, demo, before }
    }

    async fn ask(&self) -> Asked {
        let admin = self.world.client("admin@demo.test").await;
        approvals::requested(&admin, &self.demo.pool, "PROFESSIONAL", "by mail").await
    }

    /// Watches the pool's balance: what it becomes next.
    async fn watch(&self) -> JoinHandle<Value> {
        let mut watcher = self.owner.socket().await;
        let query = "subscription B($id: ID!) { poolBalance(poolId: $id) { balance { available } } }";
        watcher.subscribe("1", query, json!({ "id": self.demo.pool })).await;
        assert_eq!(watcher.next("poolBalance").await["balance"]["available"], self.before);
        // Pings are answered while others read their mail.
        tokio::spawn(async move { watcher.next("poolBalance").await["balance"]["available"].clone() })
    }

    /// Waits for a letter to somebody, and answers what the script is to do with it.
    async fn step(&self, (to, number): (&str, usize), what: &str, name: &str) -> Value {
        let letter = self.smtp.letter(to, number).await;
        assert!(letter.link(LINK).len() > LINK.len(), "it leads to the page");
        assert_eq!(letter.header("auto-submitted").as_deref(), Some("auto-generated"));
        json!({ "do": what, "name": name, "letter": letter.data })
    }

    async fn state(&self, asked: &Asked) -> Value {
        approvals::shown(&self.owner, &asked.purchase).await["state"].clone()
    }
}

/// The manager's mail: machines first, whose only harm is tries; then the manager.
async fn department(office: &Office, reader: &mut Reader, asked: &Asked) {
    let letter = office.smtp.letter(MANAGER, 1).await;
    let subject = letter.header("subject").unwrap();
    assert!(subject.starts_with("Decision wanted: ") && subject.contains("USD 899.00"), "{subject}");
    let code = code_of(&letter);
    assert!(code.len() == 4 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
    assert!(!letter.link(LINK).contains(&format!(".{code}")), "the link does not carry the digits");
    let mut scan = office.step((MANAGER, 1), "scan", "a machine").await;
    scan["wrong"] = json!(if code == "0000" { "1111" } else { "0000" });
    reader.step(&scan).await;
    assert_eq!(approvals::decisions(&office.world).await, 0, "a machine has decided");
    assert_eq!(office.state(asked).await, "PENDING_APPROVAL");
    let step = office.step((MANAGER, 1), "approve", "the department agrees with the keyboard alone").await;
    reader.step(&step).await;
    assert_eq!(approvals::decisions(&office.world).await, 1);
}

#[test]
fn on_invoice() {
    run(async {
        let office = Office::open(Backend::Sqlite, "REQUESTER").await;
        let operator = office.world.client("operator@bursar.test").await;
        billed(&operator, &office.owner, &office.demo.organization, "10000.00").await;
        let mut reader = Reader::start(&office.world).await;
        let watcher = office.watch().await;
        let asked = office.ask().await;
        department(&office, &mut reader, &asked).await;
        let step = office.step((OWNERS[0], 1), "approve", "one owner agrees").await;
        reader.step(&step).await;
        assert_eq!(office.owner.balance(&office.demo.pool).await.0, office.before);
        let step = office.step((OWNERS[1], 1), "approve", "another owner agrees").await;
        reader.step(&step).await;
        // With that the credits are there, and the balance says so by itself.
        assert_eq!(watcher.await.unwrap(), office.before + 500);
        assert_eq!(office.state(&asked).await, "AWAITING_PAYMENT");
        let step = office.step((OWNERS[2], 1), "late", "the third owner comes late").await;
        reader.step(&step).await;
        reader.end().await;
        balances_are_right(&office.world).await;
    });
}

#[test]
fn by_a_checkout() {
    run(async {
        let office = Office::open(Backend::Postgres, "REQUESTER").await;
        let mut reader = Reader::start(&office.world).await;
        let watcher = office.watch().await;
        let asked = office.ask().await;
        department(&office, &mut reader, &asked).await;
        for (email, name) in [(OWNERS[2], "one owner agrees"), (OWNERS[0], "another owner agrees")] {
            let step = office.step((email, 1), "approve", name).await;
            reader.step(&step).await;
        }
        assert_eq!(office.owner.balance(&office.demo.pool).await.0, office.before);
        // Whoever has asked is told, and sent to the checkout: in which order does not matter.
        let paying = async {
            let mut number = 1;
            loop {
                let letter = office.smtp.letter("admin@demo.test", number).await;
                if letter.header("subject").unwrap().starts_with("To be paid: ") {
                    break json!({ "do": "pay", "name": "whoever has asked pays", "letter": letter.data });
                }
                number += 1;
            }
        };
        let step = paying.await;
        reader.step(&step).await;
        assert_eq!(watcher.await.unwrap(), office.before + 500);
        assert_eq!(office.state(&asked).await, "COMPLETED");
        reader.end().await;
        balances_are_right(&office.world).await;
    });
}
