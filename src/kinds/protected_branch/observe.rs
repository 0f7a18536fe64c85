//! Reading protections: of many repos in one GraphQL query, or of one repo by REST where GraphQL is refused.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DEFAULT, Level, PEOPLE, roles};
use crate::core::{Fields, Key, Live, Path, Present};
use crate::kinds::inventory::{self, id};
use crate::kinds::{Error, Observed, Scope};
use crate::live::gitlab::{self, Kind as Fault, Reader, segment};

/// How many repos one query asks for: what GitLab's complexity limit of 250 has room for.
const BATCH: usize = 100;

/// A repo whose protections are asked for.
struct Repo {
    path: Path,
    id: String,
    /// The default branch it has.
    default_branch: Option<String>,
    /// The one it will have once it is as declared: what `@default` stands for.
    declared_default: Option<String>,
}

impl Repo {
    fn new(path: &Path, found: &Fields, declared: Option<&String>) -> Self {
        let default_branch = found
            .get("default_branch")
            .and_then(Value::as_str)
            .map(str::to_owned);
        // An empty repo takes no default branch.
        let declared = declared.filter(|_| found.get("empty_repo") != Some(&Value::Bool(true)));
        Repo {
            path: path.clone(),
            id: id(found),
            declared_default: declared.cloned().or_else(|| default_branch.clone()),
            default_branch,
        }
    }
}

/// What a repo's protections are, as REST gives them, each with the time GitLab made it where that is known.
type Rules = Result<Vec<(Value, Option<jiff::Timestamp>)>, String>;

pub async fn observe(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
    let inventory = inventory::repos(cx, &scope.world).await?;
    let (holders, mut observed) = inventory::holders("repo", scope, &inventory);
    let default_branch = |path| scope.world.default_branches.get(path);
    let repos = holders
        .iter()
        .map(|holder| Repo::new(holder.path, holder.found, default_branch(holder.path)));
    let repos: Vec<_> = repos.collect();
    let batches = repos
        .chunks(BATCH)
        .map(|batch| read(cx, batch, scope.world.enterprise));
    let rules = try_join_all(batches).await?.into_iter().flatten();
    for ((repo, holder), rules) in repos.iter().zip(&holders).zip(rules) {
        match rules {
            Ok(rules) => settle(repo, &holder.keys, &rules, &mut observed),
            Err(why) => observed.extend(holder.unreadable(&why)),
        }
    }
    Ok(observed)
}

/// Says for each key of a repo what stands there.
fn settle(repo: &Repo, keys: &[&Key], rules: &[(Value, Option<jiff::Timestamp>)], observed: &mut Observed) {
    let mut by_name: BTreeMap<&str, _> = rules
        .iter()
        .map(|rule| (rule.0["name"].as_str().unwrap_or_default(), rule))
        .collect();
    let default = repo.declared_default.as_deref();
    let automatic = |name| repo.default_branch.as_deref() == Some(name);
    let named: Vec<&str> = keys.iter().map(|key| key.name()).collect();
    for &key in keys {
        let name = if key.name() == DEFAULT {
            default
        } else {
            Some(key.name())
        };
        let live = match name {
            Some(name) if key.name() == DEFAULT && named.contains(&name) => Live::Unreadable(format!(
                "the default branch is `{name}`, which is declared too: keep one of the two"
            )),
            Some(name) => by_name.get(name).map_or(Live::Absent, |(rule, made)| {
                Live::Present(present(rule, *made, automatic(name)))
            }),
            None => Live::Absent,
        };
        observed.insert(key.clone(), live);
    }
    // What nobody asked for is told as well: a new rule is judged beside it, and a plan counts what it leaves.
    let asked_for = |name: &str| named.contains(&name) || (named.contains(&DEFAULT) && default == Some(name));
    by_name.retain(|name, _| !asked_for(name));
    observed.extend(by_name.into_iter().map(|(name, (rule, made))| {
        let live = Live::Present(present(rule, *made, automatic(name)));
        (Key::within(repo.path.clone(), name), live)
    }));
}

fn present(rule: &Value, made: Option<jiff::Timestamp>, automatic: bool) -> Present {
    Present {
        id: rule["id"].to_string(),
        value: fields(rule),
        created_at: made,
        automatic,
        raw: json!({"name": rule["name"]}),
        ..Present::default()
    }
}

/// The kind's fields of a rule as REST gives it.
pub fn fields(rule: &Value) -> Fields {
    let mut fields = Fields::new();
    for field in ["push_access_level", "merge_access_level"] {
        fields.insert(field.into(), json!(effective(&roles(rule, field))));
    }
    for field in ["allow_force_push", "code_owner_approval_required"] {
        if let Some(value) = rule.get(field).filter(|value| !value.is_null()) {
            fields.insert(field.into(), value.clone());
        }
    }
    fields
}

/// Several roles on one rule allow what the lowest allows; none allows nobody.
fn effective(roles: &[u64]) -> Level {
    let lowest = roles.iter().copied().filter(|&number| number > 0).min();
    lowest.and_then(Level::of).unwrap_or(Level::NoOne)
}

/// The protections of up to [`BATCH`] repos, in their order.
async fn read(cx: &Reader, repos: &[Repo], enterprise: bool) -> Result<Vec<Rules>, Error> {
    let ids: Vec<String> = repos
        .iter()
        .map(|repo| format!("gid://gitlab/Project/{}", repo.id))
        .collect();
    let answer: Answer = match cx.query(&document(enterprise), json!({"ids": ids})).await {
        Ok(answer) => answer,
        Err(error) if error.calls_for_rest() => {
            return try_join_all(repos.iter().map(|repo| read_one(cx, repo))).await;
        }
        Err(error) => return Err(error.into()),
    };
    let mut by_id: BTreeMap<&str, &Project> = answer
        .projects
        .nodes
        .iter()
        .map(|project| (project.id.as_str(), project))
        .collect();
    try_join_all(repos.iter().zip(&ids).map(|(repo, id)| {
        let project = by_id.remove(id.as_str());
        async move {
            match project {
                Some(Project {
                    branch_rules: Some(rules),
                    ..
                }) if project.is_some_and(Project::tells_all) => {
                    Ok(Ok(rules.nodes.iter().filter_map(rest_form).collect()))
                }
                // REST tells more people, and more.
                _ => read_one(cx, repo).await,
            }
        }
    }))
    .await
}

async fn read_one(cx: &Reader, repo: &Repo) -> Result<Rules, Error> {
    let rules = cx
        .list::<Value>(
            &format!("/projects/{}/protected_branches", segment(&repo.id)),
            &[],
        )
        .await;
    match rules {
        Ok(rules) => {
            let own = rules.into_iter().filter(|rule| rule["inherited"] != true);
            Ok(Ok(own.map(|rule| (rule, None)).collect()))
        }
        Err(error) if forbidden(&error) => Ok(Err(needs_code(repo))),
        Err(error) => Err(error.into()),
    }
}

fn forbidden(error: &gitlab::Error) -> bool {
    matches!(error.kind(), Fault::Forbidden | Fault::NotFound)
}

fn needs_code(repo: &Repo) -> String {
    format!(
        "GitLab shows protected branches only to who can read the code: give the token that right in {}",
        repo.path
    )
}

fn document(enterprise: bool) -> String {
    let beside_roles = if enterprise {
        "user { id } group { id }"
    } else {
        ""
    };
    let level = format!("nodes {{ accessLevel accessLevelDescription {beside_roles}");
    let only_enterprise = if enterprise {
        "isGroupLevel codeOwnerApprovalRequired"
    } else {
        ""
    };
    format!(
        "query protections($ids: [ID!]) {{ projects(ids: $ids, first: {BATCH}) {{ nodes {{ id userPermissions {{ adminProject }}
         branchRules {{ pageInfo {{ hasNextPage }} nodes {{ id name createdAt branchProtection {{ allowForcePush
         {only_enterprise} pushAccessLevels {{ {level} deployKey {{ id }} }} }} mergeAccessLevels {{ {level} }} }} }} }}
         }} }} }} }}"
    )
}

#[derive(Deserialize)]
struct Answer {
    projects: Nodes<Project>,
}

#[derive(Deserialize)]
struct Nodes<T> {
    nodes: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Project {
    id: String,
    user_permissions: Permissions,
    branch_rules: Option<BranchRules>,
}

impl Project {
    /// Whether nothing is left out: below Maintainer GitLab shows no rules, it pages them, and it hides whom the
    /// token may not see, so that an entry for a person looks like one for a role.
    fn tells_all(&self) -> bool {
        let Some(rules) = &self.branch_rules else {
            return false;
        };
        let levels = ["pushAccessLevels", "mergeAccessLevels"];
        let entries = rules
            .nodes
            .iter()
            .flat_map(|rule| levels.map(|list| &rule["branchProtection"][list]["nodes"]));
        let mut entries = entries.filter_map(Value::as_array).flatten();
        let person = |entry: &Value| {
            PEOPLE
                .iter()
                .any(|(_, field, _)| entry[field.trim_end_matches("Id")].is_object())
        };
        let role = |entry: &Value| {
            entry["accessLevelDescription"]
                .as_str()
                .is_some_and(|word| ROLES.contains(&word))
        };
        self.user_permissions.admin_project
            && !rules.page_info.has_next_page
            && entries.all(|entry| person(entry) || role(entry))
    }
}

/// What GitLab calls the roles of a protection. Source: `ProtectedRefAccess.human_access_levels`.
const ROLES: [&str; 4] = [
    "No one",
    "Developers + Maintainers",
    "Maintainers",
    "Instance admins",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permissions {
    admin_project: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BranchRules {
    page_info: PageInfo,
    nodes: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
}

/// A branch rule as REST would give it; none for what is no protection of this repo's own.
fn rest_form(node: &Value) -> Option<(Value, Option<jiff::Timestamp>)> {
    let protection = node
        .get("branchProtection")
        .filter(|protection| !protection.is_null())?;
    if protection["isGroupLevel"] == true {
        return None;
    }
    let id: u64 = number(&node["id"])?;
    let mut rule = json!({
        "id": id,
        "name": node["name"],
        "allow_force_push": protection["allowForcePush"],
        "push_access_levels": levels(&protection["pushAccessLevels"]),
        "merge_access_levels": levels(&protection["mergeAccessLevels"]),
    });
    if let Some(owners) = protection.get("codeOwnerApprovalRequired") {
        rule["code_owner_approval_required"] = owners.clone();
    }
    Some((
        rule,
        node["createdAt"].as_str().and_then(|time| time.parse().ok()),
    ))
}

fn levels(connection: &Value) -> Vec<Value> {
    let entries = connection["nodes"].as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let mut level = json!({"access_level": entry["accessLevel"]});
            for (rest, graphql, _) in PEOPLE {
                level[rest] = number(&entry[graphql.trim_end_matches("Id")]["id"]).into();
            }
            level
        })
        .collect()
}

/// The number at the end of a global id.
fn number(id: &Value) -> Option<u64> {
    id.as_str()?.rsplit('/').next()?.parse().ok()
}
