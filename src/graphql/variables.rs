//! Variables checked against their types before anything is executed (GraphQL specification, section
//! 6.1.2), so that a malformed value is refused by name: which field, and what it must be.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    BaseType, OperationDefinition, ServiceDocument, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, ScalarType, Value, Variables};

use super::scalars::{
    CreditsScalar, CurrencyCode, DateTime, Decimal, IdempotencyKey, Json, SignedCredits, TimeZone, Version,
};

/// What a value that cannot be accepted is, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The way to it: fields of the input, or the name of the variable itself.
    pub field: Vec<String>,
    /// Why, as the end of a sentence about it.
    pub reason: String,
}

/// The input types of the schema.
pub struct InputTypes {
    objects: HashMap<String, Vec<InputField>>,
    enums: HashMap<String, HashSet<String>>,
}

struct InputField {
    name: String,
    kind: Type,
    optional: bool,
}

impl InputTypes {
    /// Reads the input types of a schema.
    pub fn read(schema: &ServiceDocument) -> InputTypes {
        let mut types = InputTypes { objects: HashMap::new(), enums: HashMap::new() };
        for definition in &schema.definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let name = definition.node.name.node.to_string();
            match &definition.node.kind {
                TypeKind::InputObject(object) => {
                    let one_of = definition.node.directives.iter().any(|used| used.node.name.node == "oneOf");
                    let fields = object.fields.iter().map(|field| InputField {
                        name: field.node.name.node.to_string(),
                        optional: one_of || field.node.ty.node.nullable || field.node.default_value.is_some(),
                        kind: field.node.ty.node.clone(),
                    });
                    types.objects.insert(name, fields.collect());
                }
                TypeKind::Enum(kind) => {
                    let words = kind.values.iter().map(|value| value.node.value.node.to_string());
                    types.enums.insert(name, words.collect());
                }
                _ => {}
            }
        }
        types
    }

    /// Checks the variables of an operation.
    pub fn check(&self, operation: &OperationDefinition, variables: &Variables) -> Result<(), Malformed> {
        for definition in &operation.variable_definitions {
            let (definition, name) = (&definition.node, definition.node.name.node.as_str());
            let kind = &definition.var_type.node;
            let mut way = Vec::new();
            let outcome = match variables.get(&Name::new(name)) {
                Some(value) => self.value(value, kind, &mut way),
                None if kind.nullable || definition.default_value.is_some() => Ok(()),
                None => Err("is missing".to_owned()),
            };
            if let Err(reason) = outcome {
                let field = if way.is_empty() { vec![name.to_owned()] } else { way };
                return Err(Malformed { field, reason });
            }
        }
        Ok(())
    }

    /// Checks a value; on failure `way` leads to the part that is wrong.
    fn value(&self, value: &Value, kind: &Type, way: &mut Vec<String>) -> Result<(), String> {
        if *value == Value::Null {
            return if kind.nullable { Ok(()) } else { Err("must not be null".to_owned()) };
        }
        match &kind.base {
            BaseType::List(inner) => match value {
                Value::List(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                    way.push(index.to_string());
                    self.value(item, inner, way)?;
                    way.pop();
                    Ok(())
                }),
                // A single value stands for a list of it.
                value => self.value(value, inner, way),
            },
            BaseType::Named(name) => match self.objects.get(name.as_str()) {
                Some(fields) => self.object(value, name, fields, way),
                None => self.leaf(value, name),
            },
        }
    }

    fn object(
        &self,
        value: &Value,
        name: &Name,
        fields: &[InputField],
        way: &mut Vec<String>,
    ) -> Result<(), String> {
        let Value::Object(members) = value else { return Err(format!("must be an object, a {name}")) };
        if let Some(unknown) =
            members.keys().find(|key| !fields.iter().any(|field| field.name == key.as_str()))
        {
            way.push(unknown.to_string());
            return Err(format!("is not a field of {name}"));
        }
        for field in fields {
            way.push(field.name.clone());
            match members.get(field.name.as_str()) {
                Some(value) => self.value(value, &field.kind, way)?,
                None if field.optional => {}
                None => return Err("is missing".to_owned()),
            }
            way.pop();
        }
        Ok(())
    }

    fn leaf(&self, value: &Value, name: &Name) -> Result<(), String> {
        if let Some(words) = self.enums.get(name.as_str()) {
            let known = match value {
                Value::Enum(word) => words.contains(word.as_str()),
                Value::String(word) => words.contains(word),
                _ => false,
            };
            return if known { Ok(()) } else { Err(format!("must be a word of {name}")) };
        }
        let (fits, expected) = match name.as_str() {
            "Int" => {
                let fits = whole(value).is_some_and(|number| i32::try_from(number).is_ok());
                (fits, "a whole number from -2147483648 to 2147483647")
            }
            "Boolean" => (matches!(value, Value::Boolean(_)), "true or false"),
            "String" => (matches!(value, Value::String(_)), "a string"),
            "ID" => (matches!(value, Value::String(_)) || whole(value).is_some(), "an id, as a string"),
            "Credits" => (fits::<CreditsScalar>(value), "a whole number from 0 to 9007199254740991"),
            "Version" => (fits::<Version>(value), "a whole number from 0 to 9007199254740991"),
            "SignedCredits" => (fits::<SignedCredits>(value), "a whole number"),
            "DateTime" => (fits::<DateTime>(value), "an instant as in RFC 3339"),
            "Decimal" => (fits::<Decimal>(value), "a decimal number as a string, without an exponent"),
            "CurrencyCode" => (fits::<CurrencyCode>(value), "a known ISO 4217 code in capitals"),
            "TimeZone" => (fits::<TimeZone>(value), "an IANA time zone"),
            "IdempotencyKey" => (fits::<IdempotencyKey>(value), "a string of 1 to 255 characters"),
            "JSON" => (fits::<Json>(value), "a JSON value"),
            // A type that is not there is named by validation.
            _ => (true, ""),
        };
        if fits { Ok(()) } else { Err(format!("must be {expected}")) }
    }
}

fn fits<S: ScalarType>(value: &Value) -> bool {
    <S as ScalarType>::parse(value.clone()).is_ok()
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::parser::{parse_query, parse_schema};
    use serde_json::json;

    #[test]
    fn malformed_variables_are_named() {
        let types = InputTypes::read(&parse_schema(super::super::sdl()).unwrap());
        let document = parse_query(
            "query Q($i: ChargeCreditsInput!, $n: Int, $r: [Role!], $by: OrganizationSelector) { x }",
        )
        .unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        let check = |variables: serde_json::Value| {
            let malformed = types.check(&operation.node, &Variables::from_json(variables)).err()?;
            Some(format!("{} {}", malformed.field.join("."), malformed.reason))
        };
        let line = |quantity: serde_json::Value| json!({ "poolId": "p", "idempotencyKey": "k", "lines": [{ "service": "S" }, { "service": "S", "quantity": quantity }] });
        assert_eq!(
            check(json!({ "i": line(json!(1)), "n": null, "r": ["OWNER"], "by": { "slug": "x" } })),
            None
        );
        assert_eq!(check(json!({ "i": line(json!(1)), "r": "OWNER" })), None);
        let int = "must be a whole number from -2147483648 to 2147483647";
        for quantity in [json!(3_000_000_000_i64), json!(1.5), json!("1"), json!(true), json!([1, 2])] {
            assert_eq!(check(json!({ "i": line(quantity) })).unwrap(), format!("lines.1.quantity {int}"));
        }
        assert_eq!(check(json!({ "i": line(json!(null)) })).unwrap(), "lines.1.quantity must not be null");
        assert_eq!(check(json!({})).unwrap(), "i is missing");
        assert_eq!(check(json!({ "i": 7 })).unwrap(), "i must be an object, a ChargeCreditsInput");
        assert_eq!(check(json!({ "i": {} })).unwrap(), "idempotencyKey is missing");
        assert_eq!(check(json!({ "i": line(json!(1)), "n": "1" })).unwrap(), format!("n {int}"));
        assert_eq!(check(json!({ "i": line(json!(1)), "r": ["KING"] })).unwrap(), "0 must be a word of Role");
        assert_eq!(check(json!({ "i": { "x": 1 } })).unwrap(), "x is not a field of ChargeCreditsInput");
    }
}
