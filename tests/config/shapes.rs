//! A few small kinds, enough to speak the language with.

use autogit::config::{FieldProblem, Place, SecretRef, Shape};
use autogit::core::Key;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The kinds.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "group",
        place: Place::Section("groups"),
        schema: SchemaGenerator::subschema_for::<Group>,
        can_move: true,
        shorthand: None,
        policy: false,
        check_key: check_path,
        decode: decode::<Group>,
    },
    Shape {
        name: "repo",
        place: Place::Section("repos"),
        schema: SchemaGenerator::subschema_for::<Repo>,
        can_move: true,
        shorthand: None,
        policy: false,
        check_key: check_path,
        decode: decode_repo,
    },
    Shape {
        name: "protected_branch",
        place: Place::Within {
            kind: "repo",
            field: "protected_branches",
        },
        schema: SchemaGenerator::subschema_for::<ProtectedBranch>,
        can_move: false,
        shorthand: None,
        policy: false,
        check_key: check_branch,
        decode: decode::<ProtectedBranch>,
    },
    member("group_member", "group"),
    member("repo_member", "repo"),
];

const fn member(name: &'static str, kind: &'static str) -> Shape {
    Shape {
        name,
        place: Place::Within {
            kind,
            field: "members",
        },
        schema: SchemaGenerator::subschema_for::<Member>,
        can_move: false,
        shorthand: Some("access_level"),
        policy: true,
        check_key: |_| Ok(()),
        decode: decode::<Member>,
    }
}

/// Who can see it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Visibility {
    /// Members only.
    Private,
    /// Everyone who is signed in.
    Internal,
    /// Everyone.
    Public,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AccessLevel {
    NoOne,
    Developer,
    Maintainer,
    Admin,
}

/// A group of repos.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-key" = "platform"))]
struct Group {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["What every team builds on"]))]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility: Option<Visibility>,
}

/// A repo, which GitLab calls a project.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-key" = "platform/api"))]
struct Repo {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 60), extend("examples" = ["The public API"]))]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["private"]))]
    visibility: Option<Visibility>,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("uniqueItems" = true))]
    topics: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[^ ]+$"), extend("examples" = ["release"]))]
    default_branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    squash_option: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    only_allow_merge_if_pipeline_succeeds: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archived: Option<bool>,
    /// How many merge requests may wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    queue: Option<u32>,
    /// Where to push a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<Mirror>,
    /// How many must approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee"))]
    approvals: Option<u32>,
}

/// A copy elsewhere.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mirror {
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<SecretRef>,
}

/// Who may push to a branch and merge into it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProtectedBranch {
    /// The least role that may push.
    #[serde(skip_serializing_if = "Option::is_none")]
    push_access_level: Option<AccessLevel>,
    /// The least role that may merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_access_level: Option<AccessLevel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_force_push: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee"))]
    code_owner_approval_required: Option<bool>,
}

/// Who belongs to it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-key" = "alice"))]
struct Member {
    /// The member's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_level: Option<AccessLevel>,
    /// The last day of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["2027-01-31"]))]
    expires_at: Option<String>,
}

fn decode<T: DeserializeOwned + Serialize>(
    _: &Key,
    value: Map<String, Value>,
) -> Result<Map<String, Value>, Vec<FieldProblem>> {
    let whole = |message: String| {
        vec![FieldProblem {
            field: String::new(),
            message,
        }]
    };
    let value: T = serde_json::from_value(Value::Object(value)).map_err(|error| whole(error.to_string()))?;
    match serde_json::to_value(value) {
        Ok(Value::Object(value)) => Ok(value),
        other => Err(whole(format!("{other:?}"))),
    }
}

fn decode_repo(key: &Key, value: Map<String, Value>) -> Result<Map<String, Value>, Vec<FieldProblem>> {
    match value.get("mirror").and_then(|mirror| mirror["host"].as_str()) {
        Some(host) if host.contains('/') => Err(vec![FieldProblem {
            field: "mirror.host".into(),
            message: "a mirror's host is a name, not a URL".into(),
        }]),
        _ => decode::<Repo>(key, value),
    }
}

fn check_path(key: &Key) -> Result<(), String> {
    let fits = |segment: &str| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match key.path.as_str().split('/').all(fits) {
        true => Ok(()),
        false => Err(format!(
            "`{}` is not a path: write letters, digits, `.`, `_`, `-`, and `/` between the parts",
            key.path
        )),
    }
}

fn check_branch(key: &Key) -> Result<(), String> {
    match key.name() {
        name if name.contains(' ') => Err(format!("`{name}` cannot be the name of a branch")),
        _ => Ok(()),
    }
}
