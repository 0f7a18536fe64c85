//! Who is a member of a group or project, by themselves, through the groups above, or through groups it is shared with.

use std::collections::BTreeMap;

use crate::store::{Group, GroupLink, Member, Project, Source, Store};

/// A membership, and the role that it gives where one asks.
pub type Held<'a> = (&'a Member, u8);

/// Which memberships count.
#[derive(Clone, Copy, Default)]
pub struct Relations {
    pub direct: bool,
    /// Of the groups above.
    pub inherited: bool,
    /// Of the groups below.
    pub descendants: bool,
    /// Of groups that the group or one above it is shared with.
    pub shared: bool,
    /// Of groups that the project itself is shared with.
    pub invited: bool,
}

impl Relations {
    /// What the members of a group or project are by all ways from above.
    pub const ALL: Self = Self {
        direct: true,
        inherited: true,
        descendants: false,
        shared: true,
        invited: true,
    };
}

impl Store {
    /// The groups that something is shared with, while that lasts.
    pub fn links(&self, source: Source) -> impl Iterator<Item = &GroupLink> {
        let lasts = |link: &&GroupLink| link.expires_at.is_none_or(|day| day > crate::auth::today());
        self.group_links.children(source).filter(lasts)
    }

    fn direct_members(&self, group: &Group) -> impl Iterator<Item = Held<'_>> {
        let members = self.members.children(Source::Group(group.id));
        members.map(|member| (member, member.access_level))
    }

    /// The members of a group, each user once: of several memberships the one with the highest role.
    pub fn members_of_group<'a>(&'a self, group: &'a Group, relations: Relations) -> Vec<Held<'a>> {
        let mut best: BTreeMap<u64, Held<'a>> = BTreeMap::new();
        let mut consider = |held: Held<'a>| {
            let known = best.entry(held.0.user_id).or_insert(held);
            if held.1 > known.1 {
                *known = held;
            }
        };
        if relations.direct {
            self.direct_members(group).for_each(&mut consider);
        }
        if relations.inherited {
            for group in self.ancestry(group.id).skip(1) {
                self.direct_members(group).for_each(&mut consider);
            }
        }
        if relations.descendants {
            for group in self.self_and_descendants(group).into_iter().skip(1) {
                self.direct_members(group).for_each(&mut consider);
            }
        }
        if relations.shared {
            for link in self
                .ancestry(group.id)
                .flat_map(|group| self.links(Source::Group(group.id)))
            {
                for member in self.members.children(Source::Group(link.group_id)) {
                    consider((member, member.access_level.min(link.access_level)));
                }
            }
        }
        best.into_values().collect()
    }

    /// The members of a project, each user once: the direct membership before the group's, before those of groups that
    /// the project is shared with, each with the role that all of them together give. GitLab always looks at the
    /// project's group, unless only direct ones are asked for.
    pub fn members_of_project(&self, project: &Project, relations: Relations) -> Vec<Held<'_>> {
        let mut first: BTreeMap<u64, Held<'_>> = BTreeMap::new();
        let group = self.group_of(project);
        let source = Source::Project(project.id);
        if relations.direct || (group.is_none() && !relations.invited) {
            let members = self.members.children(source);
            first.extend(members.map(|member| (member.user_id, (member, member.access_level))));
        }
        let of_group = group.map(|group| {
            let above = Relations {
                direct: true,
                inherited: true,
                ..relations
            };
            self.members_of_group(group, above)
        });
        let links = self.links(source).filter(|_| relations.invited);
        let invited = links.flat_map(|link| self.ancestry(link.group_id));
        let invited = invited.flat_map(|group| self.direct_members(group));
        for held in of_group.into_iter().flatten().chain(invited) {
            first.entry(held.0.user_id).or_insert(held);
        }
        for (member, level) in first.values_mut() {
            let role = self.project_role(self.users.get(member.user_id), project);
            *level = if role > 0 { role } else { *level };
        }
        first.into_values().collect()
    }
}
