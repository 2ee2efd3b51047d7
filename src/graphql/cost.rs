//! What an operation costs, in points, before it is executed and afterwards.
//!
//! Every field of the schema has a weight. Before execution lists count as long as they may be, and fragments
//! as often as they are spread, so that this is also the limit on what a small document can ask for;
//! afterwards what has really been answered counts. Walking takes no longer than the document is long, whatever
//! it expands to.

use std::collections::HashMap;

use async_graphql::parser::types::{
    BaseType, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
    ServiceDocument, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Value, Variables};

use super::lengths;
use super::scale::Scale;
use super::scan::{Excess, SCHEMA_LISTS};

/// The most that one operation may cost, in points.
pub const MOST: u64 = 100_000;
// The largest operation fits a full bucket of the smallest setting that is accepted.
const _: () = assert!(MOST <= crate::config::LEAST_COST as u64);

/// What a field weighs: a value or an object that is already there.
pub const FIELD: u64 = 1;
/// A field that leads to a row or a figure that has to be read.
const LOOKUP: u64 = 2;
/// A field that leads to a page of a list, beside what is on the page.
const CONNECTION: u64 = 5;
/// The number of all nodes of a list, which are counted.
const COUNT: u64 = 20;
/// A mutation, beside its answer.
const MUTATION: u64 = 10;
/// A mutation that carries many items, beside the answers to them.
const BATCH: u64 = 100;
/// A subscription, beside one event.
const SUBSCRIPTION: u64 = 10;
/// How long a list is taken to be that is not a connection.
pub const LIST: u64 = 5;

/// Fields of the root that the schema of clients does not list: the schema itself, which is large, and what a
/// gateway asks for.
const UNLISTED: &[(&str, u64, &str, Shape)] = &[
    ("__schema", 5_000, "__Schema", Shape::One),
    ("__type", 1_000, "__Type", Shape::One),
    ("_service", 1_000, "_Service", Shape::One),
    ("_entities", LOOKUP, "Node", Shape::List),
];
/// The transfers of a live event: up to a thousand, when a client comes back.
const CATCHING_UP: u64 = 100;

/// How the names of types end that answer for the items of a batch, in their field `results`.
pub const BATCH_PAYLOAD: &str = "BatchPayload";

/// The weights of all fields of the schema.
pub struct Costs {
    types: HashMap<String, HashMap<String, Weight>>,
    roots: [String; 3],
}

/// What a field weighs and what it leads to.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Its own points.
    pub points: u64,
    /// The named type of the field.
    pub leads_to: String,
    /// How many of them there are.
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    One,
    /// A page of a list.
    Connection,
    /// The answers to the items of a batch.
    Batch,
    /// A list.
    List,
    /// A list that may be as long as this.
    Long(u64),
}

impl Costs {
    /// Reads the fields of a schema.
    pub fn read(schema: &ServiceDocument) -> Costs {
        let mut fields_of = HashMap::new();
        let mut leaves = vec!["Int", "Float", "String", "Boolean", "ID"];
        for definition in &schema.definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.as_str();
            match &definition.node.kind {
                TypeKind::Object(object) => _ = fields_of.insert(name, &object.fields),
                TypeKind::Interface(interface) => _ = fields_of.insert(name, &interface.fields),
                TypeKind::Scalar | TypeKind::Enum(_) => leaves.push(name),
                TypeKind::Union(_) | TypeKind::InputObject(_) => {}
            }
        }
        let roots = ["Query", "Mutation", "Subscription"].map(str::to_owned);
        let weigh = |parent: &str, field: &str, kind: &Type| {
            let (leads_to, list) = named(kind);
            let shape = match leads_to.ends_with("Connection") {
                true => Shape::Connection,
                false if leads_to.ends_with(BATCH_PAYLOAD) => Shape::Batch,
                false if list => lengths::long(parent, field).map_or(Shape::List, Shape::Long),
                false => Shape::One,
            };
            let points = match (parent, field) {
                ("Mutation", _) if shape == Shape::Batch => BATCH,
                ("Mutation", _) => MUTATION,
                ("Subscription", _) => SUBSCRIPTION,
                (_, "totalCount") => COUNT,
                ("PoolBalanceEvent", "transfers") => CATCHING_UP,
                _ if leaves.contains(&leads_to) || lengths::PARTS.contains(&leads_to) => FIELD,
                _ if shape == Shape::Connection => CONNECTION,
                _ => LOOKUP,
            };
            let points = lengths::dear(parent, field).unwrap_or(points);
            Weight { points, leads_to: leads_to.to_owned(), shape }
        };
        let of_type = |(name, fields): (&str, &Vec<_>)| {
            let weight =
                |field: &async_graphql::Positioned<async_graphql::parser::types::FieldDefinition>| {
                    let (field, kind) = (field.node.name.node.to_string(), &field.node.ty.node);
                    let weight = weigh(name, &field, kind);
                    (field, weight)
                };
            (name.to_owned(), fields.iter().map(weight).collect())
        };
        let mut costs = Costs { types: fields_of.into_iter().map(of_type).collect(), roots };
        for (field, points, leads_to, shape) in UNLISTED {
            let weight = Weight { points: *points, leads_to: (*leads_to).to_owned(), shape: *shape };
            if let Some(fields) = costs.types.get_mut("Query") {
                fields.insert((*field).to_owned(), weight);
            }
        }
        costs
    }

    /// What is known of a field of a type.
    pub fn find(&self, parent: Option<&str>, field: &str) -> Option<&Weight> {
        self.types.get(parent?)?.get(field)
    }

    fn root(&self, kind: OperationType) -> &str {
        &self.roots[match kind {
            OperationType::Query => 0,
            OperationType::Mutation => 1,
            OperationType::Subscription => 2,
        }]
    }

    /// What one operation may cost, and whether that depends on its variables; not yet whether it may cost so
    /// much. Fragments that no operation
    /// spreads are walked too, because validation walks them.
    pub fn requested(
        &self,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        variables: &Variables,
    ) -> Result<Requested, Excess> {
        let mut scale = Scale::new(self, document, variables);
        let sum = scale.set(Some(self.root(operation.ty)), &operation.selection_set.node, 0)?;
        if sum.schema_lists > SCHEMA_LISTS {
            return Err(Excess::Introspection);
        }
        let points = sum.whole();
        for name in document.fragments.keys() {
            scale.fragment(name.as_str(), 0)?;
        }
        Ok(Requested { points, varies: scale.varies })
    }

    /// What all operations of a document may cost together when their variables make lists as long as they
    /// may be: a bound on the work of validation.
    pub fn bound(&self, document: &ExecutableDocument) -> Result<(), Excess> {
        // Lengths do not matter here: validation walks a list's selections once.
        let variables = Variables::default();
        let mut scale = Scale::new(self, document, &variables);
        let mut total = 0u64;
        for (_, operation) in document.operations.iter() {
            let weight = scale.set(None, &operation.node.selection_set.node, 0)?;
            total = total.saturating_add(weight.expanded);
        }
        for name in document.fragments.keys() {
            scale.fragment(name.as_str(), 0)?;
        }
        if total > MOST { Err(Excess::Cost(MOST)) } else { Ok(()) }
    }

    /// What an operation has cost, by what it has answered.
    pub fn actual(
        &self,
        document: &ExecutableDocument,
        operation: &OperationDefinition,
        data: &Value,
    ) -> u64 {
        self.answered(document, Some(self.root(operation.ty)), &operation.selection_set.node, data)
    }

    fn answered(
        &self,
        document: &ExecutableDocument,
        parent: Option<&str>,
        set: &SelectionSet,
        data: &Value,
    ) -> u64 {
        let Value::Object(members) = data else { return 0 };
        let mut total = 0u64;
        for item in &set.items {
            total = total.saturating_add(match &item.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    let Some(value) = members.get(field.response_key().node.as_str()) else { continue };
                    let weight = self.find(parent, field.name.node.as_str());
                    let points = weight.map_or(FIELD, |weight| weight.points);
                    let inner = &field.selection_set.node;
                    if inner.items.is_empty() {
                        points
                    } else {
                        let leads_to = weight.map(|weight| weight.leads_to.as_str());
                        points.saturating_add(self.nested(document, leads_to, inner, value))
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    self.answered(document, on.or(parent), &fragment.node.selection_set.node, data)
                }
                Selection::FragmentSpread(spread) => {
                    match document.fragments.get(&spread.node.fragment_name.node) {
                        Some(fragment) => {
                            let on = fragment.node.type_condition.node.on.node.as_str();
                            self.answered(document, Some(on), &fragment.node.selection_set.node, data)
                        }
                        None => 0,
                    }
                }
            });
        }
        total
    }

    fn nested(
        &self,
        document: &ExecutableDocument,
        parent: Option<&str>,
        set: &SelectionSet,
        data: &Value,
    ) -> u64 {
        match data {
            Value::List(items) => items.iter().map(|item| self.nested(document, parent, set, item)).sum(),
            data => self.answered(document, parent, set, data),
        }
    }

    /// The type that a field leads to.
    pub fn leads_to(&self, parent: &str, field: &str) -> Option<&str> {
        self.find(Some(parent), field).map(|weight| weight.leads_to.as_str())
    }
}

/// The named type of a type, and whether there is a list around it.
fn named(kind: &Type) -> (&str, bool) {
    match &kind.base {
        BaseType::Named(name) => (name.as_str(), false),
        BaseType::List(inner) => (named(inner).0, true),
    }
}

/// What an operation may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requested {
    /// In points.
    pub points: u64,
    /// Whether other variables may make another cost.
    pub varies: bool,
}

impl Requested {
    /// The points, when an operation may cost so many.
    pub fn bounded(self) -> Result<u64, Excess> {
        if self.points > MOST { Err(Excess::Cost(MOST)) } else { Ok(self.points) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::{parse_query, parse_schema};

    fn costs() -> Costs {
        Costs::read(&parse_schema(super::super::sdl()).unwrap())
    }

    fn requested(document: &str, variables: serde_json::Value) -> Result<Requested, Excess> {
        let (costs, document) = (costs(), parse_query(document).unwrap());
        let variables = Variables::from_json(variables);
        costs.bound(&document)?;
        let (_, operation) = document.operations.iter().next().unwrap();
        let requested = costs.requested(&document, &operation.node, &variables)?;
        requested.bounded().map(|_| requested)
    }

    fn points(document: &str) -> Result<u64, Excess> {
        requested(document, serde_json::json!({})).map(|requested| requested.points)
    }

    #[test]
    fn every_field_costs_something() {
        let costs = costs();
        let fields: Vec<&Weight> = costs.types.values().flat_map(HashMap::values).collect();
        assert!(fields.len() > 200);
        assert!(fields.iter().all(|weight| weight.points > 0));
    }

    #[test]
    fn lists_count_as_long_as_they_may_be() {
        assert_eq!(points("{ __typename }"), Ok(1));
        let page = |n: &str| {
            format!(
                "{{ pool(id: \"p\") {{ transfers{n} {{ nodes {{ id credits }} pageInfo {{ hasNextPage }} }} }} }}"
            )
        };
        assert_eq!(points(&page("(first: 10)")), Ok(2 + 5 + 10 * (2 + 2) + 2));
        assert_eq!(points(&page("")), Ok(2 + 5 + 25 * (2 + 2) + 2));
        assert_eq!(points(&page("(last: 1000)")), Ok(2 + 5 + 100 * (2 + 2) + 2));
        let asked = page("(last: $n)").replacen('{', "query Q($n: Int) {", 1);
        assert_eq!(
            requested(&asked, serde_json::json!({ "n": 2 })),
            Ok(Requested { points: 2 + 5 + 2 * 4 + 2, varies: true })
        );
        assert_eq!(requested(&asked, serde_json::json!({})).unwrap().points, 2 + 5 + 100 * 4 + 2);
        let in_fragment = "{ pool(id: \"p\") { transfers(first: 3) { ...f } } } fragment f on TransferConnection { edges { node { id } } }";
        assert_eq!(points(in_fragment), Ok(2 + 5 + 3 * (2 + 2 + 1)));
        assert_eq!(points("{ nodes(ids: [\"a\", \"b\", \"c\"]) { id } }"), Ok(2 + 3));
        let entities = |n: usize| {
            let one = "{__typename: \"Lot\", id: \"a\"} ";
            points(&format!(
                "{{ _entities(representations: [{}]) {{ ... on Lot {{ id }} }} }}",
                one.repeat(n)
            ))
        };
        assert_eq!(entities(100), Ok(2 + 100));
        assert_eq!(entities(101), Err(Excess::Entities));
        let batch = |n: usize| {
            let items = "{ poolId: \"p\", lines: [], idempotencyKey: \"k\" } ".repeat(n);
            let input = format!("{{ mode: EACH, items: [{items}] }}");
            points(&format!(
                "mutation {{ chargeCreditsBatch(input: {input}) {{ results {{ charge {{ id }} }} }} }}"
            ))
        };
        assert_eq!(batch(3), Ok(100 + 3 * (1 + 2 + 1)));
        let asked = "mutation M($i: ChargeCreditsBatchInput!) { chargeCreditsBatch(input: $i) { results { charge { id } } userErrors { code } } }";
        let given = serde_json::json!({ "i": { "items": [{}, {}] } });
        assert_eq!(requested(asked, given).unwrap().points, 100 + 2 * (1 + 2 + 1) + 2 + 5);
        assert_eq!(requested(asked, serde_json::json!({})).unwrap().points, 100 + 500 * (1 + 2 + 1) + 2 + 5);
        let deep = "pool { transfers(first: 100) { nodes { id } } }";
        let deep = format!("{{ pool(id: \"p\") {{ transfers(first: 100) {{ nodes {{ {deep} }} }} }} }}");
        assert_eq!(points(&deep.replace("100", "50")), Ok(2 + 5 + 50 * (2 + 2 + 5 + 50 * 3)));
        let wider =
            deep.replace("id }", "id version kind credits hash createdAt effectiveAt reference reason }");
        assert_eq!(points(&wider), Err(Excess::Cost(MOST)));
    }

    #[test]
    fn fragments_are_expanded_before_they_are_executed() {
        let mut bomb = "{ ...f0 }".to_owned();
        for i in 0..40 {
            bomb += &format!(" fragment f{i} on Query {{ ...f{n} ...f{n} }}", n = i + 1);
        }
        bomb += " fragment f40 on Query { __typename }";
        assert_eq!(points(&bomb), Err(Excess::Cost(MOST)));
        assert_eq!(points("{ ...a } fragment a on Q { ...b } fragment b on Q { ...a }"), Err(Excess::Cycle));
        assert_eq!(points("{ x } fragment a on Q { ...a }"), Err(Excess::Cycle));
        assert_eq!(points("{ ...a ...a } fragment a on Q { x }"), Ok(2));
        let mut chain = "{ ...f0 }".to_owned();
        for i in 0..1_000 {
            chain += &format!(" fragment f{i} on Query {{ ...f{} }}", i + 1);
        }
        assert_eq!(points(&(chain + " fragment f1000 on Query { x }")), Err(Excess::Nesting));
    }

    #[test]
    fn the_schema_is_told_once_and_not_multiplied() {
        let lists = |n: usize| {
            let inner = "possibleTypes { interfaces { ".repeat(n) + "name" + &"} }".repeat(n);
            points(&format!("{{ __type(name: \"Node\") {{ {inner} }} }}"))
        };
        assert!(lists(1).is_ok_and(|points| points >= 1_000));
        assert_eq!(lists(2), Err(Excess::Introspection));
        let spread = "{ __type(name: \"Node\") { possibleTypes { ...a } } } fragment a on __Type { fields { type { ...b } } } fragment b on __Type { fields { name } }";
        assert_eq!(points(spread), Err(Excess::Introspection));
        // What tools ask for.
        let arguments = "args { name type { kind name ofType { kind name ofType { kind name } } } }";
        let tool = format!(
            "{{ __schema {{ types {{ name fields {{ name {arguments} }} interfaces {{ name }} possibleTypes {{ name }} inputFields {{ name }} }} directives {{ {arguments} }} }} }}"
        );
        assert!(points(&tool).is_ok());
    }

    #[test]
    fn nesting_is_bounded_through_fragments() {
        let chain = |n: usize| {
            let fragments: String = (0..n)
                .map(|i| {
                    format!(
                        " fragment f{i} on Query {{ {}...f{}{} }}",
                        "a{".repeat(30),
                        i + 1,
                        "}".repeat(30)
                    )
                })
                .collect();
            points(&format!("{{ ...f0 }}{fragments} fragment f{n} on Query {{ __typename }}"))
        };
        assert!(chain(2).is_ok());
        assert_eq!(chain(40), Err(Excess::Nesting));
    }

    #[test]
    fn what_was_answered_counts_afterwards() {
        let document = "{ pool(id: \"p\") { transfers(first: 100) { nodes { id } } } }";
        let (costs, document) = (costs(), parse_query(document).unwrap());
        let (_, operation) = document.operations.iter().next().unwrap();
        let actual = |data: serde_json::Value| {
            costs.actual(&document, &operation.node, &Value::from_json(data).unwrap())
        };
        let nodes =
            serde_json::json!({ "pool": { "transfers": { "nodes": [{ "id": "a" }, { "id": "b" }] } } });
        assert_eq!(actual(nodes), 2 + 5 + 2 + 2);
        assert_eq!(actual(serde_json::json!({ "pool": null })), 2);
    }
}
