//! The kinds `group_member` and `repo_member`: who is in a group or repo themselves, in which role, and until when.
//!
//! Inherited memberships are the group's above, and never touched here.

mod observe;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::group::Group;
use super::repo::Repo;
use super::within::{Holder, In};
use super::{Access, Applied, Context, Error, Observed, On, Role, Scope, Task};
use crate::core::{Action, Address, Among, Change, Fields, Impact, Key, Path};
use crate::live::gitlab::{Kind as Fault, Reader, segment};

/// Who is in a group.
pub type GroupMember = In<Member, Group>;
/// Who is in a repo.
pub type RepoMember = In<Member, Repo>;

/// A member. The key is the user's name; `alice: developer` is short for `alice: {access_level: developer}`.
///
/// Only direct members are meant: who is a member by way of a group above is not. Bots, and who an identity provider put
/// there, are never removed for not being declared, and neither is who AutoGit acts as.
/// Source: <https://docs.gitlab.com/api/project_members/>.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-key" = "alice", "examples" = [{"access_level": "developer", "expires_at": "2027-01-31"}]))]
pub struct Member {
    /// The role.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_level: Option<Level>,
    /// The day on which the membership ends; empty: it does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"), extend("examples" = ["2027-01-31"]))]
    expires_at: Option<String>,
}

/// A role, from the one with the fewest rights to the one with the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    Guest,
    Planner,
    Reporter,
    Developer,
    Maintainer,
    Owner,
}

impl Level {
    const ALL: [(Level, u64); 6] = [
        (Level::Guest, 10),
        (Level::Planner, 15),
        (Level::Reporter, 20),
        (Level::Developer, 30),
        (Level::Maintainer, 40),
        (Level::Owner, 50),
    ];

    /// GitLab's number for it.
    fn number(self) -> u64 {
        Level::ALL
            .iter()
            .find(|(role, _)| *role == self)
            .map_or(0, |(_, number)| *number)
    }

    /// The role that a field names.
    fn of(value: &Value) -> Option<Level> {
        serde_json::from_value(value.clone()).ok()
    }
}

/// What has members of its own.
pub trait HasMembers: Holder {
    /// The kind of its members.
    const MEMBER: &'static str;
    /// Its list of them in GraphQL.
    const LIST: &'static str;
    /// What seeing them takes.
    const TO_SEE: Access;
    /// What changing them takes.
    const TO_CHANGE: Access;
    /// Whether it needs an owner of its own, unless it stands in something that has one.
    const NEEDS_OWNER: bool;
    /// What to say at a removal, so that GitLab does not end the memberships in everything below, too.
    const HERE_ALONE: &'static [(&'static str, &'static str)];
}

impl HasMembers for Group {
    const MEMBER: &'static str = "group_member";
    const LIST: &'static str = "groupMembers";
    const TO_SEE: Access = Access::new(Role::Guest, On::Group);
    const TO_CHANGE: Access = Access::new(Role::Owner, On::Group);
    const NEEDS_OWNER: bool = true;
    const HERE_ALONE: &'static [(&'static str, &'static str)] = &[("skip_subresources", "true")];
}

impl HasMembers for Repo {
    const MEMBER: &'static str = "repo_member";
    const LIST: &'static str = "projectMembers";
    const TO_SEE: Access = Access::new(Role::Guest, On::Repo);
    const TO_CHANGE: Access = Access::new(Role::Maintainer, On::Repo).and(Role::Owner, "for its owners");
    const NEEDS_OWNER: bool = false;
    const HERE_ALONE: &'static [(&'static str, &'static str)] = &[];
}

impl<H: HasMembers> super::Kind for In<Member, H> {
    const NAME: &'static str = H::MEMBER;
    const READ: Access = H::TO_SEE;
    const WRITE: Access = H::TO_CHANGE;
    const SHORTHAND: Option<&'static str> = Some("access_level");
    const POLICY: bool = true;

    fn check_key(key: &Key) -> Result<(), String> {
        let name = key.name();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        match name.chars().find(|c| !allowed(*c)) {
            Some('@') => Err(format!(
                "`{name}` is no username: members are named as they sign in, without `@`"
            )),
            Some(c) => Err(format!("`{name}` holds {c:?}, which no username does")),
            None => Ok(()),
        }
    }

    fn lacks(fields: &Fields) -> Option<&'static str> {
        (!fields.contains_key("access_level"))
            .then_some("it is no member yet, and no `access_level` says as what it is to be one")
    }

    fn needs(key: &Key, _value: Option<&Fields>) -> Vec<Address> {
        vec![H::of(key)]
    }

    fn impact(change: &Change) -> Impact {
        match change.field.as_str() {
            "" if change.after.is_none() => Impact::LocksOut,
            "access_level" => {
                let role = |value: &Option<Value>| value.as_ref().and_then(Level::of);
                // Below Reporter the code of a private repo is not shown.
                let opening = match role(&change.before) {
                    Some(before) if before >= Level::Reporter => Impact::Weakens,
                    _ => Impact::Exposes,
                };
                Impact::of_opening(&role(&change.before), &role(&change.after), opening)
            }
            "expires_at" if sooner(change) => Impact::Tightens,
            "expires_at" => Impact::Weakens,
            _ => Impact::Neutral,
        }
    }

    /// A new member of what is there already sees what they did not, and the acting user must not lose what they work with.
    fn among(among: &Among) -> Impact {
        let Some(found) = among.found else {
            return match among.parent_is_there {
                true => Impact::Exposes,
                false => Impact::Neutral,
            };
        };
        let less = |fields: &Fields| {
            let role = |fields: &Fields| fields.get("access_level").and_then(Level::of);
            let ends = |fields: &Fields| fields.get("expires_at").is_some_and(|day| day != "");
            role(fields).is_some_and(|asked| Some(asked) < role(&found.value)) || ends(fields)
        };
        match found.raw["acting"] == true && among.fields.is_none_or(less) {
            true => Impact::LocksOut,
            false => Impact::Neutral,
        }
    }

    fn leaves(path: &Path, left: &[&Fields]) -> Option<&'static str> {
        let owner = |fields: &&Fields| fields.get("access_level").and_then(Level::of) == Some(Level::Owner);
        (H::NEEDS_OWNER && path.parent().is_none() && !left.iter().any(owner)).then_some(
            "the group would be left without an owner, which GitLab refuses: declare another owner first",
        )
    }

    /// A group is never without an owner, not even in passing.
    fn first(fields: &Fields) -> bool {
        fields.get("access_level").and_then(Level::of) == Some(Level::Owner)
    }

    async fn observe(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
        observe::observe::<H>(cx, scope).await
    }

    async fn apply(cx: &Context, task: &Task<'_>) -> Result<Applied, Error> {
        let key = &task.step.address.key;
        let holder = cx.id_of(&H::of(key))?;
        let members = format!("/{}/{}/members", H::PLURAL, segment(&holder));
        // A member is known by the holder's id and the user's.
        let member = |id: &str| format!("{members}/{}", segment(id.rsplit(':').next().unwrap_or(id)));
        let answer = match (task.step.action, &task.step.id) {
            (Action::Create, _) => create(cx, &members, key.name(), &task.step.value).await?,
            (Action::Delete, Some(id)) => {
                cx.writer.delete(&member(id), H::HERE_ALONE).await?;
                return Ok(Applied::default());
            }
            (_, Some(id)) => {
                // GitLab asks for the role whatever is to be changed.
                let mut fields = task.live.map(|live| live.value.clone()).unwrap_or_default();
                fields.extend(task.step.value.clone());
                cx.writer.put(&member(id), request(&fields)).await?
            }
            (_, None) => return Err(Error::Refused("the plan does not name its id: plan again".into())),
        };
        Ok(observe::applied(&holder, &answer))
    }
}

/// Whether a membership comes to end earlier than before.
fn sooner(change: &Change) -> bool {
    fn day(text: &str) -> (bool, &str) {
        // What does not end comes last.
        (text.is_empty(), text)
    }
    day(change.after_str()) < day(change.before_str())
}

/// Fields as GitLab takes them.
fn request(fields: &Fields) -> Value {
    let mut body = json!({});
    if let Some(role) = fields.get("access_level").and_then(Level::of) {
        body["access_level"] = role.number().into();
    }
    if let Some(day) = fields.get("expires_at") {
        body["expires_at"] = day.clone();
    }
    body
}

/// Adds a member.
async fn create(cx: &Context, members: &str, username: &str, fields: &Fields) -> Result<Value, Error> {
    let add = |by: &str, who: Value| {
        let mut fields = fields.clone();
        fields.retain(|_, value| value != "");
        let mut body = request(&fields);
        body[by] = who;
        cx.writer.post(members, body)
    };
    match add("username", username.into()).await {
        Err(error) if error.kind() == Fault::Conflict => match acting(cx, members, username).await? {
            Some(there) if observe::applied("", &there).value == with_defaults(fields) => Ok(there),
            Some(there) => Ok(cx
                .writer
                .put(&format!("{members}/{}", there["id"]), request(fields))
                .await?),
            None => Err(error.into()),
        },
        // An older GitLab takes ids alone.
        Err(error) if error.kind() == Fault::Invalid && error.to_string().contains("user_id") => {
            let found: Value = cx
                .writer
                .reader()
                .get("/users", &[("username", username)])
                .await?;
            Ok(add("user_id", found[0]["id"].clone()).await?)
        }
        created => Ok(created?),
    }
}

/// The membership that is there, if it is the acting user's: GitLab makes them a member of what they make. Who else is
/// there was put there by somebody.
async fn acting(cx: &Context, members: &str, username: &str) -> Result<Option<Value>, Error> {
    let me: Value = cx.writer.reader().get("/user", &[]).await?;
    let is_me = me["username"]
        .as_str()
        .is_some_and(|name| name.eq_ignore_ascii_case(username));
    match is_me {
        true => Ok(Some(
            cx.writer
                .reader()
                .get(&format!("{members}/{}", me["id"]), &[])
                .await?,
        )),
        false => Ok(None),
    }
}

/// What a new member is with these fields.
fn with_defaults(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    fields.entry("expires_at").or_insert_with(|| "".into());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Present;
    use crate::kinds::Kind;

    fn fields(value: Value) -> Fields {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn more_rights_have_to_be_allowed_and_fewer_do_not() {
        let judge = |field: &str, before: &str, after: &str| {
            RepoMember::impact(&Change::new(field, Some(before.into()), Some(after.into())))
        };
        assert_eq!(judge("access_level", "guest", "developer"), Impact::Exposes);
        assert_eq!(judge("access_level", "reporter", "owner"), Impact::Weakens);
        assert_eq!(judge("access_level", "owner", "guest"), Impact::Tightens);
        assert_eq!(judge("expires_at", "", "2027-01-01"), Impact::Tightens);
        assert_eq!(judge("expires_at", "2027-01-01", "2027-02-01"), Impact::Weakens);
        assert_eq!(judge("expires_at", "2027-01-01", ""), Impact::Weakens);
    }

    #[test]
    fn the_acting_user_is_not_locked_out_in_passing() {
        let found = |acting: bool| Present {
            value: fields(json!({"access_level": "owner", "expires_at": ""})),
            raw: json!({"acting": acting}),
            ..Present::default()
        };
        let judge = |acting: bool, asked: Option<Value>| {
            GroupMember::among(&Among {
                key: &Key::within("team", "alice"),
                fields: asked.map(fields).as_ref(),
                found: Some(&found(acting)),
                beside: &[],
                parent_is_there: true,
            })
        };
        let (less, same) = (json!({"access_level": "guest"}), json!({"access_level": "owner"}));
        for (acting, asked, impact) in [
            (true, None, Impact::LocksOut),
            (true, Some(less.clone()), Impact::LocksOut),
            (true, Some(json!({"expires_at": "2027-01-01"})), Impact::LocksOut),
            (true, Some(same), Impact::Neutral),
            (false, Some(less), Impact::Neutral),
        ] {
            assert_eq!(judge(acting, asked.clone()), impact, "{acting} {asked:?}");
        }
    }

    #[test]
    fn a_top_level_group_keeps_an_owner() {
        let (owner, guest) = (
            fields(json!({"access_level": "owner"})),
            fields(json!({"access_level": "guest"})),
        );
        assert!(GroupMember::leaves(&"team".into(), &[&guest]).is_some());
        assert!(GroupMember::leaves(&"team".into(), &[&guest, &owner]).is_none());
        assert!(
            GroupMember::leaves(&"team/sub".into(), &[]).is_none(),
            "its owners are those of the group above"
        );
        assert!(RepoMember::leaves(&"team/api".into(), &[]).is_none());
    }
}
