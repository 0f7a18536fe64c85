//! What resolvers hand to the executor: a record seen by a user.

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use jiff::Timestamp;

use super::scalars::parse_global_id;
use super::{branch_rules, connection::Connection, groups, members, projects, terraform, users, variables};
use crate::{
    entities::View,
    policy::{Ability, Subject},
    store::{Group, Member, Namespace, Project, TerraformState, TerraformStateVersion, User, Variable},
};

/// What a resolver returns.
pub type Resolved<'a> = Result<ResolvedValue<'a>, FieldError>;

impl<'a> View<'a> {
    pub fn can(&self, ability: Ability, subject: impl Into<Subject<'a>>) -> bool {
        self.store.can(self.user, ability, subject)
    }

    pub fn is_admin(&self) -> bool {
        self.user.is_some_and(|user| user.admin)
    }

    /// `kind` as the value of a field.
    pub fn object(self, kind: Kind<'a>) -> ResolvedValue<'a> {
        ResolvedValue::object(Object { view: self, kind })
    }

    /// `kind` as the value of a field, or null.
    pub fn nullable(self, kind: Option<Kind<'a>>) -> ResolvedValue<'a> {
        kind.map_or_else(ResolvedValue::null, |kind| self.object(kind))
    }

    /// The group, unless it is hidden from the user.
    pub fn readable_group(self, group: Option<&'a Group>) -> ResolvedValue<'a> {
        self.nullable(
            group
                .filter(|group| self.can(Ability::ReadGroup, *group))
                .map(Kind::Group),
        )
    }
}

/// A record, or a part of one that has a type of its own.
#[derive(Clone)]
pub enum Kind<'a> {
    Connection(Box<Connection<'a>>),
    Edge(&'static str, String, Box<Kind<'a>>),
    PageInfo(super::connection::PageInfo),
    Project(&'a Project),
    ProjectPermissions(&'a Project),
    Repository(&'a Project),
    Group(&'a Group),
    GroupPermissions(&'a Group),
    Namespace(Namespace<'a>),
    CurrentUser(&'a User),
    User(&'a User),
    /// A role as a number and in words.
    AccessLevel(u8),
    /// With the role that counts where one asks.
    Member(&'a Member, u8),
    BranchRule(branch_rules::Rule<'a>),
    Protection(branch_rules::Protection<'a>),
    Variable(&'a Variable),
    TerraformState(&'a TerraformState),
    TerraformStateVersion(&'a TerraformStateVersion),
}

/// A record seen by a user.
pub struct Object<'a> {
    pub view: View<'a>,
    pub kind: Kind<'a>,
}

impl ObjectValue for Object<'_> {
    fn type_name(&self) -> &str {
        match &self.kind {
            Kind::Connection(connection) => connection.name,
            Kind::Edge(name, ..) => name,
            Kind::PageInfo(_) => "PageInfo",
            Kind::Project(_) => "Project",
            Kind::ProjectPermissions(_) => "ProjectPermissions",
            Kind::Repository(_) => "Repository",
            Kind::Group(_) => "Group",
            Kind::GroupPermissions(_) => "GroupPermissions",
            Kind::Namespace(_) => "Namespace",
            Kind::CurrentUser(_) => "CurrentUser",
            Kind::User(_) => "UserCore",
            Kind::AccessLevel(_) => "AccessLevel",
            Kind::Member(member, _) => members::type_name(member),
            Kind::BranchRule(_) => "BranchRule",
            Kind::Protection(protection) => protection.type_name(),
            Kind::Variable(variable) => variables::type_name(variable),
            Kind::TerraformState(_) => "TerraformState",
            Kind::TerraformStateVersion(_) => "TerraformStateVersion",
        }
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let view = self.view;
        let resolved = match &self.kind {
            Kind::Connection(connection) => connection.resolve(view, info)?,
            Kind::Edge(_, cursor, node) => match info.field_name() {
                "cursor" => Some(ResolvedValue::leaf(cursor.as_str())),
                "node" => Some(view.object((**node).clone())),
                _ => None,
            },
            Kind::PageInfo(page) => page.resolve(info),
            Kind::Project(project) => projects::project(view, project, info)?,
            Kind::ProjectPermissions(project) => projects::permissions(view, project, info),
            Kind::Repository(project) => projects::repository(view, project, info),
            Kind::Group(group) => groups::group(view, group, info)?,
            Kind::GroupPermissions(group) => groups::permissions(view, group, info),
            Kind::Namespace(namespace) => groups::namespace(view, *namespace, info)?,
            Kind::CurrentUser(user) | Kind::User(user) => users::user(view, user, info),
            Kind::AccessLevel(level) => members::access_level(*level, info),
            Kind::Member(member, role) => members::member(view, member, *role, info),
            Kind::BranchRule(rule) => rule.resolve(view, info),
            Kind::Protection(protection) => protection.resolve(view, info)?,
            Kind::Variable(variable) => variables::variable(variable, info),
            Kind::TerraformState(state) => terraform::state(view, state, info),
            Kind::TerraformStateVersion(version) => terraform::version(view, version, info),
        };
        resolved.ok_or_else(|| self.unknown_field_error(info))
    }
}

/// A failed field, in GitLab's words.
pub fn failed(message: impl Into<String>) -> FieldError {
    FieldError {
        message: message.into(),
    }
}

/// A time as GitLab's GraphQL writes it: to the second.
pub fn time<'a>(at: Timestamp) -> ResolvedValue<'a> {
    ResolvedValue::leaf(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A global id.
pub fn gid<'a>(model: &str, id: u64) -> ResolvedValue<'a> {
    ResolvedValue::leaf(format!("gid://gitlab/{model}/{id}"))
}

/// The arguments of a field, after coercion.
pub trait Arguments {
    fn text(&self, name: &str) -> Option<&str>;
    fn flag(&self, name: &str) -> Option<bool>;
    fn int(&self, name: &str) -> Option<i64>;
    fn texts(&self, name: &str) -> Option<Vec<&str>>;
}

impl Arguments for ResolveInfo<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.arguments().get(name)?.as_str()
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.arguments().get(name)?.as_bool()
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.arguments().get(name)?.as_i64()
    }

    fn texts(&self, name: &str) -> Option<Vec<&str>> {
        let items = self.arguments().get(name)?.as_array()?;
        Some(items.iter().filter_map(|item| item.as_str()).collect())
    }
}

/// The records that the argument `ids` names, all of which must be of `model`.
pub fn ids(info: &ResolveInfo<'_>, model: &str) -> Result<Option<Vec<u64>>, FieldError> {
    let Some(texts) = info.texts("ids") else {
        return Ok(None);
    };
    let parse = |text: &&str| match parse_global_id(text) {
        Some((found, id)) if found == model => Ok(id),
        Some(_) => Err(failed(format!("{text} is not a valid ID for {model}."))),
        None => Err(failed(format!("{text} is not a valid GitLab ID."))),
    };
    texts.iter().map(parse).collect::<Result<_, _>>().map(Some)
}
