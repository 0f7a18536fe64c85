//! Access levels as `branchRuleUpdate` takes them: a whole list that replaces the one there.

use serde_json::Value;

use super::scalars::parse_global_id;
use crate::{
    policy::MAINTAINER,
    store::{AccessLevel, Grantee, Project, Sequence, Source, Store},
};

/// The roles that GitLab takes: no one, Developer, Maintainer, administrators.
const ROLES: [u8; 4] = [0, 30, 40, 60];

/// Which levels a list is of.
#[derive(Clone, Copy)]
pub struct Kinds {
    /// What GitLab's messages begin with.
    label: &'static str,
}

impl Kinds {
    pub const MERGE: Self = Self {
        label: "Merge access levels",
    };
    pub const PUSH: Self = Self {
        label: "Push access levels",
    };
}

/// `given` with the ids of those in `present` that it names again; or what is wrong with it.
pub fn replace(
    store: &mut Store,
    project: &Project,
    present: &[AccessLevel],
    given: &[Value],
    kinds: Kinds,
) -> Result<Vec<AccessLevel>, Vec<String>> {
    let grantees: Vec<_> = given.iter().map(grantee).collect();
    let kept: Vec<_> = present
        .iter()
        .filter(|level| grantees.contains(&Ok(level.who)))
        .cloned()
        .collect();
    let mut added = Vec::new();
    let mut errors = Vec::new();
    for grantee in grantees {
        match grantee.and_then(|who| check(store, project, who)) {
            // GitLab takes every mention of a level that is there for that level.
            Ok(who) if kept.iter().any(|level| level.who == who) => {}
            Ok(who) => added.push(who),
            Err(problems) => errors.extend(
                problems
                    .iter()
                    .map(|problem| format!("{} {problem}", kinds.label)),
            ),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let added = added.into_iter().map(|who| AccessLevel {
        id: store.next(Sequence::AccessLevels),
        who,
    });
    Ok(kept.into_iter().chain(added).collect())
}

/// Who one item of the list names.
fn grantee(item: &Value) -> Result<Grantee, Vec<&'static str>> {
    let id = |member: &str| Some(parse_global_id(item[member].as_str()?)?.1);
    if let Some(id) = id("deployKeyId") {
        return Ok(Grantee::DeployKey(id));
    }
    if let Some(id) = id("userId") {
        return Ok(Grantee::User(id));
    }
    if let Some(id) = id("groupId") {
        return Ok(Grantee::Group(id));
    }
    match item.get("accessLevel") {
        None => Ok(Grantee::Role(MAINTAINER)),
        Some(Value::Null) => Err(vec![
            "access level can't be blank",
            "access level is not included in the list",
        ]),
        Some(level) => level
            .as_u64()
            .and_then(|level| u8::try_from(level).ok())
            .filter(|level| ROLES.contains(level))
            .map(Grantee::Role)
            .ok_or_else(|| vec!["access level is not included in the list"]),
    }
}

fn check(store: &Store, project: &Project, who: Grantee) -> Result<Grantee, Vec<&'static str>> {
    let is_member = |user: u64| store.project_role(store.users.get(user), project) > 0;
    let problem = match who {
        Grantee::Role(_) => None,
        Grantee::DeployKey(id) => match store.deploy_keys.get(id) {
            None => Some("deploy key can't be blank"),
            Some(key) if !is_member(key.user_id) => Some("deploy key owner is not a project member"),
            Some(key) if key.project_id != project.id || !key.can_push => {
                Some("deploy key is not enabled for this project")
            }
            Some(_) => None,
        },
        Grantee::User(id) if is_member(id) => None,
        Grantee::User(_) => Some("user is not a member of the project"),
        Grantee::Group(id) => {
            let shared = store
                .links(Source::Project(project.id))
                .any(|link| link.group_id == id);
            (!shared).then_some("group does not have access to the project")
        }
    };
    problem.map_or(Ok(who), |problem| Err(vec![problem]))
}
