//! Static validation of a query in the words of GitLab's GraphQL library.
//!
//! It covers what clients get wrong: fields, arguments, variables and selections that do not fit the schema. What
//! remains is left to the compiler's own validation, which runs after it.

use std::collections::HashMap;

use apollo_compiler::ast::{self, Definition, Document, Selection, Type};
use apollo_compiler::parser::SourceSpan;
use apollo_compiler::schema::{ExtendedType, InputValueDefinition};
use apollo_compiler::{Name, Node, Schema};

use super::error::QueryError;
use super::scalars::{Misfit, check_literal};

/// GitLab's `validate_max_errors`.
const MAX_ERRORS: usize = 5;

/// Every error that GitLab's rules find in `document`, at most five.
pub fn validate(schema: &Schema, document: &Document) -> Vec<QueryError> {
    let mut walk = Walk {
        schema,
        document,
        path: Vec::new(),
        errors: Vec::new(),
        uses: Vec::new(),
        spreads: Vec::new(),
    };
    let mut fragments = HashMap::new();
    let mut operations = Vec::new();
    for definition in &document.definitions {
        match definition {
            Definition::OperationDefinition(operation) => {
                if let Some(root) = schema.root_operation(operation.operation_type) {
                    let part = walk.definition(operation_label(operation), root, &operation.selection_set);
                    operations.push((operation, part));
                }
            }
            Definition::FragmentDefinition(fragment) => {
                let label = format!("fragment {}", fragment.name);
                let part = walk.definition(label, &fragment.type_condition, &fragment.selection_set);
                fragments.insert(fragment.name.clone(), part);
            }
            _ => {}
        }
    }
    for (operation, part) in operations {
        walk.variables(operation, &part, &fragments);
    }
    walk.errors.truncate(MAX_ERRORS);
    walk.errors
}

/// What a definition uses itself, without the fragments it spreads.
struct Part {
    uses: Vec<Use>,
    spreads: Vec<Name>,
}

/// A variable standing as an argument's value.
#[derive(Clone)]
struct Use {
    variable: Name,
    span: Option<SourceSpan>,
    path: Vec<String>,
    argument: Node<InputValueDefinition>,
}

/// What the arguments at hand belong to, as GitLab calls it.
#[derive(Clone, Copy)]
struct Owner<'a> {
    kind: &'static str,
    name: &'a str,
}

struct Walk<'a> {
    schema: &'a Schema,
    document: &'a Document,
    path: Vec<String>,
    errors: Vec<QueryError>,
    uses: Vec<Use>,
    spreads: Vec<Name>,
}

fn operation_label(operation: &ast::OperationDefinition) -> String {
    match &operation.name {
        Some(name) => format!("{} {name}", operation.operation_type),
        None => operation.operation_type.to_string(),
    }
}

impl Walk<'_> {
    fn error(&mut self, span: Option<SourceSpan>, message: String, extensions: &[(&str, &str)]) {
        let mut error = QueryError::new(message)
            .at(span, &self.document.sources)
            .with(extensions);
        error.path = self.path.clone();
        self.errors.push(error);
    }

    fn definition(&mut self, label: String, on: &Name, selections: &[Selection]) -> Part {
        self.path.push(label);
        self.selections(on, selections);
        self.path.pop();
        Part {
            uses: std::mem::take(&mut self.uses),
            spreads: std::mem::take(&mut self.spreads),
        }
    }

    fn selections(&mut self, on: &Name, selections: &[Selection]) {
        for selection in selections {
            self.directives(match selection {
                Selection::Field(field) => &field.directives,
                Selection::InlineFragment(fragment) => &fragment.directives,
                Selection::FragmentSpread(spread) => &spread.directives,
            });
            match selection {
                Selection::Field(field) => self.field(on, field),
                Selection::InlineFragment(fragment) => {
                    let on = fragment.type_condition.as_ref().unwrap_or(on);
                    self.path.push(format!("... on {on}"));
                    self.selections(on, &fragment.selection_set);
                    self.path.pop();
                }
                Selection::FragmentSpread(spread) => self.spread(spread),
            }
        }
    }

    fn directives(&mut self, directives: &ast::DirectiveList) {
        for directive in directives.iter() {
            // One that does not exist is the compiler's to report.
            let Some(definition) = self.schema.directive_definitions.get(&directive.name) else {
                continue;
            };
            let owner = Owner {
                kind: "Directive",
                name: &directive.name,
            };
            let given: Vec<_> = directive
                .arguments
                .iter()
                .map(|argument| (&argument.name, &argument.value, argument.location()))
                .collect();
            self.arguments(owner, &definition.arguments, &given);
        }
    }

    fn spread(&mut self, spread: &Node<ast::FragmentSpread>) {
        let name = &spread.fragment_name;
        let defined = self.document.definitions.iter().any(|definition| {
            matches!(definition, Definition::FragmentDefinition(fragment) if fragment.name == *name)
        });
        if defined {
            self.spreads.push(name.clone());
            return;
        }
        let message = format!("Fragment {name} was used, but not defined");
        let extensions = [("code", "useAndDefineFragment"), ("fragmentName", name.as_str())];
        self.path.push(format!("... {name}"));
        self.error(spread.location(), message, &extensions);
        self.path.pop();
    }

    fn field(&mut self, on: &Name, field: &Node<ast::Field>) {
        self.path.push(field.response_name().to_string());
        self.field_at_path(on, field);
        self.path.pop();
    }

    fn field_at_path(&mut self, on: &Name, field: &Node<ast::Field>) {
        if field.name == "__typename" {
            return;
        }
        // Introspection is answered apart: here its entry points are fields that do not exist.
        let entry_point = field.name == "__schema" || field.name == "__type";
        let definition = match self.schema.type_field(on, &field.name) {
            Ok(definition) if !entry_point => definition,
            // A fragment on a type that does not exist is the compiler's to report.
            _ if !self.schema.types.contains_key(on) => return,
            _ => {
                let message = format!("Field '{}' doesn't exist on type '{on}'", field.name);
                let extensions = [
                    ("code", "undefinedField"),
                    ("typeName", on.as_str()),
                    ("fieldName", field.name.as_str()),
                ];
                return self.error(field.location(), message, &extensions);
            }
        };
        let owner = Owner {
            kind: "Field",
            name: &field.name,
        };
        let given: Vec<_> = field
            .arguments
            .iter()
            .map(|argument| (&argument.name, &argument.value, argument.location()))
            .collect();
        self.arguments(owner, &definition.arguments, &given);
        self.required_arguments(field, &definition.arguments);
        let ty = definition.ty.inner_named_type();
        if self.has_fitting_selection(field, &definition.ty) {
            self.selections(ty, &field.selection_set);
        }
    }

    fn has_fitting_selection(&mut self, field: &Node<ast::Field>, ty: &Type) -> bool {
        let name = ty.inner_named_type();
        let leaf = self
            .schema
            .types
            .get(name)
            .is_none_or(|definition| definition.is_leaf());
        let message = if leaf && !field.selection_set.is_empty() {
            let selected: Vec<_> = field
                .selection_set
                .iter()
                .filter_map(|selection| Some(format!("\"{}\"", selection.as_field()?.name)))
                .collect();
            format!(
                "Selections can't be made on scalars (field '{}' returns {name} but has selections [{}])",
                field.name,
                selected.join(", ")
            )
        } else if !leaf && field.selection_set.is_empty() {
            format!(
                "Field must have selections (field '{0}' returns {name} but has no selections. Did you mean '{0} {{ ... }}'?)",
                field.name
            )
        } else {
            return true;
        };
        let node = format!("field '{}'", field.name);
        let extensions = [
            ("code", "selectionMismatch"),
            ("nodeName", &node),
            ("typeName", name.as_str()),
        ];
        self.error(field.location(), message, &extensions);
        false
    }

    fn arguments(
        &mut self,
        owner: Owner<'_>,
        defined: &[Node<InputValueDefinition>],
        given: &[(&Name, &Node<ast::Value>, Option<SourceSpan>)],
    ) {
        for (name, value, span) in given {
            self.path.push(name.to_string());
            match defined.iter().find(|definition| definition.name == **name) {
                Some(definition) => self.argument(owner, definition, value, *span),
                None => {
                    let message = format!("{} '{}' doesn't accept argument '{name}'", owner.kind, owner.name);
                    let extensions = [
                        ("code", "argumentNotAccepted"),
                        ("name", owner.name),
                        ("typeName", owner.kind),
                        ("argumentName", name.as_str()),
                    ];
                    self.error(*span, message, &extensions);
                }
            }
            self.path.pop();
        }
    }

    fn argument(
        &mut self,
        owner: Owner<'_>,
        definition: &Node<InputValueDefinition>,
        value: &Node<ast::Value>,
        span: Option<SourceSpan>,
    ) {
        if let ast::Value::Variable(variable) = &**value {
            self.uses.push(Use {
                variable: variable.clone(),
                span: value.location(),
                path: self.path.clone(),
                argument: definition.clone(),
            });
            return;
        }
        let (message, kind) = match check_literal(self.schema, &definition.ty, value) {
            Ok(()) => return self.nested(definition, &definition.ty, value),
            Err(Misfit::Message(message)) => (message, "CoercionError"),
            Err(Misfit::Type) => {
                let message = format!(
                    "Argument '{}' on {} '{}' has an invalid value ({value}). Expected type '{}'.",
                    definition.name, owner.kind, owner.name, definition.ty
                );
                (message, owner.kind)
            }
        };
        let extensions = [
            ("code", "argumentLiteralsIncompatible"),
            ("typeName", kind),
            ("argumentName", definition.name.as_str()),
        ];
        self.error(span, message, &extensions);
    }

    /// Looks into lists and input objects for variables and members that do not fit.
    fn nested(&mut self, definition: &Node<InputValueDefinition>, ty: &Type, value: &Node<ast::Value>) {
        match &**value {
            ast::Value::List(items) => {
                for item in items {
                    self.nested(definition, ty.item_type(), item);
                }
            }
            ast::Value::Variable(variable) => {
                let mut item = InputValueDefinition::clone(definition);
                item.ty = Node::new(ty.clone());
                self.uses.push(Use {
                    variable: variable.clone(),
                    span: value.location(),
                    path: self.path.clone(),
                    argument: Node::new(item),
                });
            }
            ast::Value::Object(fields) => self.input_object(ty.inner_named_type(), fields, value.location()),
            _ => {}
        }
    }

    fn input_object(&mut self, name: &Name, fields: &[(Name, Node<ast::Value>)], span: Option<SourceSpan>) {
        let Some(ExtendedType::InputObject(input)) = self.schema.types.get(name) else {
            return;
        };
        let defined: Vec<_> = input.fields.values().map(|field| field.node.clone()).collect();
        let given: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name, value, value.location()))
            .collect();
        let owner = Owner {
            kind: "InputObject",
            name,
        };
        self.arguments(owner, &defined, &given);
        for missing in defined
            .iter()
            .filter(|field| is_missing(field, fields.iter().map(|(name, _)| name)))
        {
            let expected = missing.ty.to_string();
            let message = format!(
                "Argument '{}' on InputObject '{name}' is required. Expected type {expected}",
                missing.name
            );
            let extensions = [
                ("code", "missingRequiredInputObjectAttribute"),
                ("argumentName", missing.name.as_str()),
                ("argumentType", &expected),
                ("inputObjectType", name.as_str()),
            ];
            self.path.push(missing.name.to_string());
            self.error(span, message, &extensions);
            self.path.pop();
        }
    }

    fn required_arguments(&mut self, field: &Node<ast::Field>, defined: &[Node<InputValueDefinition>]) {
        let missing: Vec<_> = defined
            .iter()
            .filter(|definition| is_missing(definition, field.arguments.iter().map(|given| &given.name)))
            .map(|definition| definition.name.as_str())
            .collect();
        if missing.is_empty() {
            return;
        }
        let missing = missing.join(", ");
        let message = format!("Field '{}' is missing required arguments: {missing}", field.name);
        let extensions = [
            ("code", "missingRequiredArguments"),
            ("className", "Field"),
            ("name", field.name.as_str()),
            ("arguments", &missing),
        ];
        self.error(field.location(), message, &extensions);
    }

    fn variables(
        &mut self,
        operation: &Node<ast::OperationDefinition>,
        part: &Part,
        fragments: &HashMap<Name, Part>,
    ) {
        let used = reachable(part, fragments);
        let by = match &operation.name {
            Some(name) => name.to_string(),
            None => format!("anonymous {}", operation.operation_type),
        };
        self.path = vec![operation_label(operation)];
        for variable in &operation.variables {
            let name = variable.name.as_str();
            if !used.iter().any(|used| used.variable == variable.name) {
                let message = format!("Variable ${name} is declared by {by} but not used");
                let extensions = [("code", "variableNotUsed"), ("variableName", name)];
                self.error(variable.location(), message, &extensions);
            }
        }
        for one in used {
            self.path = one.path.clone();
            match operation
                .variables
                .iter()
                .find(|variable| variable.name == one.variable)
            {
                Some(variable) => self.variable_type(&one, variable),
                None => {
                    let name = one.variable.as_str();
                    let message = format!("Variable ${name} is used by {by} but not declared");
                    let extensions = [("code", "variableNotDefined"), ("variableName", name)];
                    self.error(one.span, message, &extensions);
                }
            }
        }
        self.path.clear();
    }

    fn variable_type(&mut self, one: &Use, variable: &ast::VariableDefinition) {
        let has_default = variable
            .default_value
            .as_ref()
            .is_some_and(|value| !value.is_null())
            || one.argument.default_value.is_some();
        let mut given = (*variable.ty).clone();
        if has_default {
            given = given.non_null();
        }
        let expected = &*one.argument.ty;
        let inner = |ty: &Type| ty.inner_named_type().clone();
        let reason = if inner(&given) != inner(expected) {
            "Type mismatch"
        } else if dimensions(&given) != dimensions(expected) {
            "List dimension mismatch"
        } else if !given.is_assignable_to(expected) {
            "Nullability mismatch"
        } else {
            return;
        };
        let pair = format!("{} / {expected}", variable.ty);
        let message = format!(
            "{reason} on variable ${} and argument {} ({pair})",
            variable.name, one.argument.name
        );
        let extensions = [
            ("code", "variableMismatch"),
            ("variableName", variable.name.as_str()),
            ("typeName", &variable.ty.to_string()),
            ("argumentName", one.argument.name.as_str()),
            ("errorMessage", reason),
        ];
        self.error(one.span, message, &extensions);
    }
}

fn is_missing<'n>(definition: &InputValueDefinition, mut given: impl Iterator<Item = &'n Name>) -> bool {
    definition.is_required() && !given.any(|name| *name == definition.name)
}

fn dimensions(ty: &Type) -> usize {
    if ty.is_list() {
        1 + dimensions(ty.item_type())
    } else {
        0
    }
}

/// The variables that a definition uses itself and through fragments.
fn reachable(part: &Part, fragments: &HashMap<Name, Part>) -> Vec<Use> {
    let mut uses = part.uses.clone();
    let mut seen: Vec<&Name> = Vec::new();
    let mut open: Vec<&Name> = part.spreads.iter().collect();
    while let Some(name) = open.pop() {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        if let Some(fragment) = fragments.get(name) {
            uses.extend(fragment.uses.iter().cloned());
            open.extend(&fragment.spreads);
        }
    }
    uses
}
