//! Weighing what a document asks for: each part once, so that it takes no longer than the document is long,
//! whatever it expands to.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, Field, Selection, SelectionSet};
use async_graphql::{Name, Value, Variables};

use super::connection::DEFAULT_PAGE;
use super::cost::{BATCH_PAYLOAD, Costs, FIELD, LIST, Shape};
use super::scan::{BRACKETS, ENTITIES, Excess, NESTING};
use crate::charges::MAX_ITEMS;
use crate::db::page::MAX_PAGE;

/// Weighs the parts of one document.
pub struct Scale<'d> {
    costs: &'d Costs,
    document: &'d ExecutableDocument,
    variables: &'d Variables,
    /// Fragments that have been weighed, and `None` for those that are being weighed.
    known: HashMap<&'d str, Option<Sum>>,
    /// Whether other variables may make other weights.
    pub varies: bool,
}

/// What a set of selections weighs.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    /// Once for the object that the set is of.
    pub once: u64,
    /// Once for each node of the connection, or each item of the batch, that the set is of.
    pub each: u64,
    /// How many selections it has when its fragments are expanded.
    pub expanded: u64,
    /// How deep lists of the schema are nested in it.
    pub schema_lists: u32,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.once = self.once.saturating_add(other.once);
        self.each = self.each.saturating_add(other.each);
        self.expanded = self.expanded.saturating_add(other.expanded).saturating_add(1);
        self.schema_lists = self.schema_lists.max(other.schema_lists);
    }

    /// All of it, for one object.
    pub fn whole(self) -> u64 {
        self.once.saturating_add(self.each)
    }
}

impl<'d> Scale<'d> {
    /// A scale for a document with its variables.
    pub fn new(costs: &'d Costs, document: &'d ExecutableDocument, variables: &'d Variables) -> Scale<'d> {
        Scale { costs, document, variables, known: HashMap::new(), varies: false }
    }

    /// Weighs a set that is nested so deep.
    pub fn set(
        &mut self,
        parent: Option<&'d str>,
        set: &'d SelectionSet,
        depth: usize,
    ) -> Result<Sum, Excess> {
        if depth > NESTING {
            return Err(Excess::Nesting);
        }
        let mut total = Sum::default();
        for item in &set.items {
            total.add(match &item.node {
                Selection::Field(field) => self.field(parent, &field.node, depth)?,
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    self.set(on.or(parent), &fragment.node.selection_set.node, depth + 1)?
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(spread.node.fragment_name.node.as_str(), depth + 1)?
                }
            });
        }
        Ok(total)
    }

    fn field(&mut self, parent: Option<&'d str>, field: &'d Field, depth: usize) -> Result<Sum, Excess> {
        let name = field.name.node.as_str();
        let costs = self.costs;
        let weight = costs.find(parent, name);
        let leads_to = weight.map(|weight| weight.leads_to.as_str());
        let inner = self.set(leads_to, &field.selection_set.node, depth + 1)?;
        let own = weight.map_or(FIELD, |weight| weight.points);
        let parts = match weight.map(|weight| weight.shape) {
            Some(Shape::Connection) => inner.once.saturating_add(inner.each.saturating_mul(self.page(field))),
            Some(Shape::Batch) => inner.once.saturating_add(inner.each.saturating_mul(self.items(field))),
            // The nodes of a page are counted by the field that leads to the page.
            Some(Shape::List) if is_page(parent, name) => inner.whole(),
            Some(Shape::List) => inner.whole().saturating_mul(self.given(field)?.unwrap_or(LIST)),
            Some(Shape::Long(length)) => inner.whole().saturating_mul(length),
            Some(Shape::One) => inner.whole(),
            // A field that is not in the schema is left to validation, which names it.
            None => inner.whole().saturating_mul(self.length(field).unwrap_or(1)),
        };
        let points = own.saturating_add(parts);
        // The types of introspection are not among the weights.
        let schema_list =
            weight.is_none() && matches!(name, "fields" | "interfaces" | "possibleTypes" | "inputFields");
        let schema_lists = inner.schema_lists + u32::from(schema_list);
        let sum = Sum { expanded: inner.expanded, schema_lists, ..Sum::default() };
        Ok(if is_page(parent, name) { Sum { each: points, ..sum } } else { Sum { once: points, ..sum } })
    }

    /// Weighs a fragment, once.
    pub fn fragment(&mut self, name: &'d str, depth: usize) -> Result<Sum, Excess> {
        match self.known.get(name).copied() {
            Some(Some(sum)) => return Ok(sum),
            Some(None) => return Err(Excess::Cycle),
            None => {}
        }
        // A fragment that is not there is left to validation, which names it.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Sum::default()) };
        if self.known.values().filter(|sum| sum.is_none()).count() >= BRACKETS {
            return Err(Excess::Nesting);
        }
        self.known.insert(name, None);
        let on = fragment.node.type_condition.node.on.node.as_str();
        let sum = self.set(Some(on), &fragment.node.selection_set.node, depth)?;
        self.known.insert(name, Some(sum));
        Ok(sum)
    }

    /// How long a page may be.
    fn page(&mut self, field: &Field) -> u64 {
        self.length(field).unwrap_or(DEFAULT_PAGE)
    }

    /// The length that `first` or `last` asks for.
    fn length(&mut self, field: &Field) -> Option<u64> {
        let asked = ["first", "last"].into_iter().find_map(|name| match self.argument(field, name)? {
            Value::Number(number) => number.as_u64(),
            _ => None,
        });
        // Longer pages are refused at their field.
        asked.map(|asked| asked.clamp(1, MAX_PAGE))
    }

    /// How many items a batch has.
    fn items(&mut self, field: &Field) -> u64 {
        let items = match self.argument(field, "input") {
            Some(Value::Object(input)) => input.get("items").cloned(),
            _ => None,
        };
        match items {
            Some(Value::List(items)) => u64::try_from(items.len()).unwrap_or(u64::MAX).max(1),
            // A single value stands for a list of it.
            Some(Value::Object(_)) => 1,
            _ => u64::try_from(MAX_ITEMS).unwrap_or(u64::MAX),
        }
    }

    /// How many ids or representations a field is given.
    fn given(&mut self, field: &Field) -> Result<Option<u64>, Excess> {
        if let Some(Value::List(entities)) = self.argument(field, "representations") {
            let count = entities.len();
            return if count > ENTITIES { Err(Excess::Entities) } else { Ok(Some((count as u64).max(1))) };
        }
        Ok(match self.argument(field, "ids") {
            Some(Value::List(ids)) => Some((ids.len() as u64).max(1)),
            _ => None,
        })
    }

    /// The value of an argument, when it has one. A variable that is not given may have a default: it is
    /// taken for the longest list.
    fn argument(&mut self, field: &Field, name: &str) -> Option<Value> {
        let value = field.get_argument(name)?.node.clone();
        let (variables, varies) = (self.variables, &mut self.varies);
        let given = |variable: Name| {
            *varies = true;
            variables.get(&variable).cloned().ok_or(())
        };
        Some(value.into_const_with(given).unwrap_or_else(|()| Value::from(MAX_PAGE)))
    }
}

/// Whether a field is the nodes of a page, or the answers to the items of a batch.
fn is_page(parent: Option<&str>, field: &str) -> bool {
    match parent {
        Some(parent) if parent.ends_with("Connection") => matches!(field, "nodes" | "edges"),
        Some(parent) if parent.ends_with(BATCH_PAYLOAD) => field == "results",
        _ => false,
    }
}
