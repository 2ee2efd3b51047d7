//! Reading without the application's own filter, to show what stands behind it. A debug build has the switch; in a
//! release build there is nothing to switch, and the types here are empty.
//!
//! The switch is a database's own, so tests beside each other do not meet it. It works on the text of statements that
//! read, where all of them come by: of `"pool"."organization_id" = $1` there is left `($1 IS NOT NULL)`, in what
//! [`Tenant::find`](super::Tenant::find) begins, in look-ups by lists, and in statements that are written out. Statements
//! that write keep their conditions.
//!
//! Transactions that may see everybody's rows, or those of the organizations of a batch, keep them too: there the
//! condition chooses among rows that row-level security lets through, and it is no second wall.

#[cfg(debug_assertions)]
use std::collections::{BTreeMap, BTreeSet};
#[cfg(debug_assertions)]
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(debug_assertions)]
use bursar_domain::id::OrganizationId;
use sea_orm::{QueryResult, Statement};

use super::scope::Scope;

/// Whether the statements of a database keep the application's filter. They do, but in a debug build where a test has
/// said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    #[cfg(debug_assertions)]
    off: Option<Arc<Off>>,
}

/// Which conditions are left out.
#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Those on the organization.
    Organizations,
    /// Those as well by which a person's own rows, an address, a short name, a domain, an issuer or a key are found, in
    /// transactions that are begun for one.
    Everything,
}

/// What is left out, and whose rows have come since.
#[cfg(debug_assertions)]
#[derive(Debug)]
struct Off {
    left_out: LeftOut,
    seen: Mutex<BTreeMap<OrganizationId, BTreeSet<String>>>,
}

/// What a transaction leaves out.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    #[cfg(debug_assertions)]
    off: Option<(Arc<Off>, Vec<Column>)>,
}

/// Looks at the rows that a statement has brought.
#[derive(Debug, Default)]
pub(super) struct Witness {
    #[cfg(debug_assertions)]
    of: Option<(Arc<Off>, String)>,
}

/// A column whose comparisons are left out: of every table, or of one, and then the first comparison alone. That is the
/// filter's; the second is what is looked for, as when an organization is looked up by its id.
#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug)]
struct Column {
    table: Option<&'static str>,
    name: &'static str,
}

#[cfg(debug_assertions)]
impl Filter {
    /// Leaves conditions out.
    pub fn leaving_out(left_out: LeftOut) -> Filter {
        Filter { off: Some(Arc::new(Off { left_out, seen: Mutex::default() })) }
    }

    /// Whose rows have come since this was asked last, as far as rows say whose they are, with the statements that have
    /// brought them.
    pub fn take_seen(&self) -> BTreeMap<OrganizationId, BTreeSet<String>> {
        let seen = self.off.as_ref().map(|off| {
            let mut seen = off.seen.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *seen)
        });
        seen.unwrap_or_default()
    }

    /// What a transaction of a scope leaves out.
    pub(super) fn reading(&self, scope: &Scope) -> Reading {
        let off = self.off.as_ref().and_then(|off| {
            let columns = off.left_out.columns(scope)?;
            Some((Arc::clone(off), columns))
        });
        Reading { off }
    }
}

#[cfg(not(debug_assertions))]
impl Filter {
    /// Nothing.
    pub(super) fn reading(&self, _: &Scope) -> Reading {
        Reading {}
    }
}

#[cfg(debug_assertions)]
impl LeftOut {
    /// The columns of the conditions; none: the scope's are kept.
    fn columns(self, scope: &Scope) -> Option<Vec<Column>> {
        let any = |name| Some(Column { table: None, name });
        let of = |table, name| Some(Column { table: Some(table), name });
        let found_by = match scope {
            Scope::Operator | Scope::Scheduler | Scope::Courier | Scope::Attempts | Scope::Tenants(_) => {
                return None;
            }
            Scope::Tenant(_) | Scope::TenantAndEmail(..) | Scope::TenantAndPerson(..) => None,
            Scope::Person(_) | Scope::SignIn(_) => any("user_id"),
            Scope::Email(_) => of("user", "email"),
            Scope::Issuer(_) => any("issuer"),
            Scope::Domain(_) => of("identity_provider_domain", "domain"),
            Scope::Slug(_) => of("organization", "slug"),
            Scope::ApiKey(_) => of("api_key", "hash"),
        };
        let organization = [any("organization_id"), of("organization", "id")];
        let found_by = found_by.filter(|_| self == LeftOut::Everything);
        Some(organization.into_iter().flatten().chain(found_by).collect())
    }
}

#[cfg(debug_assertions)]
impl Reading {
    /// The statement without the conditions that are left out.
    pub(super) fn statement(&self, mut statement: Statement) -> (Statement, Witness) {
        let Some((off, columns)) = &self.off else { return (statement, Witness::default()) };
        if reads(&statement.sql) {
            for column in columns {
                statement.sql = column.left_out_of(&statement.sql);
            }
        }
        let of = Some((Arc::clone(off), statement.sql.clone()));
        (statement, Witness { of })
    }
}

#[cfg(not(debug_assertions))]
impl Reading {
    /// The statement as it is.
    pub(super) fn statement(&self, statement: Statement) -> (Statement, Witness) {
        (statement, Witness {})
    }
}

#[cfg(debug_assertions)]
impl Witness {
    /// Writes down whose they are.
    pub(super) fn saw<'r>(self, rows: impl IntoIterator<Item = &'r QueryResult>) {
        let Some((off, sql)) = self.of else { return };
        let itself = sql.contains("FROM \"organization\"");
        let column = if itself { "id" } else { "organization_id" };
        let whose = rows.into_iter().filter_map(|row| row.try_get::<OrganizationId>("", column).ok());
        let mut seen = off.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for organization in whose {
            seen.entry(organization).or_default().insert(sql.clone());
        }
    }
}

#[cfg(not(debug_assertions))]
impl Witness {
    /// Does nothing.
    pub(super) fn saw<'r>(self, _: impl IntoIterator<Item = &'r QueryResult>) {}
}

/// Whether a statement only reads.
#[cfg(debug_assertions)]
fn reads(sql: &str) -> bool {
    let writes = ["INSERT ", "UPDATE ", "DELETE "].iter().any(|verb| sql.contains(verb));
    sql.starts_with("SELECT") || (sql.starts_with("WITH") && !writes)
}

#[cfg(debug_assertions)]
impl Column {
    /// The text without the column's comparisons with parameters. The parameters stay, or the others would have other
    /// numbers.
    fn left_out_of(self, sql: &str) -> String {
        let (mut kept, mut copied) = (String::with_capacity(sql.len()), 0);
        for (at, _) in sql.match_indices(self.name) {
            let before = sql.get(copied..at).unwrap_or_default();
            let after = sql.get(at + self.name.len()..).unwrap_or_default();
            let Some(begin) = self.begins(before) else { continue };
            let Some((parameters, rest)) = compared(after) else { continue };
            let there: Vec<String> =
                parameters.iter().map(|parameter| format!("{parameter} IS NOT NULL")).collect();
            // With the column's name: the text is what a prepared statement is kept under, and columns differ in type.
            kept += &format!("{begin}({} /* {} */)", there.join(" OR "), self.name);
            copied = sql.len() - rest.len();
            if self.table.is_some() {
                break;
            }
        }
        kept + sql.get(copied..).unwrap_or_default()
    }

    /// What stands before the column's name with the table or alias that it may have before its dot; none: it is a part
    /// of another name, or another table's.
    fn begins(self, before: &str) -> Option<&str> {
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '"' | '.');
        let begin = before.trim_end_matches(of_name);
        let table = before.strip_prefix(begin)?;
        let whole = table.is_empty() || table == "\"" || table.ends_with('.') || table.ends_with(".\"");
        let table = table.trim_matches(['"', '.']);
        (whole && self.table.is_none_or(|own| own == table)).then_some(begin)
    }
}

/// The parameters that a column is compared with, one or a list, and the text after them.
#[cfg(debug_assertions)]
fn compared(after: &str) -> Option<(Vec<&str>, &str)> {
    let after = after.strip_prefix('"').unwrap_or(after);
    if let Some(one) = after.strip_prefix(" = ") {
        let (parameter, rest) = parameter(one)?;
        return Some((vec![parameter], rest));
    }
    let (mut parameters, mut list) = (Vec::new(), after.strip_prefix(" IN (")?);
    loop {
        let (parameter, rest) = parameter(list)?;
        parameters.push(parameter);
        if let Some(rest) = rest.strip_prefix(')') {
            return Some((parameters, rest));
        }
        list = rest.strip_prefix(", ")?;
    }
}

/// A parameter, `$1` or `?`, and the text after it.
#[cfg(debug_assertions)]
fn parameter(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(['$', '?'])?.trim_start_matches(|c: char| c.is_ascii_digit());
    Some((text.strip_suffix(rest)?, rest))
}

#[cfg(test)]
#[cfg(debug_assertions)]
mod tests {
    use super::*;
    use crate::db::Tenant;
    use bursar_domain::id::{Id, PoolId, UserId};
    use sea_orm::{ColumnTrait, DatabaseBackend, QueryFilter, QueryTrait};

    /// What is left of a statement in a scope.
    fn left(left_out: LeftOut, scope: &Scope, sql: &str) -> String {
        let statement = Statement::from_string(DatabaseBackend::Postgres, sql);
        Filter::leaving_out(left_out).reading(scope).statement(statement).0.sql
    }

    #[test]
    fn the_condition_on_the_organization_is_left_out_and_nothing_else() {
        use bursar_entity::{organization, pool};
        let tenant = Tenant::vouched(OrganizationId::from_u128(1));
        let scope = Scope::Tenant(tenant);
        for (backend, expected) in [
            (DatabaseBackend::Postgres, r#"($1 IS NOT NULL /* organization_id */) AND "pool"."id" = $2"#),
            (DatabaseBackend::Sqlite, r#"(? IS NOT NULL /* organization_id */) AND "pool"."id" = ?"#),
        ] {
            let select = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(PoolId::from_u128(2)));
            let sql = left(LeftOut::Organizations, &scope, &select.build(backend).sql);
            assert!(sql.ends_with(expected), "{sql}");
            assert!(sql.starts_with(r#"SELECT "pool"."organization_id", "#), "{sql}");
        }
        // An organization that is looked up by its id is still looked up by it.
        let id = organization::Column::Id.eq(OrganizationId::from_u128(2));
        let select = tenant.find::<organization::Entity>().filter(id).build(DatabaseBackend::Postgres);
        let sql = left(LeftOut::Organizations, &scope, &select.sql);
        assert!(sql.ends_with(r#"($1 IS NOT NULL /* id */) AND "organization"."id" = $2"#), "{sql}");
        for (sql, expected) in [
            (
                "SELECT 1 FROM t WHERE (t.organization_id = $1) IS TRUE",
                "(($1 IS NOT NULL /* organization_id */)) IS TRUE",
            ),
            (
                "SELECT 1 FROM t WHERE organization_id = $12 AND x = $2",
                "WHERE ($12 IS NOT NULL /* organization_id */) AND x = $2",
            ),
            (
                r#"SELECT 1 FROM "t" WHERE "t"."organization_id" IN ($1, $2) LIMIT $3"#,
                "($1 IS NOT NULL OR $2 IS NOT NULL /* organization_id */) LIMIT $3",
            ),
            ("SELECT 1 FROM t JOIN u ON t.organization_id = u.organization_id", "= u.organization_id"),
            ("SELECT 1 FROM t WHERE other_organization_id = $1", "other_organization_id = $1"),
            ("UPDATE t SET a = 1 WHERE organization_id = $1", "organization_id = $1"),
        ] {
            let sql = left(LeftOut::Everything, &scope, sql);
            assert!(sql.ends_with(expected), "{sql}");
        }
    }

    #[test]
    fn what_somebody_is_found_by_is_left_out_where_the_scope_has_it() {
        let person = Scope::Person(UserId::from_u128(1));
        let domain = Scope::Domain("demo.test".to_owned());
        let own = r#"SELECT 1 FROM "membership" WHERE "membership"."user_id" = $1"#;
        let asked =
            r#"SELECT 1 FROM "identity_provider_domain" WHERE "identity_provider_domain"."domain" = $1"#;
        for (scope, sql, column) in [(&person, own, "user_id"), (&domain, asked, "domain")] {
            let expected = format!("WHERE ($1 IS NOT NULL /* {column} */)");
            assert!(left(LeftOut::Everything, scope, sql).ends_with(&expected));
            assert_eq!(left(LeftOut::Organizations, scope, sql), sql);
            assert_eq!(left(LeftOut::Everything, &Scope::Operator, sql), sql);
        }
        let tenant = Scope::Tenant(Tenant::vendor());
        assert_eq!(left(LeftOut::Everything, &tenant, own), own);
        let plain = Filter::default().reading(&person);
        let statement = Statement::from_string(DatabaseBackend::Postgres, own);
        assert_eq!(plain.statement(statement).0.sql, own);
    }
}
