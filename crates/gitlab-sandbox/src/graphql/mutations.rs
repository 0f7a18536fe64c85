//! The mutations that change protected branches.

use std::sync::RwLockReadGuard;

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use jiff::Timestamp;
use serde_json::Value;

use super::RESOURCE_NOT_AVAILABLE;
use super::branch_rules::Rule;
use super::levels::{self, Kinds};
use super::object::{Kind, Resolved, failed};
use super::scalars::parse_global_id;
use crate::{
    app::App,
    auth::Identity,
    entities::View,
    policy::{Ability, MAINTAINER},
    store::{AccessLevel, Grantee, Project, ProtectedBranch, Sequence, Store},
};

/// The root of mutations.
pub struct Mutation<'a> {
    pub app: &'a App,
    /// `None` where the token or its absence allows no write.
    pub writer: Option<&'a Identity>,
}

/// A rule by the ids that outlive a lock: of its project, and of its protected branch.
type RuleId = (u64, Option<u64>);

/// What a mutation did: the rule it shows, if any, and what it refuses.
type Outcome = (Option<RuleId>, Vec<String>);

impl ObjectValue for Mutation<'_> {
    fn type_name(&self) -> &str {
        "Mutation"
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let input = info.arguments().get("input").map(serde_json::to_value);
        let input = input.and_then(Result::ok).unwrap_or_default();
        let writer = self.writer.ok_or_else(not_available)?;
        let ee = self.app.is_ee();
        let outcome = self.app.write(|store| {
            Ok(match info.field_name() {
                "branchRuleCreate" => create(store, writer, &input),
                "branchRuleDelete" => delete(store, writer, &input, ee),
                "branchRuleUpdate" => update(store, writer, &input, ee),
                _ => Err(self.unknown_field_error(info)),
            })
        });
        let (rule, errors) = outcome.map_err(|_| failed("Internal server error"))??;
        Ok(ResolvedValue::object(Payload {
            name: info.field_definition().ty.inner_named_type().as_str(),
            app: self.app,
            store: self.app.read(),
            writer,
            rule,
            errors,
            client_mutation_id: input["clientMutationId"].as_str().map(str::to_owned),
        }))
    }
}

fn not_available() -> FieldError {
    failed(RESOURCE_NOT_AVAILABLE)
}

/// What a mutation answers; it keeps the store from changing until it is written.
struct Payload<'a> {
    name: &'a str,
    app: &'a App,
    store: RwLockReadGuard<'a, Store>,
    writer: &'a Identity,
    rule: Option<RuleId>,
    errors: Vec<String>,
    client_mutation_id: Option<String>,
}

impl ObjectValue for Payload<'_> {
    fn type_name(&self) -> &str {
        self.name
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let view = View {
            app: self.app,
            store: &self.store,
            user: self.writer.user_in(&self.store),
        };
        Ok(match info.field_name() {
            "branchRule" => {
                let rule = self.rule.and_then(|(project, branch)| {
                    let project = self.store.projects.get(project)?;
                    let branch = branch.map(|id| self.store.protected_branches.get(id).ok_or(()));
                    Some(Rule {
                        project,
                        branch: branch.transpose().ok()?,
                    })
                });
                view.nullable(rule.map(Kind::BranchRule))
            }
            "clientMutationId" => ResolvedValue::leaf(self.client_mutation_id.as_deref()),
            "errors" => ResolvedValue::list(
                self.errors
                    .iter()
                    .map(|error| ResolvedValue::leaf(error.as_str())),
            ),
            _ => return Err(self.unknown_field_error(info)),
        })
    }
}

fn create(store: &mut Store, writer: &Identity, input: &Value) -> Result<Outcome, FieldError> {
    let path = input["projectPath"].as_str().unwrap_or_default();
    let project = store.project_by_path(path).map(|project| project.id);
    let project = authorize(store, writer, project)?;
    let name = input["name"].as_str().unwrap_or_default();
    let errors = name_errors(store, project, None, name);
    if !errors.is_empty() {
        return Ok((None, errors));
    }
    let levels = |store: &mut Store| {
        vec![AccessLevel {
            id: store.next(Sequence::AccessLevels),
            who: Grantee::Role(MAINTAINER),
        }]
    };
    let id = store.protected_branches.next_id();
    let now = Timestamp::now();
    let branch = ProtectedBranch {
        id,
        project_id: project,
        name: name.to_owned(),
        allow_force_push: false,
        code_owner_approval_required: false,
        push_access_levels: levels(store),
        merge_access_levels: levels(store),
        unprotect_access_levels: Vec::new(),
        created_at: now,
        updated_at: now,
    };
    store.protected_branches.insert(branch);
    Ok((Some((project, Some(id))), Vec::new()))
}

fn delete(store: &mut Store, writer: &Identity, input: &Value, ee: bool) -> Result<Outcome, FieldError> {
    let (project, branch) = find(store, writer, input)?;
    match branch {
        Some(id) => {
            store.protected_branches.remove(id);
            Ok((None, Vec::new()))
        }
        // EE has approval rules to remove there; the sandbox keeps none.
        None if ee => Ok((None, Vec::new())),
        None => Ok((
            Some((project, None)),
            vec!["Unknown branch rule type.".to_owned()],
        )),
    }
}

fn update(store: &mut Store, writer: &Identity, input: &Value, ee: bool) -> Result<Outcome, FieldError> {
    let (project, branch) = find(store, writer, input)?;
    let Some(id) = branch else {
        let error = if ee {
            "All branches rules cannot be updated."
        } else {
            "Unknown branch rule type."
        };
        return Ok((None, vec![error.to_owned()]));
    };
    let (Some(project), Some(mut branch)) = (
        store.projects.get(project).cloned(),
        store.protected_branches.get(id).cloned(),
    ) else {
        return Err(not_available());
    };
    let name = input["name"].as_str().unwrap_or_default();
    let mut errors = name_errors(store, project.id, Some(id), name);
    branch.name = name.to_owned();
    let protection = &input["branchProtection"];
    if protection.is_object() {
        errors.extend(apply(store, &project, &mut branch, protection, ee));
    }
    if !errors.is_empty() {
        return Ok((None, errors));
    }
    branch.updated_at = Timestamp::now();
    store.protected_branches.insert(branch);
    Ok((Some((project.id, Some(id))), Vec::new()))
}

/// Sets all of a protection: what the input leaves out is reset, as in GitLab. Returns what is wrong with it.
fn apply(
    store: &mut Store,
    project: &Project,
    branch: &mut ProtectedBranch,
    protection: &Value,
    ee: bool,
) -> Vec<String> {
    let mut errors = Vec::new();
    for (member, kinds, levels) in [
        ("mergeAccessLevels", Kinds::MERGE, &mut branch.merge_access_levels),
        ("pushAccessLevels", Kinds::PUSH, &mut branch.push_access_levels),
    ] {
        let given = protection[member]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        match levels::replace(store, project, levels, given, kinds) {
            Ok(replaced) => *levels = replaced,
            Err(found) => errors.extend(found),
        }
    }
    branch.allow_force_push = protection["allowForcePush"].as_bool().unwrap_or(false);
    if ee {
        branch.code_owner_approval_required =
            protection["codeOwnerApprovalRequired"].as_bool().unwrap_or(true);
    }
    errors
}

fn name_errors(store: &Store, project: u64, own: Option<u64>, name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.trim().is_empty() {
        errors.push("Name can't be blank".to_owned());
    }
    let taken = store.protected_branches.find(&(project, name.to_owned()));
    if taken.is_some_and(|branch| Some(branch.id) != own) {
        errors.push("Name has already been taken".to_owned());
    }
    errors
}

/// The rule that the input's id names, when the user may change it.
fn find(store: &Store, writer: &Identity, input: &Value) -> Result<RuleId, FieldError> {
    let found = match parse_global_id(input["id"].as_str().unwrap_or_default()) {
        Some(("Projects::BranchRule", id)) => store
            .protected_branches
            .get(id)
            .map(|branch| (branch.project_id, Some(id))),
        Some(("Projects::AllBranchesRule", id)) => Some((id, None)),
        _ => None,
    };
    let project = authorize(store, writer, found.map(|(project, _)| project))?;
    Ok((project, found.and_then(|(_, branch)| branch)))
}

fn authorize(store: &Store, writer: &Identity, project: Option<u64>) -> Result<u64, FieldError> {
    let project = project.and_then(|id| store.projects.get(id));
    project
        .filter(|project| store.can(writer.user_in(store), Ability::AdminProject, *project))
        .map(|project| project.id)
        .ok_or_else(not_available)
}
