//! CI/CD variables.

use apollo_compiler::resolvers::{ResolveInfo, ResolvedValue};

use super::RESOURCE_NOT_AVAILABLE;
use super::connection::{Connection, NEWEST_FIRST, Order, Place};
use super::object::{Arguments, Kind, Resolved, failed, gid};
use crate::{
    entities::View,
    policy::{Ability, Subject},
    store::{Source, Variable},
};

/// Names of the types that show variables of an owner: of one variable, a connection, and its edges.
fn names(source: Option<Source>) -> (&'static str, &'static str, &'static str) {
    match source {
        Some(Source::Project(_)) => (
            "CiProjectVariable",
            "CiProjectVariableConnection",
            "CiProjectVariableEdge",
        ),
        Some(Source::Group(_)) => (
            "CiGroupVariable",
            "CiGroupVariableConnection",
            "CiGroupVariableEdge",
        ),
        None => (
            "CiInstanceVariable",
            "CiInstanceVariableConnection",
            "CiInstanceVariableEdge",
        ),
    }
}

pub fn type_name(variable: &Variable) -> &'static str {
    names(variable.source).0
}

/// The field `limit` of a connection: how many variables its owner may have.
pub fn limit<'a>(connection: &str) -> Option<ResolvedValue<'a>> {
    let owners = [Source::Project(0), Source::Group(0)].map(Some);
    let owner = owners.into_iter().find(|source| names(*source).1 == connection)?;
    Some(ResolvedValue::leaf(Variable::limit(owner)))
}

/// `ciVariables` of a project or group: refused where the user may not administer them.
pub fn of_source<'a>(
    view: View<'a>,
    subject: impl Into<Subject<'a>>,
    info: &ResolveInfo<'_>,
) -> Resolved<'a> {
    let subject = subject.into();
    if !view.can(Ability::AdminCicdVariables, subject) {
        return Err(failed(RESOURCE_NOT_AVAILABLE));
    }
    let source = match subject {
        Subject::Group(group) => Source::Group(group.id),
        Subject::Project(project) => Source::Project(project.id),
    };
    list(view, Some(source), info)
}

/// `ciVariables` of the instance: null for all but administrators.
pub fn of_instance<'a>(view: View<'a>, info: &ResolveInfo<'_>) -> Resolved<'a> {
    match view.is_admin() {
        true => list(view, None, info),
        false => Ok(ResolvedValue::null()),
    }
}

fn list<'a>(view: View<'a>, source: Option<Source>, info: &ResolveInfo<'_>) -> Resolved<'a> {
    let by_key = |descending| Order {
        by: "key",
        descending,
    };
    let order = match info.text("sort") {
        Some("KEY_ASC") => by_key(false),
        Some("KEY_DESC") => by_key(true),
        _ => NEWEST_FIRST,
    };
    let place = |variable: &Variable| Place {
        key: match order.by {
            "key" => variable.key.clone(),
            _ => String::new(),
        },
        id: variable.id,
    };
    let variables = view.store.variables.children(source);
    let items = variables
        .map(|variable| (place(variable), Kind::Variable(variable)))
        .collect();
    let (_, connection, edge) = names(source);
    Ok(Connection::page((connection, edge), order, items, info)?.into_value(view))
}

/// A field of a variable.
pub fn variable<'a>(variable: &'a Variable, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'a>> {
    Some(match info.field_name() {
        "description" => ResolvedValue::leaf(variable.description.as_deref()),
        "environmentScope" => {
            let scope = variable.environment_scope.as_str();
            ResolvedValue::leaf(variable.source.map(|_| scope))
        }
        "hidden" => ResolvedValue::leaf(variable.hidden),
        "id" => match variable.source {
            Some(Source::Project(_)) => gid("Ci::Variable", variable.id),
            Some(Source::Group(_)) => gid("Ci::GroupVariable", variable.id),
            None => gid("Ci::InstanceVariable", variable.id),
        },
        "key" => ResolvedValue::leaf(variable.key.as_str()),
        "masked" => ResolvedValue::leaf(variable.masked),
        "protected" => ResolvedValue::leaf(variable.protected),
        "raw" => ResolvedValue::leaf(variable.raw),
        "value" => ResolvedValue::leaf(variable.shown_value()),
        "variableType" => ResolvedValue::leaf(if variable.file { "FILE" } else { "ENV_VAR" }),
        _ => return None,
    })
}
