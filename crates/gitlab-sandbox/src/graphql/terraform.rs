//! Terraform states and their latest versions.

use apollo_compiler::resolvers::{ResolveInfo, ResolvedValue};

use super::connection::{Connection, Order, Place};
use super::object::{Arguments, Kind, Resolved, gid, time};
use crate::{
    entities::View,
    policy::Ability,
    store::{Project, TerraformState, TerraformStateVersion},
};

/// The states of a project that the user may see: all or none.
fn visible<'a>(view: View<'a>, project: &'a Project) -> impl Iterator<Item = &'a TerraformState> {
    let states = view.store.terraform_states.children(project.id);
    states.filter(move |_| view.can(Ability::ReadTerraformState, project))
}

/// `terraformState(name:)`.
pub fn by_name<'a>(view: View<'a>, project: &'a Project, info: &ResolveInfo<'_>) -> ResolvedValue<'a> {
    let name = info.text("name").unwrap_or_default();
    let state = visible(view, project).find(|state| state.name == name);
    view.nullable(state.map(Kind::TerraformState))
}

/// `terraformStates`, by name.
pub fn of_project<'a>(view: View<'a>, project: &'a Project, info: &ResolveInfo<'_>) -> Resolved<'a> {
    let order = Order {
        by: "name",
        descending: false,
    };
    let place = |state: &TerraformState| Place {
        key: state.name.clone(),
        id: state.id,
    };
    let states = visible(view, project)
        .map(|state| (place(state), Kind::TerraformState(state)))
        .collect();
    let names = ("TerraformStateConnection", "TerraformStateEdge");
    Ok(Connection::page(names, order, states, info)?.into_value(view))
}

fn user<'a>(view: View<'a>, id: Option<u64>) -> ResolvedValue<'a> {
    view.nullable(id.and_then(|id| view.store.users.get(id)).map(Kind::User))
}

/// A field of a state.
pub fn state<'a>(
    view: View<'a>,
    state: &'a TerraformState,
    info: &ResolveInfo<'_>,
) -> Option<ResolvedValue<'a>> {
    let lock = state.lock.as_ref();
    Some(match info.field_name() {
        "createdAt" => time(state.created_at),
        "deletedAt" => state.deleted_at.map_or_else(ResolvedValue::null, time),
        "id" => gid("Terraform::State", state.id),
        "latestVersion" => view.nullable(
            view.store
                .latest_terraform_version(state.id)
                .map(Kind::TerraformStateVersion),
        ),
        "lockedAt" => lock.map_or_else(ResolvedValue::null, |lock| time(lock.at)),
        "lockedByUser" => user(view, lock.map(|lock| lock.user_id)),
        "name" => ResolvedValue::leaf(state.name.as_str()),
        "updatedAt" => time(state.updated_at),
        _ => return None,
    })
}

/// A field of a version.
pub fn version<'a>(
    view: View<'a>,
    version: &'a TerraformStateVersion,
    info: &ResolveInfo<'_>,
) -> Option<ResolvedValue<'a>> {
    let state = view.store.terraform_states.get(version.state_id);
    Some(match info.field_name() {
        "createdAt" => time(version.created_at),
        "createdByUser" => user(view, version.created_by),
        "downloadPath" => ResolvedValue::leaf(state.map(|state| {
            format!(
                "/api/v4/projects/{}/terraform/state/{}/versions/{}",
                state.project_id, state.name, version.serial
            )
        })),
        "id" => gid("Terraform::StateVersion", version.id),
        "serial" => ResolvedValue::leaf(version.serial),
        "updatedAt" => time(version.updated_at),
        _ => return None,
    })
}
