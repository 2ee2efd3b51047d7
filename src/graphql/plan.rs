//! What a subscription asks for: of what, from where on, and what its selection depends on.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, ScalarType, Value, Variables};
use bursar_domain::id::{OrganizationId, PoolId, PurchaseId};

use super::cost::Costs;
use super::documents::Document;
use super::parameters::Digest;
use super::refusal::Refusal;
use super::scalars::Version;
use super::server::Reading;
use crate::error::Error;
use crate::global_id;

/// A subscription that can be opened.
pub struct Plan {
    /// Its document.
    pub document: Arc<Document>,
    /// The digest of the document.
    pub digest: Digest,
    /// Which operation.
    pub operation: Option<String>,
    /// The variables.
    pub variables: Variables,
    /// Those that the selection depends on, as JSON.
    pub selected: String,
    /// Whether the selection asks for something that depends on who asks.
    pub personal: bool,
    /// What is watched. An id that cannot be one is of nothing.
    pub target: Option<Target>,
    /// The version that the client has.
    pub after: Option<i64>,
    /// What an event costs.
    pub points: u64,
}

/// The most that an event may cost, in points, when subscribers share it.
const SHARED_POINTS: u64 = 2_000;
/// The most that an event may cost that is written for one person alone.
const PERSONAL_POINTS: u64 = 500;
/// The most bytes of a subscription's variables, as JSON: they are kept as long as it lasts.
const VARIABLES_BYTES: usize = 8 * 1024;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A pool.
    Pool(PoolId),
    /// The pools of an organization.
    Organization(OrganizationId),
    /// A purchase.
    Purchase(PurchaseId),
    /// The requests for approval of an organization.
    Approvals(OrganizationId),
}

/// Fields whose values depend on what is watched and on what part of it may be seen, and on nothing else of
/// the caller. Whoever selects anything beside them does not share with others.
const SHARED: &[(&str, &[&str])] = &[
    ("Subscription", &["poolBalance", "organizationBalance", "purchase"]),
    ("PoolBalanceEvent", &["kind", "pool", "balance", "version", "departments", "transfers"]),
    ("OrganizationBalanceEvent", &["kind", "organization", "balance", "version", "pools"]),
    ("DepartmentBalance", &["department", "balance"]),
    ("PoolBalance", &["pool", "balance"]),
    ("Balance", &["posted", "held", "available", "debt", "version", "asOf", "expiring"]),
    ("CreditPool", &["id", "name", "balance", "unallocated", "frozenAt", "archivedAt", "createdAt"]),
    ("Department", &["id", "code", "name", "costCenter", "archivedAt", "createdAt"]),
    ("Organization", &["id", "slug", "name", "timeZone", "currency", "state", "createdAt"]),
    (
        "Transfer",
        &[
            "id",
            "version",
            "kind",
            "debit",
            "credit",
            "credits",
            "cost",
            "actor",
            "debitBalanceAfter",
            "creditBalanceAfter",
            "heldAfter",
            "poolBalanceAfter",
            "reference",
            "reason",
            "createdAt",
            "effectiveAt",
            "hash",
        ],
    ),
    ("TransferSide", &["kind", "allocation"]),
    ("Allocation", &["id", "department", "balance"]),
    ("Actor", &["kind", "user"]),
    ("User", &["id", "email", "name"]),
    ("Money", &["amount", "currency"]),
    (
        "Purchase",
        &[
            "id",
            "state",
            "approvalBasis",
            "credits",
            "total",
            "note",
            "validUntil",
            "createdAt",
            "completedAt",
        ],
    ),
];

impl Plan {
    /// The plan of a subscription that has been found valid.
    pub(super) fn of(reading: &Reading, costs: &Costs) -> Result<Plan, Refusal> {
        let document = Arc::clone(&reading.found.document);
        let (operation, variables) = (reading.operation_name.clone(), reading.variables.clone());
        let invalid =
            || Refusal::new("GRAPHQL_VALIDATION_FAILED", "A subscription has exactly one root field.");
        let (definition, _) = document.operation(operation.as_deref()).ok_or_else(invalid)?;
        let root = match definition.selection_set.node.items.first().map(|item| &item.node) {
            Some(Selection::Field(root)) => &root.node,
            _ => return Err(invalid()),
        };
        let arguments = Arguments { definition, variables: &variables };
        let id = |name| match arguments.find(root, name) {
            Value::String(id) => Some(id),
            _ => None,
        };
        let target = match root.name.node.as_str() {
            "poolBalance" => id("poolId").and_then(|id| global_id::decode(&id)).map(Target::Pool),
            "organizationBalance" => {
                id("organizationId").and_then(|id| global_id::decode(&id)).map(Target::Organization)
            }
            "approvalRequests" => {
                id("organizationId").and_then(|id| global_id::decode(&id)).map(Target::Approvals)
            }
            "purchase" => id("id").and_then(|id| global_id::decode(&id)).map(Target::Purchase),
            _ => return Err(invalid()),
        };
        let after = match arguments.find(root, "after") {
            Value::Null => None,
            value => match <Version as ScalarType>::parse(value) {
                Ok(version) => Some(version.0),
                Err(_) => {
                    return Err(Refusal::input(vec!["after".to_owned()], "must be a version"));
                }
            },
        };
        let mut used = Used { document: &document.parsed, names: HashSet::new(), fragments: HashSet::new() };
        used.directives(&root.directives);
        used.set(&root.selection_set.node);
        let selected: BTreeMap<&Name, &Value> =
            variables.iter().filter(|(name, _)| used.names.contains(*name)).collect();
        // Values of GraphQL are values of JSON.
        let selected = serde_json::to_string(&selected).unwrap_or_default();
        let mut seen = HashSet::new();
        let shared =
            shared(costs, &document.parsed, "Subscription", &definition.selection_set.node, &mut seen);
        let (points, most) = (reading.requested, if shared { SHARED_POINTS } else { PERSONAL_POINTS });
        if points > most {
            let message = format!("An event of this selection costs {points} points, and may cost {most}.");
            return Err(Refusal::new("GRAPHQL_VALIDATION_FAILED", message));
        }
        if serde_json::to_string(&variables).is_ok_and(|text| text.len() > VARIABLES_BYTES) {
            let message = format!("The variables of a subscription have at most {VARIABLES_BYTES} bytes.");
            return Err(Refusal::new("BAD_USER_INPUT", message));
        }
        let digest = document.digest();
        Ok(Plan {
            document,
            digest,
            operation,
            variables,
            selected,
            personal: !shared,
            target,
            after,
            points,
        })
    }

    /// The word for what is watched.
    pub fn what(&self) -> Error {
        Error::not_found(match self.target {
            Some(Target::Organization(_) | Target::Approvals(_)) => "organization",
            Some(Target::Purchase(_)) => "purchase",
            Some(Target::Pool(_)) | None => "pool",
        })
    }
}

/// The values of arguments.
struct Arguments<'a> {
    definition: &'a OperationDefinition,
    variables: &'a Variables,
}

impl Arguments<'_> {
    /// The value of an argument of a field; null when it has none.
    fn find(&self, field: &Field, name: &str) -> Value {
        let Some(value) = field.get_argument(name) else { return Value::Null };
        let known = |variable: Name| {
            let given = self.variables.get(&variable).cloned();
            let defined = self.definition.variable_definitions.iter();
            let mut defined = defined.filter(|definition| definition.node.name.node == variable);
            let default = || defined.next()?.node.default_value.as_ref().map(|value| value.node.clone());
            Ok::<_, std::convert::Infallible>(given.or_else(default).unwrap_or(Value::Null))
        };
        let Ok(value) = value.node.clone().into_const_with(known);
        value
    }
}

/// The variables that a selection uses.
struct Used<'d> {
    document: &'d ExecutableDocument,
    names: HashSet<Name>,
    fragments: HashSet<&'d str>,
}

impl<'d> Used<'d> {
    fn set(&mut self, set: &'d SelectionSet) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    self.directives(&field.node.directives);
                    for (_, value) in &field.node.arguments {
                        let Ok(_) = value.node.clone().into_const_with(self.note());
                    }
                    self.set(&field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    self.directives(&fragment.node.directives);
                    self.set(&fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.node.directives);
                    let name = &spread.node.fragment_name.node;
                    if self.fragments.insert(name.as_str())
                        && let Some(fragment) = self.document.fragments.get(name)
                    {
                        self.directives(&fragment.node.directives);
                        self.set(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }

    fn directives(&mut self, directives: &'d [Positioned<Directive>]) {
        for (_, value) in directives.iter().flat_map(|directive| &directive.node.arguments) {
            let Ok(_) = value.node.clone().into_const_with(self.note());
        }
    }

    /// Notes the variables in a value.
    fn note(&mut self) -> impl FnMut(Name) -> Result<Value, std::convert::Infallible> {
        |name| {
            self.names.insert(name);
            Ok(Value::Null)
        }
    }
}

/// Whether a selection asks only for what all see alike who see the same part.
fn shared<'d>(
    costs: &Costs,
    document: &'d ExecutableDocument,
    parent: &str,
    set: &'d SelectionSet,
    seen: &mut HashSet<&'d str>,
) -> bool {
    set.items.iter().all(|item| match &item.node {
        Selection::Field(field) => {
            let name = field.node.name.node.as_str();
            if name == "__typename" {
                return true;
            }
            let known = SHARED.iter().any(|(of, fields)| *of == parent && fields.contains(&name));
            let inner = &field.node.selection_set.node;
            known
                && (inner.items.is_empty()
                    || costs
                        .leads_to(parent, name)
                        .is_some_and(|parent| shared(costs, document, parent, inner, seen)))
        }
        Selection::InlineFragment(fragment) => {
            let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
            shared(costs, document, on.unwrap_or(parent), &fragment.node.selection_set.node, seen)
        }
        Selection::FragmentSpread(spread) => {
            let name = &spread.node.fragment_name.node;
            !seen.insert(name.as_str())
                || document.fragments.get(name).is_some_and(|fragment| {
                    let on = fragment.node.type_condition.node.on.node.as_str();
                    shared(costs, document, on, &fragment.node.selection_set.node, seen)
                })
        }
    })
}
