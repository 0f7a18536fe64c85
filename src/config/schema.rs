//! The JSON Schema of the whole language, put together from the kinds' own: what editors complete by, and what is checked.

use std::path::PathBuf;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::deploy::Deploy;
use super::layout::{PRESET_SECTION, PRESETS, RULES};
use super::model::{Edition, GitlabState, Mode, Policy, Prune, SecretRef};
use super::shape::Shape;

/// The name of the `include` list's definition.
pub(super) const INCLUDE: &str = "include";
/// The name of the `gitlab` section's definition.
pub(super) const GITLAB: &str = "gitlab";
/// The name of the `prune` policy's definition.
pub(super) const PRUNE: &str = "prune";
/// The name of the definition of a nested collection's policy.
const POLICY: &str = "policy";
/// What a map says beside the two forms of its values: the field that the plain one means.
pub(super) const SHORTHAND: &str = "x-shorthand";
/// The name of the `state` section's definition.
pub(super) const STATE: &str = "state";
/// The name of a preset's definition.
pub(super) const PRESET: &str = "preset";

/// The name of a rule's definition.
pub(super) const RULE: &str = "rule";
/// The fields that a rule has beside those of a repo.
pub(super) const RULE_FIELDS: [&str; 4] = ["match", "preset", "locked", "mode"];

/// How to reach GitLab.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GitlabSection {
    /// The instance's base URL, with its scheme and without credentials.
    #[schemars(extend("examples" = ["https://git.example.org"]))]
    #[expect(
        dead_code,
        reason = "read from the tree, for a better message when it is not a URL"
    )]
    pub url: Option<String>,
    /// Reference to an access token with the `api` scope.
    #[schemars(extend("examples" = [{"env": "AUTOGIT_TOKEN"}]))]
    pub token: Option<SecretRef>,
    /// What the instance is, so that `validate` can judge offline what `plan` would otherwise find out.
    pub edition: Option<Edition>,
    /// A PEM file with the certificate authority that signed the instance's certificate, relative to the config.
    #[schemars(extend("examples" = ["ca.pem"]))]
    pub ca_file: Option<PathBuf>,
    /// Makes AutoGit run the GitLab at `url` itself. `token` may be left out then: AutoGit makes one, and renews it.
    pub deploy: Option<Deploy>,
}

/// Where AutoGit keeps its state: what it manages, and the lock. Beside the config unless this is set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{"gitlab": {"project": "platform/forge", "name": "production"}}]))]
pub(super) struct StateSection {
    pub gitlab: GitlabState,
}

/// The JSON Schema (draft 2020-12) of a config whose kinds are `shapes`.
pub fn schema(shapes: &[Shape]) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds: Vec<Value> = shapes
        .iter()
        .map(|shape| (shape.schema)(&mut generator).to_value())
        .collect();
    let mut gitlab = GitlabSection::json_schema(&mut generator).to_value();
    let state = StateSection::json_schema(&mut generator).to_value();
    let prune = prune_schema(&mut generator);
    let mode = Mode::json_schema(&mut generator).to_value();
    let policy = Policy::json_schema(&mut generator).to_value();
    let mut definitions = generator.take_definitions(true);
    let kinds: Vec<Value> = kinds.into_iter().map(|kind| inline(kind, &definitions)).collect();
    for (shape, kind) in shapes.iter().zip(&kinds) {
        let mut kind = kind.clone();
        add_collections(&mut kind, shape, shapes, &kinds);
        if shape.section() == Some(PRESET_SECTION) {
            let preset = preset(&kind);
            definitions.insert(RULE.to_owned(), rule(&preset, mode.clone()));
            definitions.insert(PRESET.to_owned(), preset);
        }
        match shape.of_instance() {
            Some((field, _)) => gitlab["properties"][field] = reference(shape.name),
            None => add_own_fields(&mut kind, shape),
        }
        definitions.insert(shape.name.to_owned(), kind);
    }
    definitions.insert(GITLAB.to_owned(), gitlab);
    definitions.insert(PRUNE.to_owned(), prune);
    definitions.insert(POLICY.to_owned(), policy);
    definitions.insert(STATE.to_owned(), state);
    definitions.insert(INCLUDE.to_owned(), include_schema());
    let mut root = root(shapes, &definitions);
    keep_used(&root, &mut definitions);
    root["$defs"] = Value::Object(definitions);
    root.sort_all_objects();
    root
}

fn root(shapes: &[Shape], definitions: &Map<String, Value>) -> Value {
    let mut properties = json!({
        "autogit": {"description": "The version of the language. Required in the file named on the command line.", "const": 1},
        "include": reference(INCLUDE),
        "gitlab": reference(GITLAB),
        "prune": reference(PRUNE),
        "state": reference(STATE),
    });
    if definitions.contains_key(PRESET) {
        let description =
            "Reusable partial repos, by name. A repo takes them by `preset`; its own fields win.";
        properties[PRESETS] = map_of(reference(PRESET), description, &definitions[PRESET]);
        let description = "What holds for every repo that it matches, listed here or not, in the order of the file. A repo's own fields win over it, and what is locked wins over those.";
        properties[RULES] = map_of(reference(RULE), description, &definitions[RULE]);
    }
    for shape in shapes {
        if let Some(section) = shape.section() {
            let description = definitions[shape.name]["description"]
                .as_str()
                .unwrap_or(shape.name);
            let definition = &definitions[shape.name];
            properties[section] = map_of(forms(shape, definition), description, definition);
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "AutoGit config",
        "description": "One file that declares a GitLab forge.",
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": {"description": "Free, for anchors."}},
        "additionalProperties": false,
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// What may be written for one resource: a map of its fields, or the plain value that means one of them.
///
/// # Panics
/// When a kind's shorthand is not one of its fields.
fn forms(shape: &Shape, definition: &Value) -> Value {
    let Some(field) = shape.shorthand else {
        return reference(shape.name);
    };
    let field_schema = &definition["properties"][field];
    let mut plain = field_schema
        .as_object()
        .cloned()
        .unwrap_or_else(|| panic!("`{}` has no field `{field}`", shape.name));
    for about_the_field in ["description", "examples", "default"] {
        plain.remove(about_the_field);
    }
    plain
        .entry("type")
        .or_insert_with(|| json!(["boolean", "number", "string"]));
    json!({SHORTHAND: field, "anyOf": [plain, reference(shape.name)]})
}

/// A map whose values are of one schema. A section that is still empty is allowed, as `null` is for any field.
fn map_of(values: Value, description: &str, definition: &Value) -> Value {
    let mut map =
        json!({"description": description, "type": ["object", "null"], "additionalProperties": values});
    if let Some(example) = example(definition) {
        let key = definition["x-key"].as_str().unwrap_or("name");
        map["examples"] = json!([{key: example}]);
    }
    map
}

/// An example of a value: its own, or what its fields' examples make.
pub(super) fn example(definition: &Value) -> Option<Value> {
    if let Some(example) = definition["examples"].get(0) {
        return Some(example.clone());
    }
    let properties = definition["properties"].as_object()?.iter();
    let fields =
        properties.filter_map(|(name, field)| Some((name.clone(), field["examples"].get(0)?.clone())));
    let fields: Map<String, Value> = fields.collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn include_schema() -> Value {
    json!({
        "description": "More files of the same language: patterns relative to the file they are written in. Each file is read once; a pattern that matches nothing is an error.",
        "type": "array",
        "items": {"type": "string"},
        "uniqueItems": true,
        "examples": [["teams/*.yaml"]],
    })
}

fn prune_schema(generator: &mut SchemaGenerator) -> Value {
    let mut prune = Prune::json_schema(generator).to_value();
    prune["default"] = json!("owned");
    prune
}

/// A definition in place of a reference to it.
fn inline(schema: Value, definitions: &Map<String, Value>) -> Value {
    let name = schema["$ref"]
        .as_str()
        .map(|reference| reference.trim_start_matches("#/$defs/"));
    name.and_then(|name| definitions.get(name))
        .cloned()
        .unwrap_or(schema)
}

/// Adds the maps of what stands within resources of this kind, and their policies.
fn add_collections(kind: &mut Value, shape: &Shape, shapes: &[Shape], kinds: &[Value]) {
    kind["additionalProperties"] = json!(false);
    for (child, schema) in shapes.iter().zip(kinds) {
        if let Some(field) = child.field_within(shape.name) {
            let description = schema["description"].as_str().unwrap_or(child.name);
            kind["properties"][field] = map_of(forms(child, schema), description, schema);
            if child.policy {
                let mut policy = reference(POLICY);
                policy["description"] = json!(format!(
                    "What happens to what stands in `{field}` on GitLab and is not declared. Left out: `prune` decides."
                ));
                kind["properties"][policy_field(field)] = policy;
            }
        }
    }
}

/// The field that says how complete a nested collection is.
pub(super) fn policy_field(collection: &str) -> String {
    format!("{collection}_policy")
}

/// Adds the fields that config itself gives a meaning to.
fn add_own_fields(kind: &mut Value, shape: &Shape) {
    let properties = &mut kind["properties"];
    let companion = if shape.can_move { " but `moved_from`" } else { "" };
    properties["absent"] = json!({
        "description": format!("`true`: it must not exist. Allows no other field beside it{companion}."),
        "type": "boolean",
        "default": false,
    });
    if shape.can_move {
        properties["moved_from"] = json!({
            "description": "The path it had before: it is moved here instead of created.",
            "type": "string",
        });
    }
    if shape.section() == Some(PRESET_SECTION) {
        properties["preset"] = preset_field();
    }
}

fn preset_field() -> Value {
    let mut field = one_or_list(json!({"type": "string"}));
    field["description"] = json!("The presets it takes, weakest first: `service` or `[base, service]`.");
    field
}

fn one_or_list(item: Value) -> Value {
    json!({"anyOf": [item, {"type": "array", "items": item, "uniqueItems": true}]})
}

/// What holds for many repos: anything that a repo may say, and which repos are meant.
fn rule(preset: &Value, mut mode: Value) -> Value {
    let mut rule = preset.clone();
    rule["x-key"] = json!("baseline");
    rule["title"] = json!("Rule");
    rule["description"] = json!("What holds for many repos.");
    rule["properties"]["match"] = match_schema();
    rule["properties"]["preset"] = preset_field();
    let mut locked = reference(PRESET);
    locked["description"] = json!("A partial repo that wins over what repos say themselves.");
    rule["properties"]["locked"] = locked;
    mode["default"] = json!("enforce");
    rule["properties"]["mode"] = mode;
    rule["required"] = json!(["match"]);
    rule
}

fn match_schema() -> Value {
    let described = |mut schema: Value, description: &str| {
        schema["description"] = json!(description);
        schema
    };
    let some = |item: Value| {
        let mut schema = one_or_list(item);
        schema["anyOf"][1]["minItems"] = json!(1);
        schema
    };
    let text = || some(json!({"type": "string"}));
    let flag = || json!({"type": "boolean"});
    let visibility = some(json!({"type": "string", "enum": ["private", "internal", "public"]}));
    json!({
        "description": "Which repos it is for: all that is written here has to hold. What the file declares of a repo counts, and what GitLab says where it declares nothing.",
        "type": "object",
        "properties": {
            "path": described(text(), "Globs over the whole path, without case; one has to match. `*` stands for any text within one part of the path, `**` for any number of parts."),
            "not": described(text(), "Globs over the whole path; none may match."),
            "topics": described(json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": true}), "The repo has all of these topics."),
            "archived": described(flag(), "Whether the repo is archived. GitLab takes no changes to an archived one, so `false` is usually meant."),
            "visibility": described(visibility, "The repo has this visibility, or one of these."),
            "listed": described(flag(), "Whether the repo stands in `repos`: `false` is for repos that nobody listed."),
        },
        "additionalProperties": false,
        "examples": [{"path": "platform/**", "not": "platform/sandbox/**"}],
    })
}

/// A repo of which anything may be left out.
fn preset(repo: &Value) -> Value {
    let mut preset = repo.clone();
    if let Some(fields) = preset.as_object_mut() {
        fields.remove("required");
        fields.remove("examples");
    }
    preset["x-key"] = json!("service");
    preset["title"] = json!("Preset");
    preset["description"] = json!("A reusable partial repo.");
    preset
}

/// Leaves out the definitions that nothing refers to.
fn keep_used(root: &Value, definitions: &mut Map<String, Value>) {
    let mut used = Vec::new();
    collect_references(root, definitions, &mut used);
    definitions.retain(|name, _| used.contains(name));
}

fn collect_references(schema: &Value, definitions: &Map<String, Value>, used: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(reference) = schema["$ref"].as_str() {
                let name = reference.trim_start_matches("#/$defs/").to_owned();
                if !used.contains(&name) {
                    used.push(name.clone());
                    collect_references(&definitions[&name], definitions, used);
                }
            }
            fields
                .values()
                .for_each(|value| collect_references(value, definitions, used));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, definitions, used)),
        _ => {}
    }
}
