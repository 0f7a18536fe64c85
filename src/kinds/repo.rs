//! The kind `repo`: GitLab projects, with the settings that people set.

mod settings;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields::Normal;
use super::inventory::{self, full_path, id};
use super::{Access, Applied, Context, Error, Observed, On, Role, Scope, Task};
use crate::config::FieldProblem;
use crate::core::{Action, Address, Change, Fields, Impact, Key, Path};
use crate::live::gitlab::{Reader, segment};

pub use settings::{Repo, Visibility};

/// CI/CD settings that GitLab takes only for a repo that exists, and shows only from Maintainer up.
const UPDATE_ONLY: &[&str] = &[
    "ci_default_git_depth",
    "ci_forward_deployment_enabled",
    "ci_forward_deployment_rollback_allowed",
    "ci_allow_fork_pipelines_to_run_in_parent_project",
    "ci_separated_caches",
    "ci_pipeline_variables_minimum_override_role",
    "ci_push_repository_for_job_token_allowed",
    "ci_delete_pipelines_in_seconds",
    "keep_latest_artifact",
];

/// Fields that GitLab shows only from Maintainer up, beside [`UPDATE_ONLY`].
const MAINTAINER_ONLY: &[&str] = &[
    "build_git_strategy",
    "build_timeout",
    "auto_cancel_pending_pipelines",
    "auto_devops_enabled",
    "auto_devops_deploy_strategy",
    "group_runners_enabled",
    "resource_group_default_process_mode",
];

impl super::Kind for Repo {
    const NAME: &'static str = "repo";
    const READ: Access =
        Access::new(Role::Guest, On::Repo).and(Role::Maintainer, "for settings that GitLab hides below that");
    const WRITE: Access = Access::new(Role::Maintainer, On::Repo).and(
        Role::Owner,
        "to move, archive or delete it, or to change who sees it",
    );
    const CAN_MOVE: bool = true;
    const PRUNABLE: bool = false;
    const CREATE_ONLY: &'static [&'static str] = &["initialize_with_readme"];

    fn check_key(key: &Key) -> Result<(), String> {
        if key.path.parent().is_none() {
            return Err(format!("`{}` names no group: write GROUP/{}", key.path, key.path));
        }
        key.path.as_str().split('/').try_for_each(check_path)
    }

    fn check(&self) -> Vec<FieldProblem> {
        self.problems()
    }

    fn needs(key: &Key, _value: Option<&Fields>) -> Vec<Address> {
        key.path
            .parent()
            .map(|parent| Address::new("group", Key::top(parent)))
            .into_iter()
            .collect()
    }

    fn impact(change: &Change) -> Impact {
        let turned_on = change.after == Some(Value::Bool(true));
        let guard = if turned_on {
            Impact::Tightens
        } else {
            Impact::Weakens
        };
        match change.field.as_str() {
            "" if change.after.is_none() => Impact::Destroys,
            "visibility" => opening(change, &VISIBILITIES, Impact::Exposes),
            "path" => move_impact(change),
            field if field.ends_with("_access_level") => opening(
                change,
                &["disabled", "private", "enabled", "public"],
                Impact::Exposes,
            ),
            "public_jobs" => opening(change, &["false", "true"], Impact::Exposes),
            "enforce_auth_checks_on_uploads" => opening(change, &["true", "false"], Impact::Exposes),
            "only_allow_merge_if_pipeline_succeeds"
            | "only_allow_merge_if_all_discussions_are_resolved"
            | "ci_separated_caches"
            | "archived" => guard,
            "allow_merge_on_skipped_pipeline"
            | "ci_allow_fork_pipelines_to_run_in_parent_project"
            | "ci_push_repository_for_job_token_allowed" => {
                opening(change, &["false", "true"], Impact::Weakens)
            }
            "ci_pipeline_variables_minimum_override_role" => opening(
                change,
                &["no_one_allowed", "owner", "maintainer", "developer"],
                Impact::Weakens,
            ),
            // Both delete what cannot be made again, at once or later.
            "ci_delete_pipelines_in_seconds" => Impact::Destroys,
            "container_expiration_policy.enabled" if !turned_on => Impact::Neutral,
            field if field.starts_with("container_expiration_policy") => Impact::Destroys,
            _ => Impact::Neutral,
        }
    }

    /// An archived repo takes no changes to what is in it, and an opened one is not to stand unprotected.
    fn last(change: &Change) -> bool {
        match change.field.as_str() {
            "archived" => change.after == Some(Value::Bool(true)),
            "visibility" => change.before.is_some() && Self::impact(change) == Impact::Exposes,
            _ => false,
        }
    }

    fn fits(fields: &Fields, outer: &[&Fields]) -> Option<String> {
        too_visible(fields, outer)
    }

    fn seals(fields: &Fields) -> Option<&'static str> {
        (fields.get("archived") == Some(&Value::Bool(true))).then_some(
            "is archived, so that GitLab takes no changes to what is in it: declare `archived: false` first",
        )
    }

    async fn observe(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
        let repos = inventory::repos(cx, &scope.world).await?;
        inventory::observe::<Self>(cx, scope, &repos, "projects", restricted).await
    }

    async fn apply(cx: &Context, task: &Task<'_>) -> Result<Applied, Error> {
        let key = &task.step.address.key;
        let answer = match (task.step.action, &task.step.id) {
            (Action::Create, _) => create(cx, key, &task.step.value).await?,
            (Action::Delete, Some(id)) => {
                cx.writer
                    .delete(&format!("/projects/{}", segment(id)), &[])
                    .await?;
                return Ok(Applied::default());
            }
            (_, Some(id)) => update(cx, key, id, &task.step.changes).await?,
            (_, None) => return Err(Error::Refused("the plan does not name its id: plan again".into())),
        };
        Ok(Applied {
            id: id(&answer),
            value: Normal::<Self>::new().of(&answer),
        })
    }
}

/// What cannot be read of a repo: GitLab leaves out what this token may not see, and an empty repo has no branch yet.
fn restricted(found: &Fields) -> BTreeMap<String, String> {
    let why = "GitLab shows it only from Maintainer up: use a token with that role";
    let hidden = MAINTAINER_ONLY
        .iter()
        .chain(UPDATE_ONLY)
        .filter(|_| !found.contains_key("build_timeout"));
    let mut unreadable: BTreeMap<_, _> = hidden.map(|field| (field.to_string(), why.to_owned())).collect();
    for field in ["default_branch", "ci_config_path"] {
        if !found.contains_key(field) {
            unreadable.insert(
                field.into(),
                "GitLab shows it only to who can read the code".into(),
            );
        }
    }
    if found.get("empty_repo") == Some(&Value::Bool(true)) {
        let why =
            "the repo is empty: push the branch first, or make repos with `initialize_with_readme: true`";
        unreadable.insert("default_branch".into(), why.into());
    }
    unreadable
}

async fn create(cx: &Context, key: &Key, value: &Fields) -> Result<Fields, Error> {
    let (later, body): (Fields, Fields) = value
        .clone()
        .into_iter()
        .partition(|(field, _)| UPDATE_ONLY.contains(&field.as_str()));
    let mut body = request(body);
    body.insert("path".into(), key.path.name().into());
    body.entry("name").or_insert_with(|| key.path.name().into());
    body.insert("namespace_id".into(), namespace(cx, &key.path)?);
    let created: Fields = cx.writer.post("/projects", Value::Object(body)).await?;
    match later.is_empty() {
        true => Ok(created),
        false => Ok(cx
            .writer
            .put(
                &format!("/projects/{}", id(&created)),
                Value::Object(request(later)),
            )
            .await?),
    }
}

async fn update(cx: &Context, key: &Key, id: &str, changes: &[Change]) -> Result<Fields, Error> {
    let at = format!("/projects/{}", segment(id));
    let mut body = Fields::new();
    let mut answer = None;
    for change in changes {
        let after = change.after.clone().unwrap_or_default();
        match change.field.as_str() {
            "path" => {
                // Not where it was when planned: what it lives in may have moved, or a run stopped half-way.
                let before = full_path(&cx.writer.reader().get(&at, &[]).await?);
                if before.parent() != key.path.parent() {
                    let to = json!({"namespace": namespace(cx, &key.path)?});
                    answer = Some(cx.writer.put(&format!("{at}/transfer"), to).await?);
                }
                if before.name() != key.path.name() {
                    body.insert("path".into(), key.path.name().into());
                }
            }
            "archived" => {
                let verb = if after == Value::Bool(true) {
                    "archive"
                } else {
                    "unarchive"
                };
                answer = Some(cx.writer.post(&format!("{at}/{verb}"), json!({})).await?);
            }
            field => match field.split_once('.') {
                Some((outer, inner)) => {
                    body.entry(outer).or_insert_with(|| json!({}))[inner] = after;
                }
                None => {
                    body.insert(field.into(), after);
                }
            },
        }
    }
    match (body.is_empty(), answer) {
        (true, Some(answer)) => Ok(answer),
        (true, None) => Ok(cx.writer.reader().get(&at, &[]).await?),
        (false, _) => Ok(cx.writer.put(&at, Value::Object(request(body))).await?),
    }
}

/// Fields as GitLab takes them: the one name in which it asks for something else than it shows.
fn request(mut fields: Fields) -> Fields {
    if let Some(policy) = fields.remove("container_expiration_policy") {
        fields.insert("container_expiration_policy_attributes".into(), policy);
    }
    fields
}

fn namespace(cx: &Context, path: &Path) -> Result<Value, Error> {
    let parent = path
        .parent()
        .ok_or_else(|| Error::Refused(format!("`{path}` names no group")))?;
    let id = cx.id_of(&Address::new("group", Key::top(parent)))?;
    Ok(id.parse::<u64>().map_or(Value::String(id), Value::from))
}

/// Why something cannot be in a group that fewer people see: GitLab lowers it without a word, or refuses.
pub fn too_visible(fields: &Fields, outer: &[&Fields]) -> Option<String> {
    let asked = fields.get("visibility")?.as_str()?;
    let allowed = outer
        .iter()
        .find_map(|fields| fields.get("visibility"))?
        .as_str()?;
    let rank = |word: &str| VISIBILITIES.iter().position(|known| *known == word);
    (rank(asked)? > rank(allowed)?)
        .then(|| format!("its visibility `{asked}` is more than the `{allowed}` of"))
}

/// From the fewest who see something to the most.
pub const VISIBILITIES: [&str; 3] = ["private", "internal", "public"];

/// The impact of a value that moves along a scale, from the most closed to the most open.
pub fn opening(change: &Change, scale: &[&str], opening: Impact) -> Impact {
    let place = |value: &Option<Value>| {
        let word = value
            .as_ref()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        word.and_then(|word| scale.iter().position(|step| *step == word))
    };
    match (place(&change.before), place(&change.after)) {
        (Some(before), Some(after)) => Impact::of_opening(&before, &after, opening),
        // What is not on the scale could be anything.
        _ => opening,
    }
}

/// A new name breaks nothing that GitLab does not redirect; another namespace brings other members.
pub fn move_impact(change: &Change) -> Impact {
    match Path::from(change.before_str()).parent() == Path::from(change.after_str()).parent() {
        true => Impact::Neutral,
        false => Impact::Exposes,
    }
}

/// Checks one segment of a path by GitLab's rules (`lib/gitlab/path_regex.rb`).
pub fn check_path(segment: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let edges = segment.starts_with('-') || segment.ends_with('.');
    let ending = [".git", ".atom"]
        .into_iter()
        .find(|ending| segment.to_ascii_lowercase().ends_with(ending));
    if segment.is_empty() {
        Err("a path has an empty part: remove the extra slash".into())
    } else if let Some(c) = segment.chars().find(|c| !allowed(*c)) {
        Err(format!(
            "`{segment}` holds `{c}`: a path has only letters, digits, `_`, `-` and `.`"
        ))
    } else if edges {
        Err(format!(
            "`{segment}` starts with `-` or ends with `.`, which GitLab refuses in a path"
        ))
    } else if let Some(ending) = ending {
        Err(format!(
            "`{segment}` ends with `{ending}`, which GitLab refuses in a path"
        ))
    } else if segment.len() > 255 {
        Err(format!(
            "`{segment}` is longer than the 255 characters that GitLab allows"
        ))
    } else {
        Ok(())
    }
}
