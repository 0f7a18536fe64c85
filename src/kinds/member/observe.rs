//! Reading members: of many groups or repos in one GraphQL query, or of one by REST where GraphQL does not tell all.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{HasMembers, Level};
use crate::core::{Fields, Key, Live, Present};
use crate::kinds::inventory::{self, id};
use crate::kinds::{Applied, Error, Observed, Scope, World};
use crate::live::gitlab::{Kind as Fault, Reader, segment};

/// How many groups or repos one query asks for: what GitLab's complexity limit of 250 has room for.
const BATCH: usize = 50;

/// A member, as either API tells.
struct Found {
    user: String,
    username: String,
    fields: Fields,
    since: Option<jiff::Timestamp>,
    /// Why it is not removed for not being declared.
    kept: Option<&'static str>,
}

/// The members of one group or repo, or why they cannot be read.
type Members = Result<Vec<Found>, String>;

pub async fn observe<H: HasMembers>(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
    let inventory = H::inventory(cx, &scope.world).await?;
    let (holders, mut observed) = inventory::holders(H::NAME, scope, &inventory);
    // Only REST tells who was put there by an identity provider, and that matters only where somebody may be removed.
    let by_rest = |holder: &inventory::Holder| scope.world.enterprise && scope.complete.contains(holder.path);
    let (one_by_one, together): (Vec<_>, Vec<_>) = holders.into_iter().partition(by_rest);
    let batches = try_join_all(together.chunks(BATCH).map(|batch| read::<H>(cx, batch)));
    let each = try_join_all(one_by_one.iter().map(|holder| read_one::<H>(cx, holder)));
    let (batches, each) = futures_util::try_join!(batches, each)?;
    let members = batches.into_iter().flatten().chain(each);
    for (holder, members) in together.iter().chain(&one_by_one).zip(members) {
        settle(holder, members, &scope.world, &mut observed);
    }
    unknown_users(cx, scope, &mut observed).await?;
    Ok(observed)
}

/// Says for each key of a group or repo who stands there, and who else does.
fn settle(holder: &inventory::Holder, members: Members, world: &World, observed: &mut Observed) {
    let mut by_name = match members.and_then(by_name) {
        Ok(by_name) => by_name,
        Err(why) => return observed.extend(holder.unreadable(&why)),
    };
    for &key in &holder.keys {
        let found = by_name.get(&key.name().to_lowercase());
        observed.insert(
            key.clone(),
            found.map_or(Live::Absent, |found| present(holder, found, world)),
        );
    }
    by_name.retain(|name, _| !holder.keys.iter().any(|key| key.name().to_lowercase() == *name));
    observed.extend(by_name.values().map(|found| {
        let key = Key::within(holder.path.clone(), found.username.as_str());
        (key, present(holder, found, world))
    }));
}

/// Members by their names. One that came twice moved between two pages, and another may be missing for it.
fn by_name(members: Vec<Found>) -> Result<BTreeMap<String, Found>, String> {
    let count = members.len();
    let names = members.into_iter();
    let by_name: BTreeMap<_, _> = names
        .map(|found| (found.username.to_lowercase(), found))
        .collect();
    match by_name.len() == count {
        true => Ok(by_name),
        false => Err("the list of members changed while it was read: run it again".into()),
    }
}

fn present(holder: &inventory::Holder, found: &Found, world: &World) -> Live {
    let acting = found.username.eq_ignore_ascii_case(&world.user);
    let kept = found.kept.or(acting.then_some("it is who AutoGit acts as"));
    Live::Present(Present {
        id: format!("{}:{}", id(holder.found), found.user),
        value: found.fields.clone(),
        created_at: found.since,
        automatic: acting,
        kept: kept.map(str::to_owned),
        raw: json!({"acting": acting}),
        ..Present::default()
    })
}

/// Who is to become a member has to be somebody.
async fn unknown_users(cx: &Reader, scope: &Scope, observed: &mut Observed) -> Result<(), Error> {
    let new = |(key, live): &(&Key, &Live)| {
        matches!(live, Live::Absent) && scope.wanted.contains_key(key) && !scope.absent.contains(key)
    };
    let names: BTreeSet<String> = observed
        .iter()
        .filter(new)
        .map(|(key, _)| key.name().to_lowercase())
        .collect();
    let names: Vec<String> = names.into_iter().collect();
    let mut known = BTreeSet::new();
    for answer in try_join_all(names.chunks(100).map(|names| users(cx, names))).await? {
        match answer {
            Some(users) => known.extend(users),
            // Nobody can say: GitLab will, when they are added.
            None => return Ok(()),
        }
    }
    for (key, live) in observed.iter_mut() {
        let name = key.name().to_lowercase();
        if matches!(live, Live::Absent) && names.contains(&name) && !known.contains(&name) {
            *live = Live::Unreadable(format!(
                "there is no user `{}` on this GitLab: correct the name, or create the user first",
                key.name()
            ));
        }
    }
    Ok(())
}

/// Which of these are users; `None` where that is not told.
async fn users(cx: &Reader, names: &[String]) -> Result<Option<Vec<String>>, Error> {
    const USERS: &str =
        "query users($names: [String!]) { users(usernames: $names, first: 100) { nodes { username } } }";
    match cx.query::<Value>(USERS, json!({"names": names})).await {
        Ok(answer) => Ok(Some(
            nodes(&answer["users"])
                .filter_map(|user| text(&user["username"]))
                .map(|name| name.to_lowercase())
                .collect(),
        )),
        Err(error) if error.calls_for_rest() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The members of up to [`BATCH`] groups or repos, in their order.
async fn read<H: HasMembers>(cx: &Reader, holders: &[inventory::Holder<'_>]) -> Result<Vec<Members>, Error> {
    let (kind, list, field) = (H::TYPE, H::PLURAL, H::LIST);
    let document = format!(
        "query members($ids: [ID!]) {{ {list}(ids: $ids, first: {BATCH}) {{ nodes {{ id {field}(relations: [DIRECT]) {{ pageInfo {{ hasNextPage }}
         nodes {{ accessLevel {{ integerValue }} createdAt expiresAt user {{ id username bot }} }} }} }} }} }}"
    );
    let ids: Vec<String> = holders
        .iter()
        .map(|holder| format!("gid://gitlab/{kind}/{}", id(holder.found)))
        .collect();
    let answer = match cx.query::<Value>(&document, json!({"ids": ids})).await {
        Ok(answer) => answer,
        Err(error) if error.calls_for_rest() => {
            return try_join_all(holders.iter().map(|holder| read_one::<H>(cx, holder))).await;
        }
        Err(error) => return Err(error.into()),
    };
    let by_id: BTreeMap<&str, &Value> = nodes(&answer[list])
        .filter_map(|holder| Some((holder["id"].as_str()?, &holder[field])))
        .collect();
    try_join_all(holders.iter().zip(&ids).map(async |(holder, id)| {
        let members = by_id
            .get(id.as_str())
            .filter(|members| members["pageInfo"]["hasNextPage"] == false);
        let listed = members.and_then(|members| members["nodes"].as_array());
        let members: Option<Vec<_>> = listed.and_then(|listed| listed.iter().map(by_graphql).collect());
        match members {
            Some(members) => Ok(Ok(members)),
            // More than a page of them, or somebody whom GraphQL does not show.
            None => read_one::<H>(cx, holder).await,
        }
    }))
    .await
}

async fn read_one<H: HasMembers>(cx: &Reader, holder: &inventory::Holder<'_>) -> Result<Members, Error> {
    let list = format!("/{}/{}/members", H::PLURAL, segment(&id(holder.found)));
    match cx.list::<Value>(&list, &[]).await {
        Ok(members) => members
            .iter()
            .map(|member| by_rest(member).ok_or_else(|| misread(holder)))
            .collect::<Result<Vec<_>, _>>()
            .map(Ok),
        Err(error) if matches!(error.kind(), Fault::Forbidden | Fault::NotFound) => Ok(Err(format!(
            "GitLab does not show this token who is in {}",
            holder.path
        ))),
        Err(error) => Err(error.into()),
    }
}

fn misread(holder: &inventory::Holder) -> Error {
    Error::Refused(format!(
        "GitLab names a member of {} without saying who that is",
        holder.path
    ))
}

fn by_graphql(node: &Value) -> Option<Found> {
    let user = &node["user"];
    Some(Found {
        user: text(&user["id"])?.rsplit('/').next()?.to_owned(),
        username: text(&user["username"])?.to_owned(),
        fields: fields(&node["accessLevel"]["integerValue"], &node["expiresAt"]),
        since: text(&node["createdAt"]).and_then(|time| time.parse().ok()),
        kept: (user["bot"] == true).then_some("it is a bot"),
    })
}

fn by_rest(member: &Value) -> Option<Found> {
    let username = text(&member["username"])?;
    let kept = if is_bot(username) {
        Some("it is a bot")
    } else if member["override"].is_boolean() {
        Some("it was put there by LDAP")
    } else if member["group_saml_identity"].is_object() || member["group_scim_identity"].is_object() {
        Some("it was put there by single sign-on")
    } else {
        None
    };
    Some(Found {
        user: member["id"].as_u64()?.to_string(),
        username: username.to_owned(),
        fields: fields(&member["access_level"], &member["expires_at"]),
        since: text(&member["created_at"]).and_then(|time| time.parse().ok()),
        kept,
    })
}

/// Whether a name is one that GitLab gives to the bot of an access token or to a service account.
/// Source: `ResourceAccessTokens::CreateService`, `Users::ServiceAccounts::CreateService`.
fn is_bot(username: &str) -> bool {
    let of_token = |kind: &str| {
        let rest = username
            .strip_prefix(kind)?
            .trim_start_matches(|c: char| c.is_ascii_digit());
        Some(rest.starts_with("_bot"))
    };
    ["project_", "group_"]
        .into_iter()
        .find_map(of_token)
        .unwrap_or(false)
        || username.starts_with("service_account_")
}

/// The kind's fields. A role that AutoGit does not know stays the number that GitLab gives it.
fn fields(level: &Value, expires_at: &Value) -> Fields {
    let role = Level::ALL
        .iter()
        .find(|(_, number)| level.as_u64() == Some(*number));
    let level = role.map_or_else(|| level.clone(), |(role, _)| json!(role));
    // GraphQL gives a time where REST gives the day.
    let day = text(expires_at).map_or("", |time| time.get(..10).unwrap_or(time));
    Fields::from_iter([
        ("access_level".to_owned(), level),
        ("expires_at".to_owned(), day.into()),
    ])
}

/// What is there after a write, as REST answers it.
pub fn applied(holder: &str, answer: &Value) -> Applied {
    Applied {
        id: format!("{holder}:{}", answer["id"]),
        value: fields(&answer["access_level"], &answer["expires_at"]),
    }
}

fn nodes(connection: &Value) -> impl Iterator<Item = &Value> {
    connection["nodes"].as_array().into_iter().flatten()
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bots_are_told_by_their_names() {
        for name in ["project_7_bot_0a1b", "group_12_bot", "service_account_group_3"] {
            assert!(is_bot(name), "{name}");
        }
        for name in ["project_manager", "robot", "project_7", "alice_bot"] {
            assert!(!is_bot(name), "{name}");
        }
    }
}
