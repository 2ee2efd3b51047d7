//! Documents that have been seen before: parsed and validated once, executed many times; and documents that
//! are known by their digests.
//!
//! Clients send the same few documents again and again, with other variables. Parsing and validating one
//! takes several times as long as executing it. What depends on the variables is checked each time.
//!
//! With a manifest only its documents are executed (trusted documents): they are read and checked at start.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Variables};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::charge_root;
use super::cost::Costs;
use super::parameters::{Digest, Naming, digest};
use super::refusal::Refusal;
use super::scan::scan;

/// How much memory documents may take that are known by their texts, and by their digests, in bytes.
const CAPACITY: u64 = 24 * 1024 * 1024;
/// What one token takes in a parsed document, in bytes.
const TOKEN_BYTES: usize = 320;
/// The longest document that is kept, in bytes.
const LONGEST: usize = 16 * 1024;

/// A parsed document with what is known of its operations.
#[derive(Debug)]
pub struct Document {
    /// The text.
    text: Box<str>,
    /// The syntax tree.
    pub parsed: ExecutableDocument,
    /// What it takes in memory, in bytes, more or less.
    size: usize,
    /// Whether it asks for the schema.
    introspects: bool,
    facts: Vec<(Option<Name>, Facts)>,
}

/// What is known of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What kind of operation it is.
    pub kind: OperationType,
    /// What it may cost, unless that depends on its variables.
    pub points: Option<u64>,
    /// Whether all that it does is compared by the ledger with what holds when it books.
    pub compared: bool,
    /// Whether it asks for nothing but names of types and the schema, which are the same for everybody.
    pub impersonal: bool,
}

impl Document {
    /// Reads a document: scanned before it is parsed, weighed before it is validated.
    pub fn read(text: &str, costs: &Costs) -> Result<Document, Refusal> {
        let tokens = scan(text).map_err(|excess| Refusal::new("GRAPHQL_PARSE_FAILED", excess.message()))?;
        let size = text.len().saturating_add(tokens.saturating_mul(TOKEN_BYTES));
        let parsed = async_graphql::parser::parse_query(text).map_err(Refusal::unparsed)?;
        let invalid = |message: String| Refusal::new("GRAPHQL_VALIDATION_FAILED", message);
        costs.bound(&parsed).map_err(|excess| invalid(excess.message()))?;
        one_stream(&parsed).map_err(|message| invalid(message.to_owned()))?;
        let mut facts = Vec::new();
        for (name, operation) in parsed.operations.iter() {
            let operation = &operation.node;
            let requested = costs.requested(&parsed, operation, &Variables::default());
            let requested = requested.map_err(|excess| invalid(excess.message()))?;
            let points = (!requested.varies).then(|| requested.bounded()).transpose();
            let points = points.map_err(|excess| invalid(excess.message()))?;
            let roots = &operation.selection_set.node.items;
            let all = |holds: fn(&str) -> bool| {
                roots.iter().all(|root| match &root.node {
                    Selection::Field(field) => holds(field.node.name.node.as_str()),
                    Selection::FragmentSpread(_) | Selection::InlineFragment(_) => false,
                })
            };
            let compared = operation.ty == OperationType::Mutation
                && all(|field| charge_root::COMPARED.contains(&field));
            let impersonal = all(|field| matches!(field, "__typename" | "__schema" | "__type" | "_service"));
            facts.push((name.cloned(), Facts { kind: operation.ty, points, compared, impersonal }));
        }
        let sets = parsed.fragments.values().map(|fragment| &fragment.node.selection_set.node);
        let sets =
            sets.chain(parsed.operations.iter().map(|(_, operation)| &operation.node.selection_set.node));
        let introspects = sets.into_iter().any(introspects);
        Ok(Document { text: text.into(), size, parsed, introspects, facts })
    }

    /// The operation that is asked for. One that cannot be told is left to execution, which says so.
    pub fn operation(&self, name: Option<&str>) -> Option<(&OperationDefinition, &Facts)> {
        let named = |wanted: &Option<Name>| match name {
            Some(name) => wanted.as_ref().is_none_or(|known| known.as_str() == name),
            None => true,
        };
        if name.is_none() && self.facts.len() > 1 {
            return None;
        }
        let (name, facts) = self.facts.iter().find(|(wanted, _)| named(wanted))?;
        let operation = match (&self.parsed.operations, name) {
            (DocumentOperations::Single(operation), _) => operation,
            (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name)?,
            (DocumentOperations::Multiple(_), None) => return None,
        };
        Some((&operation.node, facts))
    }

    /// The names of its operations (none for one that has none), with what kind each is.
    pub fn operations(&self) -> impl Iterator<Item = (Option<String>, OperationType)> {
        self.facts.iter().map(|(name, facts)| (name.as_ref().map(Name::to_string), facts.kind))
    }

    /// The SHA-256 of its text.
    pub fn digest(&self) -> Digest {
        Sha256::digest(self.text.as_bytes()).into()
    }
}

/// A subscription has exactly one root field, and it stands in the operation itself.
fn one_stream(document: &ExecutableDocument) -> Result<(), &'static str> {
    for (_, operation) in document.operations.iter() {
        if operation.node.ty != OperationType::Subscription {
            continue;
        }
        let items = &operation.node.selection_set.node.items;
        if items.len() != 1 {
            return Err("A subscription has exactly one root field.");
        }
        if !items.iter().all(|item| matches!(item.node, Selection::Field(_))) {
            return Err("The root field of a subscription must not stand in a fragment.");
        }
        let conditional = |item: &Selection| match item {
            Selection::Field(field) => !field.node.directives.is_empty(),
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => true,
        };
        if items.iter().any(|item| conditional(&item.node)) {
            return Err("The root field of a subscription takes no directives.");
        }
    }
    Ok(())
}

/// Whether a set asks for the schema, fragments that it spreads aside.
fn introspects(set: &SelectionSet) -> bool {
    set.items.iter().any(|item| match &item.node {
        Selection::Field(field) => {
            matches!(field.node.name.node.as_str(), "__schema" | "__type" | "_service")
                || introspects(&field.node.selection_set.node)
        }
        Selection::InlineFragment(fragment) => introspects(&fragment.node.selection_set.node),
        Selection::FragmentSpread(_) => false,
    })
}

/// The documents of a server.
#[derive(Clone)]
pub struct Documents(Arc<Shelves>);

struct Shelves {
    costs: Arc<Costs>,
    introspection: bool,
    by_text: Cache<Box<str>, Arc<Document>, ByLength>,
    by_digest: Cache<Digest, Arc<Document>, ByLength>,
    /// The only documents that are executed, when there is a manifest.
    trusted: Option<HashMap<Digest, Arc<Document>>>,
}

#[derive(Clone)]
struct ByLength;

impl<K> Weighter<K, Arc<Document>> for ByLength {
    fn weight(&self, _: &K, document: &Arc<Document>) -> u64 {
        u64::try_from(document.size).unwrap_or(u64::MAX).max(64)
    }
}

/// A document that a request names.
pub struct Found {
    /// The document.
    pub document: Arc<Document>,
    /// Whether it has been validated.
    pub valid: bool,
    /// Whether it is to be known by its digest once it is found valid.
    persist: bool,
}

impl Documents {
    /// No documents yet, or those of a manifest alone.
    pub fn new(costs: Arc<Costs>, introspection: bool, manifest: Option<Manifest>) -> Documents {
        Documents(Arc::new(Shelves {
            costs,
            introspection,
            by_text: Cache::with_weighter(4_096, CAPACITY, ByLength),
            by_digest: Cache::with_weighter(4_096, CAPACITY, ByLength),
            trusted: manifest.map(|manifest| manifest.0),
        }))
    }

    /// Finds the document that a request names, or reads it, once `pay` has agreed to reading so many bytes.
    pub fn find(
        &self,
        naming: Naming,
        pay: impl FnOnce(usize) -> Result<(), Refusal>,
    ) -> Result<Found, Refusal> {
        let shelves = &*self.0;
        let known = |document| Found { document, valid: true, persist: false };
        let not_found = || Refusal::new("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound");
        let (text, persist) = match naming {
            Naming::Text(text) => (text, false),
            Naming::Digest(digest) => {
                let found = match &shelves.trusted {
                    Some(trusted) => trusted.get(&digest).cloned(),
                    None => shelves.by_digest.get(&digest),
                };
                return found.map(known).ok_or_else(not_found);
            }
            Naming::Both(text, digest) => {
                if Digest::from(Sha256::digest(text.as_bytes())) != digest {
                    let message = "The digest is not that of the document's text.";
                    return Err(Refusal::new("BAD_USER_INPUT", message));
                }
                (text, true)
            }
        };
        if let Some(trusted) = &shelves.trusted {
            let digest = Digest::from(Sha256::digest(text.as_bytes()));
            return trusted.get(&digest).cloned().map(known).ok_or_else(not_found);
        }
        let (document, valid) = match shelves.by_text.get(text.as_str()) {
            Some(document) => (document, true),
            None => {
                pay(text.len())?;
                (Arc::new(Document::read(&text, &shelves.costs)?), false)
            }
        };
        if document.introspects && !shelves.introspection {
            let message = "Introspection is switched off on this server.";
            return Err(Refusal::new("GRAPHQL_VALIDATION_FAILED", message));
        }
        if valid && persist {
            shelves.by_digest.insert(document.digest(), Arc::clone(&document));
        }
        Ok(Found { document, valid, persist })
    }

    /// Keeps a document that has been found valid.
    pub fn keep(&self, found: &Found) {
        let document = &found.document;
        if found.valid || document.text.len() > LONGEST {
            return;
        }
        self.0.by_text.insert(document.text.clone(), Arc::clone(document));
        if found.persist {
            self.0.by_digest.insert(document.digest(), Arc::clone(document));
        }
    }
}

/// The documents that a server is restricted to.
pub struct Manifest(HashMap<Digest, Arc<Document>>);

/// The forms of manifests: that of Apollo's tools, with a list of operations; or an object from digests to
/// texts, as Relay's compiler and GraphQL Code Generator write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Operations { operations: Vec<Operation> },
    Texts(HashMap<String, String>),
}

#[derive(Deserialize)]
struct Operation {
    body: String,
}

impl Manifest {
    /// Reads the manifest in a file, checks every document in it by `valid`, and says what is wrong with the
    /// first that cannot be executed.
    pub async fn load<F>(
        path: &Path,
        costs: &Costs,
        valid: impl Fn(Arc<Document>) -> F,
    ) -> Result<Self, String>
    where
        F: Future<Output = Result<(), String>>,
    {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
        let form = serde_json::from_str(&text).map_err(|_| {
            "must be a JSON object with operations (each with a body), or from digests to texts".to_owned()
        })?;
        let texts: Vec<(Option<String>, String)> = match form {
            Form::Operations { operations } => {
                operations.into_iter().map(|operation| (None, operation.body)).collect()
            }
            Form::Texts(texts) => texts.into_iter().map(|(name, text)| (Some(name), text)).collect(),
        };
        let mut documents = HashMap::new();
        for (name, text) in texts {
            let document = Document::read(&text, costs);
            let document = document.map_err(|refusal| format!("{}: {text}", refusal.message))?;
            let document = Arc::new(document);
            let own = document.digest();
            valid(Arc::clone(&document)).await.map_err(|error| format!("{error} {text}"))?;
            documents.insert(own, Arc::clone(&document));
            // A compiler that digests by other means names its documents itself, when it can as 32 bytes.
            if let Some(named) = name.as_deref().and_then(digest) {
                documents.insert(named, document);
            }
        }
        if documents.is_empty() { Err("has no documents".to_owned()) } else { Ok(Manifest(documents)) }
    }
}
