//! The kinds `repo_variable`, `group_variable` and `instance_variable`: what CI/CD jobs are given, secret or not.
//!
//! A value is declared by reference alone, and is never among the fields that are compared, shown or kept.

mod apply;
mod observe;

use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::group::Group;
use super::repo::Repo;
use super::within::{Holder, In};
use super::{Access, Applied, Context, Error, Observed, On, Role, Scope, Task};
use crate::config::{FieldProblem, SecretRef};
use crate::core::{Address, Cause, Change, Fields, Impact, Key, Present};
use crate::live::gitlab::Reader;

/// The scope that holds all environments: the one of a variable that names none.
const EVERYWHERE: &str = "*";

/// A variable of a group.
pub type GroupVariable = In<Variable, Group>;
/// A variable of a repo.
pub type RepoVariable = In<Variable, Repo>;

/// A CI/CD variable of a repo, or of a group and all repos in it. Its key is `KEY`, or `KEY:SCOPE` for the environments of one scope: `TOKEN:production`, `TOKEN:review/*`.
///
/// An Enterprise Edition without a licence takes no scopes of group variables. A value that AutoGit did not set is overwritten, and a variable
/// removed, only with `--allow destroy`.
/// Source: <https://docs.gitlab.com/api/project_level_variables/>.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-key" = "DEPLOY_TOKEN", "examples" = [{"value": {"env": "DEPLOY_TOKEN"}, "masked": true, "protected": true}]))]
pub struct Variable {
    /// Reference to the value; it is written nowhere but to GitLab.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<SecretRef>,
    /// Whether jobs get the value itself, or the path of a file that holds it. GitLab's default: `env_var`.
    #[serde(skip_serializing_if = "Option::is_none")]
    variable_type: Option<VariableType>,
    /// Whether only pipelines of protected branches and tags get it. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<bool>,
    /// Whether job logs show `[MASKED]` in its place. GitLab masks only values of at least 8 characters on one line. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<bool>,
    /// Whether nobody can read the value again, AutoGit included: a change of it by hand is not seen then. Needs `masked: true`. Decided for good when the variable is made. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<bool>,
    /// Whether `$` in the value is just a character, rather than the start of another variable's name. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<bool>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    description: Option<String>,
}

/// A CI/CD variable of the instance, for all repos there are. Its key is `KEY`. Takes an administrator.
///
/// Source: <https://docs.gitlab.com/api/instance_level_ci_variables/>.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-key" = "PROXY_URL", "examples" = [{"value": {"env": "PROXY_URL"}, "description": "The way out"}]))]
pub struct InstanceVariable {
    /// Reference to the value; it is written nowhere but to GitLab. At most 10,000 characters, 50,000 for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<SecretRef>,
    /// Whether jobs get the value itself, or the path of a file that holds it. GitLab's default: `env_var`.
    #[serde(skip_serializing_if = "Option::is_none")]
    variable_type: Option<VariableType>,
    /// Whether only pipelines of protected branches and tags get it. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    protected: Option<bool>,
    /// Whether job logs show `[MASKED]` in its place. GitLab masks only values of at least 8 characters on one line. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<bool>,
    /// Whether `$` in the value is just a character, rather than the start of another variable's name. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<bool>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    description: Option<String>,
}

/// How jobs get a variable.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum VariableType {
    /// As an environment variable.
    EnvVar,
    /// As a file, whose path is in the environment variable.
    File,
}

/// What has variables of its own.
pub trait HasVariables: Holder {
    /// The kind of its variables.
    const VARIABLE: &'static str;
    /// What seeing and changing them takes.
    const TO_SEE: Access;
}

impl HasVariables for Group {
    const VARIABLE: &'static str = "group_variable";
    const TO_SEE: Access = Access::new(Role::Owner, On::Group);
}

impl HasVariables for Repo {
    const VARIABLE: &'static str = "repo_variable";
    const TO_SEE: Access = Access::new(Role::Maintainer, On::Repo);
}

impl<H: HasVariables> super::Kind for In<Variable, H> {
    const NAME: &'static str = H::VARIABLE;
    const READ: Access = H::TO_SEE;
    const WRITE: Access = H::TO_SEE;
    const SECRETS: &'static [&'static str] = &["value"];

    fn check_key(key: &Key) -> Result<(), String> {
        check_scoped(key.name())
    }

    fn check(&self) -> Vec<FieldProblem> {
        let Variable { hidden, masked, .. } = self.value;
        let lonely = hidden == Some(true) && masked != Some(true);
        let problem = || FieldProblem {
            field: "hidden".into(),
            message: "GitLab hides only what it masks: write `masked: true` beside it".into(),
        };
        lonely.then(problem).into_iter().collect()
    }

    fn check_secret(fields: &Fields, _field: &str, secret: &str) -> Result<(), String> {
        maskable(fields, secret)
    }

    fn lacks(fields: &Fields) -> Option<&'static str> {
        lacks(fields)
    }

    fn refuses(change: &Change, fields: &Fields, found: &Present) -> Option<String> {
        refuses(change, fields, found)
    }

    fn needs(key: &Key, _value: Option<&Fields>) -> Vec<Address> {
        vec![H::of(key)]
    }

    fn impact(change: &Change) -> Impact {
        impact(change)
    }

    async fn observe(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
        observe::nested::<H>(cx, scope).await
    }

    async fn apply(cx: &Context, task: &Task<'_>) -> Result<Applied, Error> {
        let key = &task.step.address.key;
        let holder = cx.id_of(&H::of(key))?;
        let (key, scope) = split(key.name());
        let place = apply::Place {
            list: observe::list_of::<H>(&holder),
            key,
            scope: Some(scope),
            may_mistake: H::NAME == Group::NAME,
        };
        let done = place.carry_out(cx, task).await?;
        Ok(observe::applied::<Self>(Some(&holder), done))
    }
}

impl super::Kind for InstanceVariable {
    const NAME: &'static str = "instance_variable";
    const READ: Access = Access::new(Role::Administrator, On::Instance);
    const WRITE: Access = Access::new(Role::Administrator, On::Instance);
    const SECRETS: &'static [&'static str] = &["value"];

    fn check_key(key: &Key) -> Result<(), String> {
        match key.path.as_str().split_once(':') {
            Some((name, _)) => Err(format!("variables of the instance take no scope: write `{name}`")),
            None => check_name(key.path.as_str()),
        }
    }

    fn check_secret(fields: &Fields, _field: &str, secret: &str) -> Result<(), String> {
        maskable(fields, secret)?;
        let is_file = fields.get("variable_type").is_some_and(|kind| kind == "file");
        let (most, or) = match is_file {
            true => (50_000, ""),
            false => (10_000, ", or 50,000 with `variable_type: file`"),
        };
        match secret.chars().count() > most {
            true => Err(format!(
                "the value has more than the {most} characters that GitLab takes{or}"
            )),
            false => Ok(()),
        }
    }

    fn lacks(fields: &Fields) -> Option<&'static str> {
        lacks(fields)
    }

    fn refuses(change: &Change, fields: &Fields, found: &Present) -> Option<String> {
        refuses(change, fields, found)
    }

    fn needs(_key: &Key, _value: Option<&Fields>) -> Vec<Address> {
        Vec::new()
    }

    fn impact(change: &Change) -> Impact {
        impact(change)
    }

    async fn observe(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
        observe::instance::<Self>(cx, scope).await
    }

    async fn apply(cx: &Context, task: &Task<'_>) -> Result<Applied, Error> {
        let place = apply::Place {
            list: observe::INSTANCE.into(),
            key: task.step.address.key.path.as_str(),
            scope: None,
            may_mistake: false,
        };
        let done = place.carry_out(cx, task).await?;
        Ok(observe::applied::<Self>(None, done))
    }
}

/// The key and the scope in a variable's name.
fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or((name, EVERYWHERE))
}

/// The name of the variable of this key and scope: [`split`] undone.
fn join(key: &str, scope: &str) -> String {
    match scope {
        EVERYWHERE => key.to_owned(),
        scope => format!("{key}:{scope}"),
    }
}

/// Checks a key by GitLab's rules (`Ci::HasVariable`).
fn check_name(key: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if key.is_empty() {
        Err("the key is empty: write `KEY` or `KEY:SCOPE`".into())
    } else if let Some(c) = key.chars().find(|c| !allowed(*c)) {
        Err(format!(
            "`{key}` holds {c:?}: a variable's key has only letters, digits and `_`"
        ))
    } else if key.len() > 255 {
        Err("the key is longer than the 255 characters that GitLab allows".into())
    } else {
        Ok(())
    }
}

/// Checks `KEY` or `KEY:SCOPE`, the scope by GitLab's rules (`HasEnvironmentScope`).
fn check_scoped(name: &str) -> Result<(), String> {
    let (key, scope) = split(name);
    check_name(key)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_/${}.* ".contains(c);
    if name.ends_with(":*") || name.ends_with(':') {
        Err(format!(
            "`{name}` is for every environment, as it is without a scope: write `{key}`"
        ))
    } else if let Some(c) = scope.chars().find(|c| !allowed(*c)) {
        Err(format!(
            "the scope `{scope}` holds {c:?}: a scope has only letters, digits, spaces, `-`, `_`, `/`, `$`, `{{`, `}}`, `.` and `*`"
        ))
    } else if scope.trim() != scope {
        Err(format!(
            "the scope `{scope}` begins or ends with a space, which GitLab drops: remove it"
        ))
    } else {
        Ok(())
    }
}

/// Why GitLab would not mask `secret`, where that is asked for. Source: GitLab's `Ci::Maskable`.
fn maskable(fields: &Fields, secret: &str) -> Result<(), String> {
    let is = |field: &str| fields.get(field) == Some(&Value::Bool(true));
    if !is("masked") {
        return Ok(());
    }
    let is_raw = is("raw");
    let space = |c: char| c.is_ascii_whitespace() || c == '\x0b';
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+=/@:.~-".contains(c);
    if secret.chars().count() < 8 {
        Err("GitLab masks only values of at least 8 characters: this one is shorter".into())
    } else if secret.contains(space) {
        Err("GitLab masks only values on one line without spaces: this one has some".into())
    } else if !is_raw && !secret.chars().all(plain) {
        Err(
            "GitLab masks only values of letters, digits and `_+=/@:.~-`: this one has other characters; \
             with `raw: true` beside it they are allowed"
                .into(),
        )
    } else {
        Ok(())
    }
}

fn lacks(fields: &Fields) -> Option<&'static str> {
    let lack = "it is not there, and cannot be made without a value: write `value: {env: NAME}` or another reference";
    (!fields.contains_key("value")).then_some(lack)
}

/// Why GitLab cannot make a change to a variable that is there.
fn refuses(change: &Change, fields: &Fields, found: &Present) -> Option<String> {
    let is_hidden = found.value.get("hidden") == Some(&Value::Bool(true));
    match change.field.as_str() {
        "hidden" if is_hidden => Some(
            "it is hidden, and GitLab shows a hidden variable never again: remove `hidden: false`, or have it made anew: \
             declare it `absent: true`, apply, and declare it as it is to be"
                .into(),
        ),
        "hidden" => Some(
            "GitLab hides a variable only as it makes it, and this one is there already: remove `hidden`, or have it made \
             anew: declare it `absent: true`, apply, and declare it as it is to be"
                .into(),
        ),
        "masked" if is_hidden => {
            Some("it is hidden, and GitLab keeps what is hidden masked: write `masked: true`".into())
        }
        // A value that is declared has been judged.
        "masked" | "raw" if !fields.contains_key("value") => {
            let mut after = found.value.clone();
            after.extend(fields.clone());
            let value = found.secrets.get("value")?;
            let why = maskable(&after, value.expose_secret()).err()?;
            Some(format!("the value that it has does not allow it: {why}"))
        }
        _ => None,
    }
}

fn impact(change: &Change) -> Impact {
    match change.field.as_str() {
        "" if change.after.is_none() => Impact::Destroys,
        // Jobs of any branch get it, or logs show it.
        "protected" | "masked" => super::repo::opening(change, &["true", "false"], Impact::Exposes),
        // A value that AutoGit did not set is written down nowhere else.
        "value" if change.cause != Cause::Config => Impact::Destroys,
        _ => Impact::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::Kind;

    #[test]
    fn keys_and_scopes_are_judged_as_gitlab_does() {
        let repo = |name: &str| RepoVariable::check_key(&Key::within("a/b", name));
        for name in [
            "KEY",
            "k_1",
            "KEY:production",
            "KEY:review/*",
            "KEY:${X}.a b",
            &"K".repeat(255),
        ] {
            assert_eq!(repo(name), Ok(()), "{name}");
            let (key, scope) = split(name);
            assert_eq!(join(key, scope), name);
        }
        for (name, says) in [
            ("", "empty"),
            ("A-B", "'-'"),
            ("KEY:*", "write `KEY`"),
            ("KEY:", "write `KEY`"),
            ("KEY:a:b", "':'"),
            ("KEY: a", "space"),
            (&"K".repeat(256), "255"),
        ] {
            let said = repo(name).unwrap_err();
            assert!(said.contains(says), "{name}: {said}");
        }
        let instance = |key: &str| InstanceVariable::check_key(&Key::top(key));
        assert_eq!(instance("KEY"), Ok(()));
        assert!(instance("KEY:production").unwrap_err().contains("write `KEY`"));
    }

    #[test]
    fn masking_is_judged_as_gitlab_does_and_the_value_not_repeated() {
        let judge = |fields: Value, secret: &str| {
            let fields = fields.as_object().expect("an object");
            RepoVariable::check_secret(fields, "value", secret)
        };
        let (masked, raw) = (json!({"masked": true}), json!({"masked": true, "raw": true}));
        for (fields, secret) in [
            (&masked, "aZ09_+=/@:.~-"),
            (&raw, "$anary-!ü"),
            (&raw, "nbsp\u{a0}nbsp"),
            (&json!({"masked": false}), "x y"),
            (&json!({"raw": true}), ""),
        ] {
            assert_eq!(judge(fields.clone(), secret), Ok(()), "{secret}");
        }
        for (fields, secret, says) in [
            (&masked, "canary1", "8 characters"),
            (&masked, "canary-$HOME", "raw: true"),
            (&masked, "canary-ü", "raw: true"),
            (&masked, "canary canary", "without spaces"),
            (&raw, "canary\ncanary", "one line"),
            (&raw, "canary\n", "8 characters"),
        ] {
            let said = judge(fields.clone(), secret).unwrap_err();
            assert!(said.contains(says) && !said.contains("canary"), "{said}");
        }
    }

    #[test]
    fn variables_of_the_instance_are_limited_in_length() {
        let judge = |fields: Value, length: usize| {
            let fields = fields.as_object().expect("an object");
            InstanceVariable::check_secret(fields, "value", &"x".repeat(length)).is_ok()
        };
        assert!(judge(json!({}), 10_000) && !judge(json!({}), 10_001));
        let file = json!({"variable_type": "file"});
        assert!(judge(file.clone(), 50_000) && !judge(file, 50_001));
    }

    #[test]
    fn what_is_lost_or_seen_by_more_people_has_to_be_allowed() {
        let change = |field: &str, before: bool| {
            let (before, after) = (Some(json!(before)), Some(json!(!before)));
            RepoVariable::impact(&Change::new(field, before, after))
        };
        for field in ["protected", "masked"] {
            assert_eq!(change(field, true), Impact::Exposes);
            assert_eq!(change(field, false), Impact::Tightens);
        }
        assert_eq!(change("raw", true), Impact::Neutral);
        let value = |cause| {
            RepoVariable::impact(&Change {
                cause,
                ..Change::secret("value")
            })
        };
        let causes = [Cause::Config, Cause::First, Cause::Drift];
        assert_eq!(
            causes.map(value),
            [Impact::Neutral, Impact::Destroys, Impact::Destroys]
        );
    }
}
