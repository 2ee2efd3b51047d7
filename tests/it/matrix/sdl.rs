//! The schema as it is checked in: which fields there are, and what a document selects that asks for all of them.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, FieldDefinition, Type, TypeKind, TypeSystemDefinition};

const SCHEMA: &str = include_str!("../../../schema.graphql");

/// How many nodes of a list are asked for: more than there are of anything but entries of the audit log.
pub const PAGE: usize = 60;
/// How many entries of the audit log: all of it is seen, or nothing.
const EVENTS: usize = 6;

/// A field of a type.
pub struct Field {
    /// Its name.
    pub name: String,
    /// The name of its innermost type.
    pub kind: String,
    /// The names of its arguments, and whether each has to be given.
    arguments: Vec<(String, bool)>,
}

/// The types of the schema that have fields.
pub struct Sdl {
    types: BTreeMap<String, Vec<Field>>,
    /// Those that can be found by id.
    nodes: BTreeSet<String>,
    /// Those whose fields are the same for whatever stands behind.
    interfaces: BTreeSet<String>,
    /// An instant that has passed, where one has to be named.
    instant: String,
}

impl Field {
    fn of(definition: &FieldDefinition) -> Field {
        let arguments = definition.arguments.iter().map(|argument| {
            let argument = &argument.node;
            let needed = !argument.ty.node.nullable && argument.default_value.is_none();
            (argument.name.node.to_string(), needed)
        });
        Field {
            name: definition.name.node.to_string(),
            kind: innermost(&definition.ty.node).to_owned(),
            arguments: arguments.collect(),
        }
    }
}

fn innermost(kind: &Type) -> &str {
    match &kind.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => innermost(inner),
    }
}

impl Sdl {
    /// Reads the schema.
    pub fn read() -> Sdl {
        let document = parse_schema(SCHEMA).unwrap();
        let (mut types, mut nodes, mut interfaces) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        for definition in &document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            match &definition.node.kind {
                TypeKind::Object(object) => {
                    if object.implements.iter().any(|of| of.node.as_str() == "Node") {
                        nodes.insert(name.clone());
                    }
                    let fields = object.fields.iter().map(|field| Field::of(&field.node)).collect();
                    types.insert(name, fields);
                }
                TypeKind::Interface(_) => _ = interfaces.insert(name),
                _ => {}
            }
        }
        let instant = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        Sdl { types, nodes, interfaces, instant }
    }

    /// The types that can be found by id.
    pub fn nodes(&self) -> &BTreeSet<String> {
        &self.nodes
    }

    /// The fields of a type.
    pub fn fields(&self, kind: &str) -> &[Field] {
        self.types.get(kind).unwrap_or_else(|| panic!("there is no type {kind}"))
    }

    /// A field of a type.
    pub fn field(&self, kind: &str, name: &str) -> &Field {
        let found = self.fields(kind).iter().find(|field| field.name == name);
        found.unwrap_or_else(|| panic!("{kind} has no field {name}"))
    }

    /// Whether a field leads to something that has fields.
    fn is_edge(&self, field: &Field) -> bool {
        self.types.contains_key(&field.kind) || self.interfaces.contains(&field.kind)
    }

    /// What the nodes of a list are; the type itself, when it is no list.
    fn behind<'s>(&'s self, kind: &'s str) -> &'s str {
        match kind.ends_with("Connection") {
            true => &self.field(kind, "nodes").kind,
            false => kind,
        }
    }

    /// Every field that leads from what can be found by id, or from a part of that, to something that has fields: as
    /// type and field.
    pub fn edges(&self) -> BTreeSet<(String, String)> {
        let (mut edges, mut known) = (BTreeSet::new(), self.nodes.clone());
        let mut waiting: Vec<String> = self.nodes.iter().cloned().collect();
        while let Some(kind) = waiting.pop() {
            for field in self.fields(&kind).iter().filter(|field| self.is_edge(field)) {
                edges.insert((kind.clone(), field.name.clone()));
                let behind = self.behind(&field.kind);
                if self.types.contains_key(behind) && known.insert(behind.to_owned()) {
                    waiting.push(behind.to_owned());
                }
            }
        }
        edges
    }

    /// All that a thing shows: its values, its parts, and the ids of what it leads to.
    pub fn selection(&self, kind: &str) -> String {
        let fields = self.fields(kind).iter().map(|field| self.selected(field));
        fields.collect::<Vec<_>>().join(" ")
    }

    fn selected(&self, field: &Field) -> String {
        let name = &field.name;
        let mut given = Vec::new();
        for (argument, needed) in &field.arguments {
            match (argument.as_str(), needed) {
                ("first", _) if name == "auditEvents" => given.push(format!("first: {EVENTS}")),
                // Who is refused meanwhile is recorded some time afterwards.
                ("filter", _) if name == "auditEvents" => {
                    given.push(format!("filter: {{ to: \"{}\" }}", self.instant));
                }
                ("first", _) => given.push(format!("first: {PAGE}")),
                ("time", true) => given.push(format!("time: \"{}\"", self.instant)),
                (_, false) => {}
                (other, true) => panic!("what is a plausible {other} of {name}?"),
            }
        }
        let given = if given.is_empty() { String::new() } else { format!("({})", given.join(", ")) };
        let inner = |kind: &str| match self.nodes.contains(kind) {
            true => "id".to_owned(),
            false => self.selection(kind),
        };
        match field.kind.as_str() {
            kind if self.interfaces.contains(kind) => {
                format!("{name}{given} {{ __typename code message field }}")
            }
            kind if kind.ends_with("Connection") => {
                let count = if name == "auditEvents" { "" } else { "totalCount " };
                format!("{name}{given} {{ {count}nodes {{ {} }} }}", inner(self.behind(kind)))
            }
            kind if self.types.contains_key(kind) => format!("{name}{given} {{ {} }}", inner(kind)),
            _ => format!("{name}{given}"),
        }
    }
}
