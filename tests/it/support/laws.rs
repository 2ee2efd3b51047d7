//! What must hold of all books, whoever has written them, in whatever order: asked of the database itself, so
//! that no code of the ledger's vouches for itself.
//!
//! Each law is a statement that counts what breaks it. Columns hold codes: transfers of the kinds 6 (capture),
//! 7 (hold) and 8 (release) change what is held, 7 and 8 nothing else; 1 to 4 as causes are a charge, an entry,
//! the clock, a hold. What cannot be said in SQL on both databases is counted again in [`super::recount`].

use super::{TestDatabase, World, recount};

/// The transfers of the pool that a row belongs to.
const OF_POOL: &str = "t.organization_id = x.organization_id AND t.pool_id = x.pool_id";

/// The contra accounts: their columns in the heads, and their codes.
const CONTRA: [(&str, u8); 6] =
    [("issued", 10), ("consumed", 11), ("expired", 12), ("revoked", 13), ("debt", 14), ("clearing", 15)];

/// What a statement counts: rows `x` of a table with a condition.
fn rows(table: &str, condition: &str) -> String {
    format!("SELECT count(*) AS n FROM {table} x WHERE {condition}").replace("{of_pool}", OF_POOL)
}

/// What came to a side less what went from it, of the transfers that move credits.
fn sum(column: &str, credit: &str, debit: &str, which: &str) -> String {
    format!(
        "(SELECT coalesce(sum(CASE WHEN {credit} THEN {column} ELSE 0 END)
                    - sum(CASE WHEN {debit} THEN {column} ELSE 0 END), 0)
          FROM transfer t WHERE {OF_POOL} AND t.kind NOT IN (7, 8) {which})"
    )
}

/// The laws, each with the statement that counts what breaks it.
fn laws() -> Vec<(String, String)> {
    let mut laws = Vec::new();
    let mut law = |name: &str, sql: String| laws.push((name.to_owned(), sql));
    law(
        "versions have no gaps",
        rows(
            "pool_head",
            "version <> (SELECT count(*) FROM transfer t WHERE {of_pool})
             OR version <> (SELECT coalesce(max(version), 0) FROM transfer t WHERE {of_pool})",
        ),
    );
    law(
        "time does not run back",
        rows(
            "transfer",
            "EXISTS (SELECT 1 FROM transfer t WHERE {of_pool} AND t.version = x.version + 1
                AND t.created_at < x.created_at) OR x.effective_at > x.created_at",
        ),
    );
    for (column, code) in CONTRA {
        let credit = format!("t.credit_kind = {code}");
        let transfers = sum("t.credits", &credit, &format!("t.debit_kind = {code}"), "");
        law(&format!("{column} is its transfers"), rows("pool_head", &format!("{column} <> {transfers}")));
    }
    law(
        "clearing is empty",
        "SELECT count(*) AS n FROM (SELECT organization_id FROM pool_head GROUP BY organization_id
            HAVING sum(clearing) <> 0) x"
            .to_owned(),
    );
    law(
        "halves through clearing name each other",
        "SELECT count(*) AS n FROM transfer x LEFT JOIN transfer t ON t.organization_id = x.organization_id
            AND t.pool_id = x.counterpart_pool_id AND t.version = x.counterpart_version
         WHERE (x.debit_kind = 15 OR x.credit_kind = 15) AND (t.version IS NULL OR t.counterpart_version IS NULL
            OR t.counterpart_pool_id <> x.pool_id OR t.counterpart_version <> x.version
            OR t.credits <> x.credits OR t.cost <> x.cost OR t.created_at <> x.created_at)"
            .to_owned(),
    );
    let posted = sum("t.credits", "t.credit_id = x.id", "t.debit_id = x.id", "");
    law("accounts are their transfers", rows("account", &format!("posted <> {posted}")));
    law(
        "what accounts hold is their pending transfers",
        rows(
            "account",
            "held <> (SELECT coalesce(sum(CASE t.kind WHEN 7 THEN t.credits ELSE -t.credits END), 0)
                FROM transfer t WHERE {of_pool} AND t.debit_id = x.id AND t.kind IN (6, 7, 8))",
        ),
    );
    law(
        "accounts are their positions",
        rows(
            "account",
            "posted <> (SELECT coalesce(sum(credits), 0) FROM lot_position t WHERE {of_pool} AND t.account_id = x.id)
             OR held <> (SELECT coalesce(sum(held), 0) FROM lot_position t WHERE {of_pool} AND t.account_id = x.id)",
        ),
    );
    for column in ["credits", "cost"] {
        let transfers = sum(
            &format!("t.{column}"),
            "t.credit_id = x.account_id",
            "t.debit_id = x.account_id",
            "AND t.lot_id = x.lot_id",
        );
        let name = format!("the {column} of positions are their transfers");
        law(&name, rows("lot_position", &format!("{column} <> {transfers}")));
    }
    law(
        "positions are open with credits, and no held credit is spoken for twice",
        rows("lot_position", "open <> (credits > 0) OR revoking + contested > held - disputed"),
    );
    law(
        "heads count what is to be taken back",
        rows(
            "pool_head",
            "revoking <> (SELECT coalesce(sum(t.revoking), 0) FROM lot_position t WHERE {of_pool})
             OR receivable <> 0 AND debt = 0 AND revoking = 0",
        ),
    );
    law("money adds up", money());
    law(
        "pools are their accounts",
        rows(
            "pool_head",
            "posted <> (SELECT sum(posted) FROM account t WHERE {of_pool})
             OR held <> (SELECT sum(held) FROM account t WHERE {of_pool})",
        ),
    );
    law(
        "the last transfers say what heads say",
        rows(
            "pool_head",
            "EXISTS (SELECT 1 FROM transfer t WHERE {of_pool} AND t.version = x.version AND
                (t.pool_posted_after <> x.posted OR t.pool_held_after <> x.held OR t.debt_after <> -x.debt
                 OR t.created_at <> x.clock OR t.hash <> x.hash))",
        ),
    );
    law(
        "no balance is negative",
        rows(
            "transfer",
            "x.debit_id IS NOT NULL AND x.debit_after < 0 OR x.credit_id IS NOT NULL AND x.credit_after < 0
             OR x.held_after < 0 OR x.pool_held_after < 0 OR x.pool_held_after > x.pool_posted_after
             OR x.debt_after < 0",
        ),
    );
    laws.extend(of_causes());
    laws
}

/// Counts the organizations whose money does not add up: what lots cost that came in is what was consumed, has
/// expired, is still there, was corrected or went back, less what is receivable for it, plus adjustments. (Kind
/// 12 is a correction, 14 a reversal, whose entry says how much money went back, 20 one that was undone.)
fn money() -> String {
    let moved = |which: &str| {
        format!(
            "(SELECT coalesce(sum(CASE WHEN {which} THEN t.cost ELSE 0 END), 0) FROM transfer t
                WHERE t.organization_id = x.organization_id AND t.kind NOT IN (7, 8))"
        )
    };
    let paid = moved("t.debit_kind = 10");
    let used = ["t.credit_kind IN (11, 12)", "t.credit_kind = 13 AND t.kind = 12"].map(moved).join(" + ");
    let back = moved("t.debit_kind IN (11, 12)");
    let of = |sum: &str, table: &str, which: &str| {
        format!(
            "(SELECT coalesce(sum({sum}), 0) FROM {table} t WHERE t.organization_id = x.organization_id {which})"
        )
    };
    let there = of("t.cost", "lot_position", "");
    let returned =
        of("CASE t.kind WHEN 14 THEN t.cost ELSE -t.cost END", "journal_entry", "AND t.kind IN (14, 20)");
    let open = of("t.adjusted - t.receivable", "pool_head", "");
    let organizations = "(SELECT DISTINCT organization_id FROM pool_head)";
    rows(organizations, &format!("{paid} <> {used} - {back} + {there} + {returned} + {open}"))
}

/// The laws of what causes transfers: charges, entries, holds.
fn of_causes() -> Vec<(String, String)> {
    let mut laws = Vec::new();
    let mut law = |name: &str, sql: String| laws.push((name.to_owned(), sql));
    let slices = |of: &str, cause: u8| {
        format!(
            "(SELECT coalesce({of}, 0) FROM transfer t WHERE {OF_POOL} AND t.version > x.version - x.slices
                AND t.version <= x.version AND t.cause_kind = {cause} AND t.cause_id = x.id)"
        )
    };
    let (credits, count) = ("sum(t.credits)", "count(*)");
    law(
        "charges are their slices",
        rows("charge", &format!("credits <> {} OR slices <> {}", slices(credits, 1), slices(count, 1))),
    );
    law(
        "holds are their slices",
        rows("hold", &format!("credits <> {} OR slices <> {}", slices(credits, 4), slices(count, 4))),
    );
    law("entries have their transfers", rows("journal_entry", &format!("slices <> {}", slices(count, 2))));
    law(
        "nothing is charged without a charge",
        rows(
            "pool_head",
            "(SELECT coalesce(sum(credits), 0) FROM charge t WHERE {of_pool})
             <> (SELECT coalesce(sum(credits), 0) FROM transfer t WHERE {of_pool} AND t.cause_kind = 1)",
        ),
    );
    law(
        "refunds do not exceed their charges",
        rows(
            "charge",
            "credits < (SELECT coalesce(sum(t.credits), 0) FROM journal_entry t
                WHERE t.organization_id = x.organization_id AND t.charge_id = x.id)",
        ),
    );
    law(
        "pools hold what open holds and disputes hold",
        rows(
            "pool_head",
            "held <> (SELECT coalesce(sum(t.credits - t.captured), 0) FROM hold t
                WHERE {of_pool} AND t.state = 'OPEN')
             + (SELECT coalesce(sum(t.disputed), 0) FROM lot_position t WHERE {of_pool})",
        ),
    );
    law(
        "holds end once: captured and let go is what was held",
        "SELECT count(*) AS n FROM hold x
         LEFT JOIN (SELECT organization_id, hold_id, sum(credits) AS credits FROM charge
            WHERE hold_id IS NOT NULL GROUP BY organization_id, hold_id) c
            ON c.organization_id = x.organization_id AND c.hold_id = x.id
         LEFT JOIN (SELECT t.organization_id, coalesce(e.hold_id, t.cause_id) AS hold_id, sum(t.credits) AS credits
            FROM transfer t LEFT JOIN journal_entry e
                ON t.cause_kind = 2 AND e.organization_id = t.organization_id AND e.id = t.cause_id
            WHERE t.kind = 8 GROUP BY t.organization_id, coalesce(e.hold_id, t.cause_id)) r
            ON r.organization_id = x.organization_id AND r.hold_id = x.id
         WHERE x.captured <> coalesce(c.credits, 0)
            OR coalesce(r.credits, 0) <> CASE x.state WHEN 'OPEN' THEN 0 ELSE x.credits - x.captured END"
            .to_owned(),
    );
    law(
        "what has ended holds nothing",
        rows("hold", "(state = 'OPEN') <> (closed_at IS NULL) OR (state = 'OPEN') = (held_slices = '[]')"),
    );
    for (table, column, own) in [("charge", "charge_id", "AND x.hold_id IS NULL"), ("hold", "hold_id", "")] {
        law(
            &format!("references of a {table} are claimed"),
            rows(
                table,
                &format!(
                    "x.reference IS NOT NULL {own} AND NOT EXISTS (SELECT 1 FROM claimed_reference r
                        WHERE r.organization_id = x.organization_id AND r.reference = x.reference
                        AND r.{column} = x.id)"
                ),
            ),
        );
    }
    laws
}

/// The laws that the books of a database break, each with how often.
pub async fn broken(database: &TestDatabase) -> Vec<String> {
    let mut broken = Vec::new();
    for (law, sql) in laws() {
        match database.number(&sql).await {
            0 => {}
            count => broken.push(format!("{law}: not so {count} times")),
        }
    }
    broken.extend(recount::positions(database).await);
    broken.extend(recount::caps(database).await);
    broken
}

/// How often the books are looked at before a law counts as broken. The tables are read one after another, and
/// timed work may book something in between; what is broken stays broken.
const LOOKS: usize = 3;

/// What must hold of all books, whoever wrote them.
pub async fn books_are_right(world: &World) {
    let mut found = Vec::new();
    for _ in 0..LOOKS {
        found = broken(&world.database).await;
        if found.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    panic!("{found:#?}");
}
