//! The kind `group`: namespaces, nested at will, and the settings that what is in them inherits.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fields::Normal;
use super::inventory::{self, full_path, id};
use super::repo::{Visibility, check_path};
use super::{Access, Applied, Context, Error, Observed, On, Role, Scope, Task};
use crate::core::{Action, Address, Change, Fields, Impact, Key};
use crate::live::gitlab::{Reader, segment};

/// A group. Its path is its key; a nested group is written with its full path, `platform/backend`.
///
/// Source: <https://docs.gitlab.com/api/groups/>.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-key" = "platform", "examples" = [{"visibility": "private", "description": "The platform team"}]))]
pub struct Group {
    /// Display name. GitLab's default: the last part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    name: Option<String>,
    /// What the group is for; shown on its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    description: Option<String>,
    /// Who can see the group. Nothing in a group can be more visible than the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility: Option<Visibility>,
    /// Who can create repos in the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_creation_level: Option<ProjectCreation>,
    /// Who can create groups in the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    subgroup_creation_level: Option<SubgroupCreation>,
    /// Name of the first branch of new repos in the group; empty: the instance's.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_branch: Option<String>,
    /// Whether people may ask to become members.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_access_enabled: Option<bool>,
    /// Whether repos of the group cannot be shared with other groups. GitLab turns it on in all groups inside, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_with_group_lock: Option<bool>,
    /// Whether every member must set up two-factor authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    require_two_factor_authentication: Option<bool>,
    /// Hours until two-factor authentication is enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    two_factor_grace_period: Option<u32>,
    /// Whether email notifications are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    emails_enabled: Option<bool>,
    /// Whether emails about a diff show a part of it. Off wherever a group above has it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    show_diff_preview_in_email: Option<bool>,
    /// Whether the group cannot be mentioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    mentions_disabled: Option<bool>,
    /// Whether repos of the group may use Git LFS.
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs_enabled: Option<bool>,
    /// Whether Auto DevOps runs by default in repos of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    auto_devops_enabled: Option<bool>,
    /// Whether instance runners build repos of the group. GitLab sets `shared_runners_enabled` of all repos inside to match.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_runners_setting: Option<SharedRunners>,
}

/// Who can create repos in a group.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ProjectCreation {
    Noone,
    Administrator,
    Owner,
    Maintainer,
    Developer,
}

/// Who can create groups in a group.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SubgroupCreation {
    Owner,
    Maintainer,
}

/// Whether instance runners build the repos of a group.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SharedRunners {
    /// They do.
    Enabled,
    /// They do not, unless a group or repo inside says so.
    DisabledAndOverridable,
    /// They do not, whatever a group or repo inside says.
    DisabledAndUnoverridable,
}

/// Fields that GitLab takes only for a group that exists.
const UPDATE_ONLY: &[&str] = &["shared_runners_setting", "show_diff_preview_in_email"];

impl super::Kind for Group {
    const NAME: &'static str = "group";
    const READ: Access = Access::new(Role::Guest, On::Group);
    const WRITE: Access = Access::new(Role::Owner, On::Group);
    const CAN_MOVE: bool = true;
    const PRUNABLE: bool = false;

    fn check_key(key: &Key) -> Result<(), String> {
        key.path
            .as_str()
            .split('/')
            .try_for_each(|segment| match segment.len() {
                1 => Err(format!(
                    "`{segment}` is too short: GitLab takes group paths from two characters"
                )),
                _ => check_path(segment),
            })
    }

    fn needs(key: &Key, _value: Option<&Fields>) -> Vec<Address> {
        key.path
            .parent()
            .map(|parent| Address::new(Self::NAME, Key::top(parent)))
            .into_iter()
            .collect()
    }

    fn impact(change: &Change) -> Impact {
        match change.field.as_str() {
            "" if change.after.is_none() => Impact::Destroys,
            "visibility" => super::repo::opening(change, &super::repo::VISIBILITIES, Impact::Exposes),
            "project_creation_level" => super::repo::opening(
                change,
                &["noone", "administrator", "owner", "maintainer", "developer"],
                Impact::Weakens,
            ),
            "subgroup_creation_level" => {
                super::repo::opening(change, &["owner", "maintainer"], Impact::Weakens)
            }
            "share_with_group_lock" => super::repo::opening(change, &["true", "false"], Impact::Exposes),
            "require_two_factor_authentication" if change.after == Some(Value::Bool(true)) => {
                Impact::LocksOut
            }
            "require_two_factor_authentication" => Impact::Weakens,
            "path" => super::repo::move_impact(change),
            _ => Impact::Neutral,
        }
    }

    fn fits(fields: &Fields, outer: &[&Fields]) -> Option<String> {
        super::repo::too_visible(fields, outer)
    }

    /// Both write into groups and repos inside.
    fn spreads(change: &Change) -> bool {
        matches!(
            change.field.as_str(),
            "shared_runners_setting" | "share_with_group_lock"
        )
    }

    /// A group cannot be less visible than what is in it, so that goes down first.
    fn last(change: &Change) -> bool {
        change.field == "visibility" && Self::impact(change) == Impact::Tightens
    }

    async fn observe(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
        let groups = inventory::groups(cx, &scope.world).await?;
        inventory::observe::<Self>(cx, scope, &groups, "groups", |_| BTreeMap::new()).await
    }

    async fn apply(cx: &Context, task: &Task<'_>) -> Result<Applied, Error> {
        let key = &task.step.address.key;
        let answer = match (task.step.action, &task.step.id) {
            (Action::Create, _) => create(cx, key, &task.step.value).await?,
            (Action::Delete, Some(id)) => {
                cx.writer.delete(&format!("/groups/{}", segment(id)), &[]).await?;
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

async fn create(cx: &Context, key: &Key, value: &Fields) -> Result<Fields, Error> {
    let (later, mut body): (Fields, Fields) = value
        .clone()
        .into_iter()
        .partition(|(field, _)| UPDATE_ONLY.contains(&field.as_str()));
    body.insert("path".into(), key.path.name().into());
    body.entry("name").or_insert_with(|| key.path.name().into());
    if let Some(parent) = key.path.parent() {
        body.insert(
            "parent_id".into(),
            cx.id_of(&Address::new("group", Key::top(parent)))?.into(),
        );
    }
    let created: Fields = cx.writer.post("/groups", Value::Object(body)).await?;
    match later.is_empty() {
        true => Ok(created),
        false => Ok(cx
            .writer
            .put(&format!("/groups/{}", id(&created)), Value::Object(later))
            .await?),
    }
}

async fn update(cx: &Context, key: &Key, id: &str, changes: &[Change]) -> Result<Fields, Error> {
    let at = format!("/groups/{}", segment(id));
    let mut body = Fields::new();
    for change in changes {
        let after = change.after.clone().unwrap_or_default();
        if change.field != "path" {
            body.insert(change.field.clone(), after);
            continue;
        }
        // Not where it was when planned: what it lives in may have moved, or a run stopped half-way.
        let there = cx.writer.reader().get(&at, &[("with_projects", "false")]).await?;
        let (before, after) = (full_path(&there), &key.path);
        if before.parent() != after.parent() {
            let parent = match after.parent() {
                Some(parent) => json!({"group_id": cx.id_of(&Address::new("group", Key::top(parent)))?}),
                None => json!({}),
            };
            cx.writer.post::<Value>(&format!("{at}/transfer"), parent).await?;
        }
        if before.name() != after.name() {
            body.insert("path".into(), after.name().into());
        }
    }
    match body.is_empty() {
        true => Ok(cx.writer.reader().get(&at, &[("with_projects", "false")]).await?),
        false => Ok(cx.writer.put(&at, Value::Object(body)).await?),
    }
}
