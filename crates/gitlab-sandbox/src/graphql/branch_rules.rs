//! Branch rules: a project's protected branches as GraphQL shows them, after a rule that stands for all branches.

use apollo_compiler::resolvers::{FieldError, ResolveInfo, ResolvedValue};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::connection::{Connection, PageInfo, stored};
use super::cost::MAX_PAGE_SIZE;
use super::object::{Arguments, Kind, Resolved, failed, gid, time};
use super::users;
use crate::{
    entities::View,
    git::refs,
    policy::{Ability, MAINTAINER},
    store::{AccessLevel, DeployKey, Grantee, Group, Project, ProtectedBranch, User},
};

/// The name in a cursor that stands for the rule for all branches.
const ALL_BRANCHES: &str = "all_branches";

/// A rule of a project.
#[derive(Clone, Copy)]
pub struct Rule<'a> {
    pub project: &'a Project,
    /// `None`: the rule that GitLab lists for all branches, which protects nothing.
    pub branch: Option<&'a ProtectedBranch>,
}

/// What a protected branch is made of.
#[derive(Clone, Copy)]
pub enum Protection<'a> {
    Branch(&'a ProtectedBranch),
    Push(&'a AccessLevel),
    Merge(&'a AccessLevel),
    Unprotect(&'a AccessLevel),
    DeployKey(&'a DeployKey),
    User(&'a User),
    Group(&'a Group),
}

/// `branchRules`. Below Maintainer the rules of the page are there and each is hidden, so the page is empty.
pub fn of_project<'a>(view: View<'a>, project: &'a Project, info: &ResolveInfo<'_>) -> Resolved<'a> {
    let limit = info.int("first").unwrap_or(MAX_PAGE_SIZE).clamp(0, MAX_PAGE_SIZE);
    let after = info.text("after").map(decode).transpose()?;
    let list = List::new(view, project);
    let page = list.page(after.as_ref(), usize::try_from(limit).unwrap_or(0));
    let visible = view.can(Ability::AdminProject, project);
    let rules = page.rules.into_iter().filter(|_| visible).enumerate();
    let nodes: Vec<_> = rules
        .map(|(index, branch)| {
            // The list is cut before GitLab's library sees it, which numbers the edges of each page from 1.
            let cursor = URL_SAFE_NO_PAD.encode((index + 1).to_string());
            (cursor, Kind::BranchRule(Rule { project, branch }))
        })
        .collect();
    let connection = Connection {
        name: "BranchRuleConnection",
        edge: "BranchRuleEdge",
        total: nodes.len(),
        nodes,
        page: PageInfo {
            start_cursor: None,
            end_cursor: page.end_cursor,
            has_next_page: page.has_next_page,
            has_previous_page: false,
        },
    };
    Ok(connection.into_value(view))
}

/// Where a page ends.
struct Cursor {
    name: String,
    /// `None`: after the rule for all branches.
    id: Option<u64>,
}

#[derive(Default)]
struct Page<'a> {
    rules: Vec<Option<&'a ProtectedBranch>>,
    end_cursor: Option<String>,
    has_next_page: bool,
}

/// A project's rules in GitLab's order: for all branches, for the default branch, and the others by name. Pages are
/// cut as GitLab cuts them, which loses rules that sort before the default branch's when a page ends with that.
struct List<'a> {
    branches: Vec<&'a ProtectedBranch>,
    default: Option<&'a ProtectedBranch>,
}

impl<'a> List<'a> {
    fn new(view: View<'a>, project: &'a Project) -> Self {
        let mut branches: Vec<_> = view.store.protected_branches.children(project.id).collect();
        branches.sort_by(|a, b| a.name.cmp(&b.name));
        let is_default = |branch: &&ProtectedBranch| Some(&branch.name) == project.default_branch.as_ref();
        let default = branches.iter().copied().find(is_default);
        Self { branches, default }
    }

    fn page(&self, after: Option<&Cursor>, limit: usize) -> Page<'a> {
        match after {
            None if limit == 0 => Page {
                has_next_page: true,
                ..Page::default()
            },
            None if limit == 1 => Page {
                rules: vec![None],
                end_cursor: Some(encode(ALL_BRANCHES, None)),
                has_next_page: !self.branches.is_empty(),
            },
            None => {
                let mut page = self.cut(self.branches.clone(), limit - 1, self.default.is_some());
                page.rules.insert(0, None);
                page
            }
            Some(Cursor { name, id: None }) if name == ALL_BRANCHES => {
                self.cut(self.others().collect(), limit, self.default.is_some())
            }
            Some(Cursor { name, id: Some(id) }) => {
                let rest = self
                    .others()
                    .filter(|branch| (&branch.name, branch.id) > (name, *id));
                self.cut(rest.collect(), limit, false)
            }
            Some(_) => self.cut(self.branches.clone(), limit, false),
        }
    }

    fn others(&self) -> impl Iterator<Item = &'a ProtectedBranch> {
        let default = self.default.map(|branch| branch.id);
        self.branches
            .iter()
            .copied()
            .filter(move |branch| Some(branch.id) != default)
    }

    fn cut(&self, branches: Vec<&'a ProtectedBranch>, limit: usize, default_first: bool) -> Page<'a> {
        if branches.is_empty() {
            return Page::default();
        }
        let room = if default_first {
            limit.saturating_sub(1)
        } else {
            limit
        };
        let has_next_page = branches.len() > room;
        let mut shown: Vec<_> = branches.into_iter().take(room).collect();
        if let Some(default) = self.default.filter(|_| default_first) {
            shown.retain(|branch| branch.id != default.id);
            shown.insert(0, default);
        }
        let last = shown.last().filter(|_| has_next_page);
        Page {
            end_cursor: last.map(|branch| encode(&branch.name, Some(branch.id))),
            rules: shown.into_iter().map(Some).collect(),
            has_next_page,
        }
    }
}

fn encode(name: &str, id: Option<u64>) -> String {
    STANDARD.encode(json!({ "name": name, "id": id }).to_string())
}

fn decode(cursor: &str) -> Result<Cursor, FieldError> {
    let bytes = STANDARD
        .decode(cursor)
        .map_err(|_| failed("Invalid cursor: invalid base64"))?;
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| failed(format!("Invalid cursor: {error}")))?;
    Ok(Cursor {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        id: value["id"].as_u64(),
    })
}

impl<'a> Rule<'a> {
    /// A field of the rule.
    pub fn resolve(&self, view: View<'a>, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'a>> {
        let project = self.project;
        Some(match (info.field_name(), self.branch) {
            ("branchProtection", branch) => {
                view.nullable(branch.map(Protection::Branch).map(Kind::Protection))
            }
            ("createdAt", branch) => {
                branch.map_or_else(ResolvedValue::null, |branch| time(branch.created_at))
            }
            ("id", Some(branch)) => gid("Projects::BranchRule", branch.id),
            ("id", None) => gid("Projects::AllBranchesRule", project.id),
            ("isDefault", branch) => ResolvedValue::leaf(
                branch.is_some_and(|branch| Some(&branch.name) == project.default_branch.as_ref()),
            ),
            ("isProtected", branch) => ResolvedValue::leaf(branch.is_some()),
            ("matchingBranchesCount", branch) => {
                let names = refs::branch_names(&view.app.repository_path(project.id));
                let counted = |name: &&String| branch.is_none_or(|rule| rule.matches(name));
                ResolvedValue::leaf(names.iter().filter(counted).count())
            }
            ("name", Some(branch)) => ResolvedValue::leaf(branch.name.as_str()),
            ("name", None) => ResolvedValue::leaf("All branches"),
            ("updatedAt", branch) => {
                branch.map_or_else(ResolvedValue::null, |branch| time(branch.updated_at))
            }
            _ => return None,
        })
    }
}

impl<'a> Protection<'a> {
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Branch(_) => "BranchProtection",
            Self::Push(_) => "PushAccessLevel",
            Self::Merge(_) => "MergeAccessLevel",
            Self::Unprotect(_) => "UnprotectAccessLevel",
            Self::DeployKey(_) => "AccessLevelDeployKey",
            Self::User(_) => "AccessLevelUser",
            Self::Group(_) => "AccessLevelGroup",
        }
    }

    /// A field of it.
    pub fn resolve(
        &self,
        view: View<'a>,
        info: &ResolveInfo<'_>,
    ) -> Result<Option<ResolvedValue<'a>>, FieldError> {
        match self {
            Self::Branch(branch) => branch_protection(view, branch, info),
            Self::Push(level) | Self::Merge(level) | Self::Unprotect(level) => {
                Ok(access_level(view, level, info))
            }
            Self::DeployKey(key) => Ok(deploy_key(view, key, info)),
            // These types show their ids as any other does.
            Self::User(user) => Ok(users::user(view, user, info)),
            Self::Group(group) => Ok(level_group(view, group, info)),
        }
    }
}

fn branch_protection<'a>(
    view: View<'a>,
    branch: &'a ProtectedBranch,
    info: &ResolveInfo<'_>,
) -> Result<Option<ResolvedValue<'a>>, FieldError> {
    let levels = |names, levels: &'a [AccessLevel], part: fn(&'a AccessLevel) -> Protection<'a>| {
        let items = levels
            .iter()
            .map(|level| (level.id, Kind::Protection(part(level))));
        stored(view, names, items, info).map(Some)
    };
    let flag = |flag: bool| Ok(Some(ResolvedValue::leaf(flag)));
    match info.field_name() {
        "allowForcePush" => flag(branch.allow_force_push),
        "codeOwnerApprovalRequired" => flag(branch.code_owner_approval_required),
        // The sandbox has no protections of groups and no security policies.
        "isGroupLevel" | "modificationBlockedByPolicy" | "protectedFromPushBySecurityPolicy" => flag(false),
        "mergeAccessLevels" => {
            let names = ("MergeAccessLevelConnection", "MergeAccessLevelEdge");
            levels(names, &branch.merge_access_levels, Protection::Merge)
        }
        "pushAccessLevels" => {
            let names = ("PushAccessLevelConnection", "PushAccessLevelEdge");
            levels(names, &branch.push_access_levels, Protection::Push)
        }
        "unprotectAccessLevels" => {
            let names = ("UnprotectAccessLevelConnection", "UnprotectAccessLevelEdge");
            levels(names, &branch.unprotect_access_levels, Protection::Unprotect)
        }
        _ => Ok(None),
    }
}

fn access_level<'a>(
    view: View<'a>,
    level: &'a AccessLevel,
    info: &ResolveInfo<'_>,
) -> Option<ResolvedValue<'a>> {
    let store = view.store;
    Some(match (info.field_name(), level.who) {
        ("accessLevel", Grantee::Role(role)) => ResolvedValue::leaf(role),
        // What GitLab's column holds where nobody sets it.
        ("accessLevel", _) => ResolvedValue::leaf(MAINTAINER),
        ("accessLevelDescription", who) => ResolvedValue::leaf(view.grantee(who)),
        ("deployKey", Grantee::DeployKey(id)) => view.nullable(
            store
                .deploy_keys
                .get(id)
                .map(Protection::DeployKey)
                .map(Kind::Protection),
        ),
        ("group", Grantee::Group(id)) => {
            view.nullable(store.groups.get(id).map(Protection::Group).map(Kind::Protection))
        }
        ("user", Grantee::User(id)) => {
            view.nullable(store.users.get(id).map(Protection::User).map(Kind::Protection))
        }
        ("deployKey" | "group" | "user", _) => ResolvedValue::null(),
        _ => return None,
    })
}

fn deploy_key<'a>(view: View<'a>, key: &'a DeployKey, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'a>> {
    Some(match info.field_name() {
        "expiresAt" => {
            let day = key.expires_at.map(|at| at.strftime("%Y-%m-%d").to_string());
            ResolvedValue::leaf(day)
        }
        "id" => gid("DeployKey", key.id),
        "title" => ResolvedValue::leaf(key.title.as_str()),
        "user" => view.nullable(
            view.store
                .users
                .get(key.user_id)
                .map(Protection::User)
                .map(Kind::Protection),
        ),
        _ => return None,
    })
}

fn level_group<'a>(view: View<'a>, group: &'a Group, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'a>> {
    Some(match info.field_name() {
        "avatarUrl" => ResolvedValue::null(),
        "id" => gid("Group", group.id),
        "name" => ResolvedValue::leaf(group.name.as_str()),
        "parent" => {
            let parent = group.parent_id.and_then(|id| view.store.groups.get(id));
            view.nullable(parent.map(Protection::Group).map(Kind::Protection))
        }
        "webUrl" => ResolvedValue::leaf(format!("{}/groups/{}", view.app.url(), group.full_path)),
        _ => return None,
    })
}
