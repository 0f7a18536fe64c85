//! The kind `protected_branch`: who may push to, merge into and force-push a branch, or all that match a wildcard.
//!
//! A rule is changed in one step, so that no moment is more open than both before and after:
//! by GraphQL, which replaces a whole protection; where that is refused, behind a guard rule that lets nobody in.

mod observe;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Access, Applied, Context, Error, Observed, On, Role, Scope, Task};
use crate::config::FieldProblem;
use crate::core::{Action, Address, Among, Change, Fields, Impact, Key, Present, Reason};
use crate::live::gitlab::{Kind as Fault, Reader, Writer, segment};

/// The key that stands for the default branch, whatever its name.
const DEFAULT: &str = "@default";

/// A protected branch. Its key is the branch's name, a wildcard such as `release/*`, or `@default` for the default branch.
///
/// Rules that match the same branch combine to the most permissive.
/// Deploy keys, users and groups that GitLab lists on a protection are kept as they are.
/// Source: <https://docs.gitlab.com/api/protected_branches/>.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-key" = "main", "examples" = [{"push_access_level": "no_one", "merge_access_level": "maintainer"}]))]
pub struct ProtectedBranch {
    /// From which role up people may push. GitLab's default: maintainer.
    #[serde(skip_serializing_if = "Option::is_none")]
    push_access_level: Option<Level>,
    /// From which role up people may merge. GitLab's default: maintainer.
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_access_level: Option<Level>,
    /// Whether who may push may also force-push. GitLab's default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_force_push: Option<bool>,
    /// Whether pushes that change files with code owners are refused. Enterprise Edition only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-edition" = "ee"))]
    code_owner_approval_required: Option<bool>,
}

/// From which role up something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// Nobody.
    NoOne,
    /// Developers and up.
    Developer,
    /// Maintainers and up.
    Maintainer,
    /// Administrators of the instance.
    Admin,
}

impl Level {
    const ALL: [Level; 4] = [Level::NoOne, Level::Admin, Level::Maintainer, Level::Developer];

    /// GitLab's number for it.
    fn number(self) -> u64 {
        match self {
            Level::NoOne => 0,
            Level::Developer => 30,
            Level::Maintainer => 40,
            Level::Admin => 60,
        }
    }

    /// The level of this number.
    fn of(number: u64) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.number() == number)
    }
}

impl super::Kind for ProtectedBranch {
    const NAME: &'static str = "protected_branch";
    const READ: Access = Access::new(Role::Maintainer, On::Repo);
    const WRITE: Access = Access::new(Role::Maintainer, On::Repo);

    fn check_key(key: &Key) -> Result<(), String> {
        let name = key.name();
        let wrong = |c: char| c.is_ascii_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '[' | '\\');
        if name.starts_with('@') && name != DEFAULT {
            Err(format!(
                "`{name}` is not a branch: `{DEFAULT}` is the only name with a meaning of its own"
            ))
        } else if let Some(c) = name.chars().find(|c| wrong(*c)) {
            Err(format!(
                "`{name}` holds {c:?}, which git allows in no branch name"
            ))
        } else if name.contains("..")
            || name.starts_with('/')
            || name.ends_with(['/', '.'])
            || name.ends_with(".lock")
        {
            Err(format!("`{name}` is no branch name that git allows"))
        } else {
            Ok(())
        }
    }

    fn check(&self) -> Vec<FieldProblem> {
        let may_force = self.allow_force_push == Some(true) && self.push_access_level == Some(Level::NoOne);
        let message =
            "`allow_force_push: true` means nothing where `push_access_level` is `no_one`".to_owned();
        may_force
            .then(|| FieldProblem {
                field: "allow_force_push".into(),
                message,
            })
            .into_iter()
            .collect()
    }

    fn needs(key: &Key, _value: Option<&Fields>) -> Vec<Address> {
        vec![Address::new("repo", Key::top(key.path.clone()))]
    }

    fn impact(change: &Change) -> Impact {
        match (change.field.as_str(), &change.after) {
            ("", None) => Impact::Weakens,
            ("", Some(_)) => Impact::Tightens,
            ("push_access_level" | "merge_access_level", _) => super::repo::opening(
                change,
                &["no_one", "admin", "maintainer", "developer"],
                Impact::Weakens,
            ),
            ("allow_force_push", _) => super::repo::opening(change, &["false", "true"], Impact::Weakens),
            _ => super::repo::opening(change, &["true", "false"], Impact::Weakens),
        }
    }

    /// Rules that match the same branch combine to the most permissive, so a new one can open what another closes.
    fn among(among: &Among) -> Impact {
        let (Some(fields), None) = (among.fields, among.found) else {
            return Impact::Neutral;
        };
        let name = match among.key.name() {
            DEFAULT => "main",
            name => name,
        };
        let opens = |found: &Present| {
            let other = found.raw["name"].as_str().unwrap_or_default();
            overlap(name, other)
                && openness(fields)
                    .iter()
                    .zip(openness(&found.value))
                    .any(|(new, old)| *new > old)
        };
        match among.beside.iter().any(|(_, found)| opens(found)) {
            true => Impact::Weakens,
            false => Impact::Neutral,
        }
    }

    async fn observe(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
        observe::observe(cx, scope).await
    }

    async fn apply(cx: &Context, task: &Task<'_>) -> Result<Applied, Error> {
        let rule = Rule::locate(cx, task).await?;
        match (task.step.action, task.live) {
            (Action::Delete, _) => {
                match cx.writer.delete(&rule.at(), &[]).await {
                    // The change that it guarded was done first, and took it along.
                    Err(error)
                        if error.kind() == Fault::NotFound && task.step.reason == Reason::LeftoverGuard => {}
                    done => done?,
                }
                Ok(Applied::default())
            }
            (Action::Create, _) => match rule.create(&cx.writer, &task.step.value).await {
                // GitLab protects a new default branch by itself, maybe just now; what else is there is somebody's.
                Err(Error::Gitlab(error))
                    if error.kind() == Fault::Conflict && rule.is_default(&cx.writer).await? =>
                {
                    rule.change(cx, task).await
                }
                done => done,
            },
            (_, Some(live)) if task.step.changes.is_empty() => Ok(Applied {
                id: live.id.clone(),
                value: live.value.clone(),
            }),
            (_, Some(_)) => rule.change(cx, task).await,
            (_, None) => Err(Error::Refused("it is not there any more: plan again".into())),
        }
    }
}

/// Whether some branch could match both names; wildcards as GitLab reads them.
fn overlap(one: &str, other: &str) -> bool {
    let ends = |name: &str| -> Option<(String, String)> {
        let (start, rest) = name.split_once('*')?;
        Some((
            start.to_owned(),
            rest.rsplit('*').next().unwrap_or_default().to_owned(),
        ))
    };
    let fits = |name: &str, (start, end): &(String, String)| {
        name.len() >= start.len() + end.len()
            && name.starts_with(start.as_str())
            && name.ends_with(end.as_str())
    };
    match (ends(one), ends(other)) {
        (None, None) => one == other,
        (Some(ends), None) => fits(other, &ends),
        (None, Some(ends)) => fits(one, &ends),
        (Some(one), Some(other)) => {
            (one.0.starts_with(&other.0) || other.0.starts_with(&one.0))
                && (one.1.ends_with(&other.1) || other.1.ends_with(&one.1))
        }
    }
}

/// How open a rule is to pushes, merges and force pushes; what is not declared is GitLab's default.
fn openness(fields: &Fields) -> [usize; 3] {
    let rank = |field: &str| {
        let level = fields.get(field).and_then(level).unwrap_or(Level::Maintainer);
        Level::ALL
            .iter()
            .position(|other| *other == level)
            .unwrap_or_default()
    };
    let force = fields.get("allow_force_push") == Some(&Value::Bool(true));
    [
        rank("push_access_level"),
        rank("merge_access_level"),
        usize::from(force),
    ]
}

/// One rule of one repo, by the name it has in GitLab.
struct Rule {
    project: String,
    name: String,
    /// It was found by being the default branch.
    is_default: bool,
}

impl Rule {
    /// Finds the repo's id and, for the default branch, its name.
    async fn locate(cx: &Context, task: &Task<'_>) -> Result<Rule, Error> {
        let key = &task.step.address.key;
        let project = cx.id_of(&Address::new("repo", Key::top(key.path.clone())))?;
        let found = task.live.and_then(|live| live.raw["name"].as_str());
        let name = match (found, key.name()) {
            (Some(name), _) => name.to_owned(),
            (None, DEFAULT) => default_branch(&cx.writer, &project).await?.ok_or_else(|| {
                Error::Refused(format!(
                    "{} has no default branch yet: push one, or name the branch",
                    key.path
                ))
            })?,
            (None, name) => name.to_owned(),
        };
        let is_default = key.name() == DEFAULT;
        Ok(Rule {
            project,
            name,
            is_default,
        })
    }

    fn collection(&self) -> String {
        format!("/projects/{}/protected_branches", segment(&self.project))
    }

    fn at(&self) -> String {
        format!("{}/{}", self.collection(), segment(&self.name))
    }

    /// Makes the rule.
    async fn create(&self, writer: &Writer, value: &Fields) -> Result<Applied, Error> {
        let mut body = Fields::from_iter([("name".into(), self.name.as_str().into())]);
        for (field, asked) in value {
            let asked = level(asked).map_or_else(|| asked.clone(), |level| level.number().into());
            body.insert(field.clone(), asked);
        }
        let rule: Value = writer.post(&self.collection(), Value::Object(body)).await?;
        Ok(applied(&rule))
    }

    /// Whether it is the repo's default branch.
    async fn is_default(&self, writer: &Writer) -> Result<bool, Error> {
        Ok(self.is_default || default_branch(writer, &self.project).await?.as_ref() == Some(&self.name))
    }

    /// The rule as REST gives it, which names the deploy keys that GraphQL may leave out.
    async fn read(&self, writer: &Writer) -> Result<Value, Error> {
        Ok(writer.reader().get(&self.at(), &[]).await?)
    }

    /// Changes the rule in one step where GitLab can, behind a guard where not.
    async fn change(&self, cx: &Context, task: &Task<'_>) -> Result<Applied, Error> {
        let there = self.read(&cx.writer).await?;
        match self.replace_whole(&cx.writer, &there, &task.step.value).await {
            Err(Error::Gitlab(error)) if error.calls_for_rest() => {
                self.replace_guarded(cx, task, &there).await
            }
            done => done,
        }
    }

    /// Sends the whole protection by GraphQL: what is left out there is reset.
    async fn replace_whole(&self, writer: &Writer, there: &Value, value: &Fields) -> Result<Applied, Error> {
        let or_there = |field: &str| value.get(field).unwrap_or(&there[field]).clone();
        let mut protection = json!({
            "pushAccessLevels": levels(there, value, "push_access_level"),
            "mergeAccessLevels": levels(there, value, "merge_access_level"),
            "allowForcePush": or_there("allow_force_push"),
        });
        // Only the Enterprise Edition has it; left out, it is reset.
        if there.get("code_owner_approval_required").is_some() {
            protection["codeOwnerApprovalRequired"] = or_there("code_owner_approval_required");
        }
        let id = format!("gid://gitlab/Projects::BranchRule/{}", there["id"]);
        let input = json!({"id": id, "name": self.name, "branchProtection": protection});
        writer.mutate::<Value>(CHANGE, json!({"input": input})).await?;
        Ok(applied(&self.read(writer).await?))
    }

    /// Removes the rule and makes it anew, while a guard that matches the same branch lets nobody in.
    async fn replace_guarded(&self, cx: &Context, task: &Task<'_>, there: &Value) -> Result<Applied, Error> {
        let people_listed = LISTS.iter().any(|field| !people(there, field).is_empty());
        let unprotect = roles(there, "unprotect_access_level");
        if people_listed || unprotect.len() > 1 {
            return Err(Error::Refused(format!(
                "GitLab refused GraphQL's branchRuleUpdate, and REST cannot set again the deploy keys, users and \
                 groups that `{}` lists: change this rule by hand",
                self.name
            )));
        }
        let mut value = observe::fields(there);
        value.extend(task.step.value.clone());
        value.extend(
            unprotect
                .first()
                .map(|level| ("unprotect_access_level".to_owned(), (*level).into())),
        );
        let guard = Rule {
            project: self.project.clone(),
            name: format!("{}{GUARD}", self.name),
            is_default: false,
        };
        let address = Key::within(task.step.address.key.path.clone(), guard.name.as_str());
        let guarding = cx
            .writer
            .guarding(Address::new("protected_branch", address))
            .await?;
        let nobody = json!({"name": guard.name, "push_access_level": 0, "merge_access_level": 0});
        match guarding.post::<Value>(&guard.collection(), nobody).await {
            // An earlier attempt, whose outcome was not known, made it.
            Err(error) if error.kind() == Fault::Conflict => guard.expect_closed(&guarding).await?,
            made => {
                made?;
            }
        }
        cx.writer.delete(&self.at(), &[]).await?;
        let done = self.create(&cx.writer, &value).await?;
        guarding.delete(&guard.at(), &[]).await?;
        Ok(done)
    }

    /// Makes sure that the rule that bears a guard's name is one.
    async fn expect_closed(&self, writer: &Writer) -> Result<(), Error> {
        let there = observe::fields(&self.read(writer).await?);
        let closed = |field| there.get(field).and_then(level) == Some(Level::NoOne);
        match closed("push_access_level") && closed("merge_access_level") {
            true => Ok(()),
            false => Err(Error::Refused(format!(
                "`{}` stands where a guard was to stand in while this rule is replaced: remove that rule first",
                self.name
            ))),
        }
    }
}

/// What a guard's name has after that of its rule: it matches the same, and nobody writes it by hand.
const GUARD: &str = "**";

/// The name of a repo's default branch, once it has one.
async fn default_branch(writer: &Writer, project: &str) -> Result<Option<String>, Error> {
    let repo: Fields = writer
        .reader()
        .get(&format!("/projects/{}", segment(project)), &[])
        .await?;
    let name = repo.get("default_branch").and_then(Value::as_str);
    Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
}

/// Replaces a protection in one step. Source: GitLab's GraphQL reference, `Mutation.branchRuleUpdate`.
const CHANGE: &str = "mutation changeProtection($input: BranchRuleUpdateInput!) { branchRuleUpdate(input: $input) { errors } }";

/// The fields under which a rule lists who may do something.
const LISTS: [&str; 3] = [
    "push_access_level",
    "merge_access_level",
    "unprotect_access_level",
];

/// The levels to send for `field`: the role asked for, or the one there, and everybody listed beside roles.
fn levels(there: &Value, value: &Fields, field: &str) -> Value {
    let asked = value.get(field).and_then(level);
    let mut levels = people(there, field);
    match asked {
        Some(level) => levels.push(json!({"accessLevel": level.number()})),
        None => levels.extend(
            roles(there, field)
                .into_iter()
                .map(|number| json!({"accessLevel": number})),
        ),
    }
    Value::Array(levels)
}

fn level(value: &Value) -> Option<Level> {
    serde_json::from_value(value.clone()).ok()
}

/// The entries of `field` in a rule as REST gives it: `push_access_level` stands in `push_access_levels`.
fn entries<'a>(rule: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    rule[format!("{field}s")].as_array().into_iter().flatten()
}

/// Who an entry of a protection is for when it is not for a role: REST's name, GraphQL's name, GraphQL's type.
const PEOPLE: [(&str, &str, &str); 3] = [
    ("deploy_key_id", "deployKeyId", "DeployKey"),
    ("user_id", "userId", "User"),
    ("group_id", "groupId", "Group"),
];

/// The entries that are for a deploy key, a user or a group, as GraphQL takes them.
fn people(rule: &Value, field: &str) -> Vec<Value> {
    let named = |entry: &Value| {
        PEOPLE
            .iter()
            .find(|(rest, ..)| entry[rest].is_u64())
            .map(|(rest, graphql, kind)| json!({*graphql: format!("gid://gitlab/{kind}/{}", entry[rest])}))
    };
    entries(rule, field).filter_map(named).collect()
}

/// The numbers of the roles that `field` lists.
fn roles(rule: &Value, field: &str) -> Vec<u64> {
    let is_role = |entry: &&Value| PEOPLE.iter().all(|(rest, ..)| !entry[rest].is_u64());
    entries(rule, field)
        .filter(is_role)
        .filter_map(|entry| entry["access_level"].as_u64())
        .collect()
}

fn applied(rule: &Value) -> Applied {
    Applied {
        id: rule["id"].to_string(),
        value: observe::fields(rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;

    #[test]
    fn names_overlap_where_a_branch_could_match_both() {
        for (one, other) in [
            ("main", "main"),
            ("main", "*"),
            ("m*", "main"),
            ("rel/*", "*/1"),
            ("a*", "ab*"),
            ("main", "main*"),
        ] {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("main", "dev"),
            ("rel/*", "hot/*"),
            ("*-a", "*-b"),
            ("main", "mai"),
            ("aba", "ab*ba"),
        ] {
            assert!(!overlap(one, other) && !overlap(other, one), "{one} {other}");
        }
    }

    #[test]
    fn a_new_rule_that_opens_what_another_closes_weakens() {
        let fields = |value: Value| value.as_object().expect("an object").clone();
        let strict = Present {
            value: fields(
                json!({"push_access_level": "no_one", "merge_access_level": "maintainer", "allow_force_push": false}),
            ),
            raw: json!({"name": "main"}),
            ..Present::default()
        };
        let main = Key::within("a/b", "main");
        let beside = [(&main, &strict)];
        let judge = |name: &str, value: Value| {
            ProtectedBranch::among(&Among {
                key: &Key::within("a/b", name),
                fields: Some(&fields(value)),
                found: None,
                beside: &beside,
                parent_is_there: true,
            })
        };
        assert_eq!(
            judge("*", json!({"push_access_level": "developer"})),
            Impact::Weakens
        );
        assert_eq!(judge("m*", json!({})), Impact::Weakens);
        assert_eq!(
            judge("m*", json!({"push_access_level": "no_one"})),
            Impact::Neutral
        );
        assert_eq!(
            judge("release/*", json!({"push_access_level": "developer"})),
            Impact::Neutral
        );
    }
}
