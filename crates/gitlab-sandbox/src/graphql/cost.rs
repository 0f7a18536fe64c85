//! How much a query costs: GitLab's complexity, depth and recursion, checked before anything runs.

use std::collections::BTreeMap;

use apollo_compiler::executable::{Field, Selection};
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::{ExtendedType, FieldDefinition};
use apollo_compiler::{ExecutableDocument, Name, Node, Schema, ast, executable::DirectiveList};

use super::error::QueryError;
use super::schema::PricedSchema;

/// GitLab's `default_max_page_size`, in items.
pub const MAX_PAGE_SIZE: i64 = 100;
/// How often one field may appear in itself.
const RECURSION_LIMIT: usize = 2;
/// Fields that every list has, which GitLab does not count as recursion.
const RECURSION_IGNORED: [&str; 4] = ["node", "edges", "nodes", "ofType"];

/// What a user may ask in one query.
#[derive(Clone, Copy)]
pub struct Limits {
    pub complexity: i64,
    pub depth: usize,
}

/// Measures the selections of one operation with the values of its variables.
pub struct Meter<'a> {
    pub priced: &'a PricedSchema,
    pub document: &'a ExecutableDocument,
    pub variables: &'a JsonMap,
}

/// Fields that share a response key, and so are fetched once.
type Merged<'a> = Vec<&'a Node<Field>>;

impl<'a> Meter<'a> {
    /// The complexity of `selections` on the type `on`.
    pub fn complexity(&self, on: &str, selections: &'a [Selection]) -> i64 {
        self.complexity_of_all(on, &[selections])
    }

    /// Everything in the operation that is over its limit.
    pub fn check(&self, on: &str, selections: &'a [Selection], limits: Limits) -> Vec<QueryError> {
        let mut errors = Vec::new();
        let recursion = self.recursion(selections);
        if !recursion.is_empty() {
            let fields: Vec<_> = recursion
                .iter()
                .map(|(name, count)| format!("\"{name}\"=>{count}"))
                .collect();
            errors.push(QueryError::new(format!(
                "Recursive query - too many of fields '{{{}}}' detected\nin single branch of the query\")\n",
                fields.join(", ")
            )));
        }
        let depth = self.depth(selections);
        if depth > limits.depth {
            errors.push(QueryError::new(format!(
                "Query has depth of {depth}, which exceeds max depth of {}",
                limits.depth
            )));
        }
        let complexity = self.complexity(on, selections);
        if complexity > limits.complexity {
            errors.push(QueryError::new(format!(
                "Query has complexity of {complexity}, which exceeds max complexity of {}",
                limits.complexity
            )));
        }
        errors
    }

    fn complexity_of_all(&self, on: &str, sets: &[&'a [Selection]]) -> i64 {
        // What is selected on an interface costs what its dearest implementation costs.
        self.concrete_types(on)
            .iter()
            .map(|object| {
                let mut merged = BTreeMap::new();
                for set in sets {
                    self.collect(object, set, &mut merged);
                }
                merged
                    .values()
                    .map(|fields| self.field_complexity(object, fields))
                    .sum()
            })
            .max()
            .unwrap_or(0)
    }

    fn concrete_types(&self, name: &str) -> Vec<Name> {
        let schema: &Schema = &self.priced.schema;
        match schema.types.get_key_value(name) {
            Some((name, ExtendedType::Object(_))) => vec![name.clone()],
            Some((name, ExtendedType::Interface(_))) => schema
                .types
                .iter()
                .filter(|(other, definition)| definition.is_object() && schema.is_subtype(name, other))
                .map(|(other, _)| other.clone())
                .collect(),
            _ => Vec::new(),
        }
    }

    fn collect(
        &self,
        object: &Name,
        selections: &'a [Selection],
        merged: &mut BTreeMap<&'a str, Merged<'a>>,
    ) {
        for selection in selections.iter().filter(|one| self.included(one.directives())) {
            let (condition, nested) = match selection {
                Selection::Field(field) => {
                    merged.entry(field.response_key()).or_default().push(field);
                    continue;
                }
                Selection::InlineFragment(fragment) => {
                    (fragment.type_condition.as_ref(), &fragment.selection_set)
                }
                Selection::FragmentSpread(spread) => match spread.fragment_def(self.document) {
                    Some(fragment) => (Some(fragment.type_condition()), &fragment.selection_set),
                    None => continue,
                },
            };
            let applies = condition.is_none_or(|condition| {
                condition == object || self.priced.schema.is_subtype(condition, object)
            });
            if applies {
                self.collect(object, &nested.selections, merged);
            }
        }
    }

    fn field_complexity(&self, on: &Name, fields: &Merged<'a>) -> i64 {
        let field = fields[0];
        let sets: Vec<&[Selection]> = fields
            .iter()
            .map(|field| field.selection_set.selections.as_slice())
            .collect();
        let children = self.complexity_of_all(&field.selection_set.ty, &sets);
        let cost = self.priced.cost(on, &field.name);
        let mut complexity = children + cost.base;
        if !cost.by_arguments {
            return complexity;
        }
        if self.argument(field, "sort").is_some_and(|value| !value.is_null()) {
            complexity += 1;
        }
        if self
            .argument(field, "search")
            .is_some_and(|value| !value.is_null())
        {
            complexity += 5;
        }
        if !field.ty().inner_named_type().ends_with("Connection") {
            return complexity;
        }
        let page = ["first", "last"]
            .iter()
            .filter_map(|name| self.argument(field, name)?.as_i64())
            .fold(MAX_PAGE_SIZE, i64::min);
        // GitLab adds a hundredth for every item of a page, and drops the fraction.
        let complexity = complexity as f64;
        (complexity + complexity * (page as f64 * 0.01)) as i64
    }

    fn argument(&self, field: &Field, name: &str) -> Option<JsonValue> {
        let default = |definition: &FieldDefinition| {
            let argument = definition.argument_by_name(name)?;
            argument.default_value.as_ref().map(|value| self.value(value))
        };
        match field.arguments.iter().find(|argument| argument.name == name) {
            Some(argument) => match &*argument.value {
                ast::Value::Variable(variable) => self
                    .variables
                    .get(variable.as_str())
                    .cloned()
                    .or_else(|| default(&field.definition)),
                value => Some(self.value(value)),
            },
            None => default(&field.definition),
        }
    }

    /// A scalar literal as JSON; what only matters by being there becomes `true`.
    fn value(&self, value: &ast::Value) -> JsonValue {
        match value {
            ast::Value::Null => JsonValue::Null,
            ast::Value::Int(int) => int.try_to_i32().map_or(JsonValue::Bool(true), Into::into),
            ast::Value::Boolean(flag) => JsonValue::Bool(*flag),
            ast::Value::Variable(name) => self
                .variables
                .get(name.as_str())
                .cloned()
                .unwrap_or(JsonValue::Null),
            _ => JsonValue::Bool(true),
        }
    }

    fn included(&self, directives: &DirectiveList) -> bool {
        let condition = |name: &str| {
            let value = directives.get(name)?.specified_argument_by_name("if")?;
            self.value(value).as_bool()
        };
        condition("skip") != Some(true) && condition("include") != Some(false)
    }

    fn depth(&self, selections: &[Selection]) -> usize {
        let nested = |selection: &Selection| match selection {
            Selection::Field(field) => 1 + self.depth(&field.selection_set.selections),
            Selection::InlineFragment(fragment) => self.depth(&fragment.selection_set.selections),
            Selection::FragmentSpread(spread) => spread
                .fragment_def(self.document)
                .map_or(0, |fragment| self.depth(&fragment.selection_set.selections)),
        };
        selections
            .iter()
            .filter(|one| self.included(one.directives()))
            .map(nested)
            .max()
            .unwrap_or(0)
    }

    /// Fields that stand in themselves more often than GitLab allows, with how often.
    fn recursion(&self, selections: &'a [Selection]) -> BTreeMap<&'a str, usize> {
        let mut found = BTreeMap::new();
        self.recurse(selections, &mut Vec::new(), &mut found);
        found
    }

    fn recurse(
        &self,
        selections: &'a [Selection],
        above: &mut Vec<&'a str>,
        found: &mut BTreeMap<&'a str, usize>,
    ) {
        for selection in selections.iter().filter(|one| self.included(one.directives())) {
            match selection {
                Selection::Field(field) if field.selection_set.is_empty() => {}
                Selection::Field(field) => {
                    above.push(&field.name);
                    let count = above.iter().filter(|name| **name == field.name.as_str()).count();
                    if count > RECURSION_LIMIT && !RECURSION_IGNORED.contains(&field.name.as_str()) {
                        found.insert(&field.name, count);
                    }
                    self.recurse(&field.selection_set.selections, above, found);
                    above.pop();
                }
                Selection::InlineFragment(fragment) => {
                    self.recurse(&fragment.selection_set.selections, above, found);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = spread.fragment_def(self.document) {
                        self.recurse(&fragment.selection_set.selections, above, found);
                    }
                }
            }
        }
    }
}
