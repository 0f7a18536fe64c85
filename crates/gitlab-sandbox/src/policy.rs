//! What a user may do, by role: the part of GitLab's policies that the served routes ask.

use crate::store::{Group, Project, Source, Store, User, Visibility};

pub const GUEST: u8 = 10;
pub const PLANNER: u8 = 15;
pub const REPORTER: u8 = 20;
pub const DEVELOPER: u8 = 30;
pub const MAINTAINER: u8 = 40;
pub const OWNER: u8 = 50;

/// Something a user may or may not do to a project or a group, as GitLab's policies name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    ReadProject,
    /// Clone, and read files and protected branches.
    ReadCode,
    PushCode,
    ReadProjectMember,
    AdminProject,
    AdminProjectMember,
    /// Read and change CI/CD variables, of a project or a group.
    AdminCicdVariables,
    RenameProject,
    ChangeVisibilityLevel,
    ChangeNamespace,
    ArchiveProject,
    RemoveProject,
    ForkProject,
    ReadMergeRequest,
    /// From a branch of the project.
    CreateMergeRequestFrom,
    /// Into a branch of the project.
    CreateMergeRequestIn,
    UpdateMergeRequest,
    CreateNote,
    AdminNote,
    ReadInternalNote,
    ReadTerraformState,
    AdminTerraformState,
    ReadGroup,
    ReadGroupMember,
    AdminGroup,
    AdminGroupMember,
    InviteGroupMembers,
    /// Transfer it.
    ChangeGroup,
    RemoveGroup,
    CreateSubgroup,
    CreateProjects,
}

/// What an ability is about.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    Group(&'a Group),
    Project(&'a Project),
}

impl<'a> From<&'a Group> for Subject<'a> {
    fn from(group: &'a Group) -> Self {
        Self::Group(group)
    }
}

impl<'a> From<&'a Project> for Subject<'a> {
    fn from(project: &'a Project) -> Self {
        Self::Project(project)
    }
}

impl Store {
    /// Whether `user` (`None`: an anonymous visitor) may do this.
    pub fn can<'a>(&self, user: Option<&User>, ability: Ability, subject: impl Into<Subject<'a>>) -> bool {
        match subject.into() {
            Subject::Group(group) => self.can_group(user, ability, group),
            Subject::Project(project) => self.can_project(user, ability, project),
        }
    }

    fn can_project(&self, user: Option<&User>, ability: Ability, project: &Project) -> bool {
        let role = self.project_role(user, project);
        let admin = user.is_some_and(|user| user.admin);
        let visible = admin || role >= GUEST || sees(user, project.visibility);
        let writable = !self.is_archived(project) && project.marked_for_deletion_on.is_none();
        let at_least = |level: u8| admin || role >= level;
        match ability {
            Ability::ReadProject | Ability::ReadProjectMember => visible,
            Ability::ReadCode => {
                let private = project.settings.get("repository_access_level");
                match private.and_then(|level| level.as_str()) {
                    Some("disabled") => false,
                    _ if project.visibility == Visibility::Private => at_least(REPORTER),
                    Some("private") => at_least(GUEST),
                    _ => visible,
                }
            }
            Ability::PushCode => writable && at_least(DEVELOPER),
            Ability::AdminProject | Ability::AdminProjectMember | Ability::RenameProject => {
                at_least(MAINTAINER)
            }
            // Where there is no CI, GitLab keeps its variables from administrators too.
            Ability::AdminCicdVariables => {
                let is_off = |feature: &str| {
                    let level = project.settings.get(feature).and_then(|level| level.as_str());
                    level == Some("disabled")
                };
                let off = is_off("builds_access_level") || is_off("repository_access_level");
                !off && at_least(MAINTAINER)
            }
            Ability::ReadTerraformState | Ability::AdminTerraformState => {
                let level = project.settings.get("infrastructure_access_level");
                let needed = match ability {
                    Ability::ReadTerraformState => DEVELOPER,
                    _ => MAINTAINER,
                };
                level.is_none_or(|level| level != "disabled") && at_least(needed)
            }
            Ability::ReadMergeRequest
            | Ability::CreateMergeRequestFrom
            | Ability::CreateMergeRequestIn
            | Ability::UpdateMergeRequest
            | Ability::CreateNote
            | Ability::AdminNote
            | Ability::ReadInternalNote => self.can_merge_request(user, ability, project),
            Ability::ForkProject => {
                let off = |feature: &str| {
                    project.settings.get(feature).and_then(|level| level.as_str()) == Some("disabled")
                };
                let members_only = project.settings.get("forking_access_level");
                let members_only = members_only.is_some_and(|level| level == "private");
                let may = at_least(REPORTER) || (user.is_some() && sees(user, project.visibility));
                let allowed = !members_only || at_least(GUEST);
                may && allowed && !off("forking_access_level") && !off("repository_access_level")
            }
            Ability::ChangeNamespace => writable && at_least(OWNER),
            Ability::ChangeVisibilityLevel | Ability::ArchiveProject | Ability::RemoveProject => {
                at_least(OWNER)
            }
            _ => false,
        }
    }

    /// Abilities that have to do with merge requests and the notes on them.
    fn can_merge_request(&self, user: Option<&User>, ability: Ability, project: &Project) -> bool {
        let role = self.project_role(user, project);
        let admin = user.is_some_and(|user| user.admin);
        let at_least = |level: u8| admin || role >= level;
        let feature = |name: &str| project.settings.get(name).and_then(|level| level.as_str());
        let off = |name: &str| feature(name) == Some("disabled");
        if off("merge_requests_access_level") || off("repository_access_level") {
            return false;
        }
        let members_only = feature("merge_requests_access_level") == Some("private");
        let public = sees(user, project.visibility) && !members_only;
        let reads = at_least(REPORTER) || (role == PLANNER && !members_only) || public;
        let writable = !self.is_archived(project);
        // Whoever is signed in is a guest of what they see.
        let guest = user.is_some() && (at_least(GUEST) || sees(user, project.visibility));
        match ability {
            Ability::ReadMergeRequest => reads,
            Ability::CreateMergeRequestFrom | Ability::UpdateMergeRequest => writable && at_least(DEVELOPER),
            Ability::CreateMergeRequestIn => {
                let planner = project.visibility == Visibility::Private && role == PLANNER && !admin;
                writable && guest && !planner && self.can_project(user, Ability::ReadCode, project)
            }
            Ability::CreateNote => writable && guest && reads,
            Ability::AdminNote => writable && at_least(MAINTAINER),
            Ability::ReadInternalNote => at_least(PLANNER),
            _ => false,
        }
    }

    fn can_group(&self, user: Option<&User>, ability: Ability, group: &Group) -> bool {
        let role = self.group_role(user, group.id);
        let admin = user.is_some_and(|user| user.admin);
        let writable = self.ancestry(group.id).all(|group| !group.archived);
        let at_least = |level: u8| admin || role >= level;
        match ability {
            Ability::CreateSubgroup
            | Ability::CreateProjects
            | Ability::ChangeGroup
            | Ability::InviteGroupMembers
            | Ability::AdminCicdVariables
                if !writable =>
            {
                false
            }
            Ability::ReadGroup | Ability::ReadGroupMember => {
                at_least(GUEST)
                    || sees(user, group.visibility)
                    || user.is_some_and(|user| self.is_member_below(user, group))
            }
            Ability::AdminGroup
            | Ability::AdminGroupMember
            | Ability::AdminCicdVariables
            | Ability::InviteGroupMembers
            | Ability::ChangeGroup
            | Ability::RemoveGroup => at_least(OWNER),
            Ability::CreateSubgroup => match group
                .settings
                .get("subgroup_creation_level")
                .and_then(|level| level.as_str())
            {
                Some("owner") => at_least(OWNER),
                _ => at_least(MAINTAINER),
            },
            Ability::CreateProjects => match group
                .settings
                .get("project_creation_level")
                .and_then(|level| level.as_str())
            {
                Some("noone") => false,
                Some("administrator") => admin,
                Some("owner") => at_least(OWNER),
                Some("maintainer") => at_least(MAINTAINER),
                _ => at_least(DEVELOPER),
            },
            _ => false,
        }
    }

    /// The highest role in the project, direct or inherited; 0 for none. An admin's own membership counts only.
    pub fn project_role(&self, user: Option<&User>, project: &Project) -> u8 {
        let Some(user) = user else { return 0 };
        if user.namespace_id == project.namespace_id {
            return OWNER;
        }
        let shared = self
            .links(Source::Project(project.id))
            .map(|link| self.group_role(Some(user), link.group_id).min(link.access_level));
        self.membership(Source::Project(project.id), user.id)
            .max(self.group_role(Some(user), project.namespace_id))
            .max(shared.max().unwrap_or(0))
    }

    /// The highest role in the group: direct, inherited, or as a member of a group that it is shared with; 0 for none.
    pub fn group_role(&self, user: Option<&User>, group_id: u64) -> u8 {
        let Some(user) = user else { return 0 };
        let member_of = |group_id: u64| self.membership(Source::Group(group_id), user.id);
        let role = |group: &Group| {
            let shared = self
                .links(Source::Group(group.id))
                .map(|link| member_of(link.group_id).min(link.access_level));
            shared.max().unwrap_or(0).max(member_of(group.id))
        };
        self.ancestry(group_id).map(role).max().unwrap_or(0)
    }

    /// The role given directly in one group or project; 0 for none or expired.
    fn membership(&self, source: Source, user_id: u64) -> u8 {
        self.members
            .find(&(source, user_id))
            .filter(|member| member.expires_at.is_none_or(|day| day > crate::auth::today()))
            .map_or(0, |member| member.access_level)
    }

    /// Whether the user is a member of a project or group below: then the group itself is readable.
    fn is_member_below(&self, user: &User, group: &Group) -> bool {
        self.projects
            .children(group.id)
            .any(|project| self.membership(Source::Project(project.id), user.id) > 0)
            || self.groups.children(Some(group.id)).any(|child| {
                self.membership(Source::Group(child.id), user.id) > 0 || self.is_member_below(user, child)
            })
    }

    /// Whether the project or a group above it is archived.
    pub fn is_archived(&self, project: &Project) -> bool {
        project.archived || self.ancestry(project.namespace_id).any(|group| group.archived)
    }

    /// The group and all groups below it.
    pub fn self_and_descendants<'a>(&'a self, group: &'a Group) -> Vec<&'a Group> {
        let mut found = vec![group];
        let mut next = 0;
        while let Some(group) = found.get(next).copied() {
            found.extend(self.groups.children(Some(group.id)));
            next += 1;
        }
        found
    }
}

/// Whether the user sees what is that visible without being a member.
pub fn sees(user: Option<&User>, visibility: Visibility) -> bool {
    match visibility {
        Visibility::Public => true,
        Visibility::Internal => user.is_some_and(|user| !user.external),
        Visibility::Private => false,
    }
}
