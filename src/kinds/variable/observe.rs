//! Reading variables: of many groups or repos in one GraphQL query, or of one by REST where GraphQL does not tell all.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{EVERYWHERE, HasVariables, In, join};
use crate::core::{Fields, Key, Live, Present};
use crate::kinds::fields::Normal;
use crate::kinds::inventory::{self, id};
use crate::kinds::{Access, Applied, Error, Kind, Observed, On, Scope};
use crate::live::gitlab::{Connection, Kind as Fault, Reader, segment};

/// How many groups or repos one query asks for: GitLab's page, well within its complexity limit.
const BATCH: usize = 100;

/// Where the variables of the instance are.
pub const INSTANCE: &str = "/admin/ci/variables";

/// Where the variables of a group or repo are.
pub fn list_of<H: HasVariables>(holder: &str) -> String {
    format!("/{}/{}/variables", H::PLURAL, segment(holder))
}

/// All variables in one list, as REST gives them, or why they are not to be seen.
type Variables = Result<Vec<Fields>, String>;

/// Observes variables of groups or repos.
pub async fn nested<H: HasVariables>(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
    if scope.wanted.is_empty() && scope.complete.is_empty() {
        return Ok(Observed::new());
    }
    let inventory = H::inventory(cx, &scope.world).await?;
    let (holders, mut observed) = inventory::holders(H::NAME, scope, &inventory);
    let batches = holders.chunks(BATCH).map(|batch| read::<H>(cx, batch));
    let variables = try_join_all(batches).await?.into_iter().flatten();
    let normal = Normal::<In<super::Variable, H>>::new();
    for (holder, variables) in holders.iter().zip(variables) {
        let id = id(holder.found);
        let within = |name: &str| Key::within(holder.path.clone(), name);
        settle(&normal, Some(&id), &holder.keys, variables, within, &mut observed);
    }
    Ok(observed)
}

/// Observes variables of the instance.
pub async fn instance<K: Kind>(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
    let mut observed = Observed::new();
    if scope.wanted.is_empty() && !scope.all {
        return Ok(observed);
    }
    let variables = list(cx, INSTANCE, K::READ).await?;
    let keys: Vec<&Key> = scope.wanted.keys().collect();
    let top = |name: &str| Key::top(name);
    settle(&Normal::<K>::new(), None, &keys, variables, top, &mut observed);
    Ok(observed)
}

/// Says for each key what stands there. What nobody asked for is told as well: a plan counts what it leaves.
fn settle<K: Kind>(
    normal: &Normal<K>,
    holder: Option<&str>,
    keys: &[&Key],
    variables: Variables,
    key_of: impl Fn(&str) -> Key,
    observed: &mut Observed,
) {
    let mut by_name = match variables.and_then(by_name) {
        Ok(by_name) => by_name,
        Err(why) => {
            let whole = Key {
                name: None,
                ..key_of("")
            };
            let keys = keys.iter().map(|&key| key.clone()).chain([whole]);
            return observed.extend(keys.map(|key| (key, Live::Unreadable(why.clone()))));
        }
    };
    for &key in keys {
        let name = key.name.as_deref().unwrap_or(key.path.as_str());
        let found = by_name.remove(name);
        let live = found.map_or(Live::Absent, |found| {
            Live::Present(present(normal, holder, found))
        });
        observed.insert(key.clone(), live);
    }
    for (name, found) in by_name {
        let key = key_of(&name);
        // Case tells keys of the instance apart for GitLab, and not for AutoGit, which keeps to the one that is declared.
        let twin = observed.contains_key(&key);
        match twin {
            false => drop(observed.insert(key, Live::Present(present(normal, holder, found)))),
            true if keys.contains(&&key) => {}
            true => {
                let why = "there are two of this key, which differ only in case".to_owned();
                observed.insert(key, Live::Unreadable(why));
            }
        }
    }
}

/// Variables by their names. One that came twice moved between two pages, and another may be missing for it.
fn by_name(variables: Vec<Fields>) -> Result<BTreeMap<String, Fields>, String> {
    let count = variables.len();
    let by_name: BTreeMap<_, _> = variables.into_iter().map(|found| (name(&found), found)).collect();
    match by_name.len() == count {
        true => Ok(by_name),
        false => Err("the list of variables changed while it was read: run it again".into()),
    }
}

fn name(found: &Fields) -> String {
    let text = |field: &str| found.get(field).and_then(Value::as_str);
    join(
        text("key").unwrap_or_default(),
        text("environment_scope").unwrap_or(EVERYWHERE),
    )
}

/// A variable as REST gives it. GitLab shows no id there: its name identifies it, in what holds it.
fn present<K: Kind>(normal: &Normal<K>, holder: Option<&str>, mut found: Fields) -> Present {
    let name = name(&found);
    let is_hidden = found.get("hidden") == Some(&Value::Bool(true));
    let value = match found.remove("value") {
        Some(Value::String(value)) => Some(value),
        Some(Value::Null) if !is_hidden => Some(String::new()),
        _ => None,
    };
    let secret = value.map(|value| ("value".to_owned(), value.into()));
    Present {
        id: holder.map_or_else(|| name.clone(), |holder| format!("{holder}/{name}")),
        value: normal.of(&found),
        secrets: secret.into_iter().collect(),
        ..Present::default()
    }
}

/// What is there after a write, as REST answers it.
pub fn applied<K: Kind>(holder: Option<&str>, answer: Option<Fields>) -> Applied {
    let Some(answer) = answer else {
        return Applied::default();
    };
    let Present { id, value, .. } = present(&Normal::<K>::new(), holder, answer);
    Applied { id, value }
}

/// The variables of up to [`BATCH`] groups or repos, in their order.
async fn read<H: HasVariables>(
    cx: &Reader,
    holders: &[inventory::Holder<'_>],
) -> Result<Vec<Variables>, Error> {
    let document = format!(
        "query variables($ids: [ID!]) {{ holders: {}(ids: $ids, first: {BATCH}) {{ nodes {{ id ciVariables {{ \
         pageInfo {{ hasNextPage endCursor }} nodes {{ key value variableType protected masked hidden raw \
         environmentScope description }} }} }} }} }}",
        H::PLURAL
    );
    let global_id = |holder: &inventory::Holder| format!("gid://gitlab/{}/{}", H::TYPE, id(holder.found));
    let ids: Vec<String> = holders.iter().map(global_id).collect();
    let mut by_id = match cx.query::<Answer>(&document, json!({"ids": ids})).await {
        Ok(answer) => answer.by_id(),
        Err(error) if error.calls_for_rest() => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    let variables = holders.iter().zip(&ids).map(|(holder, global_id)| {
        let told = by_id.remove(global_id);
        async move {
            match told {
                Some(variables) => Ok(Ok(variables)),
                // REST pages them, and says why it shows none.
                None => list(cx, &list_of::<H>(&id(holder.found)), H::TO_SEE).await,
            }
        }
    });
    try_join_all(variables).await
}

async fn list(cx: &Reader, at: &str, access: Access) -> Result<Variables, Error> {
    // Where CI/CD is off, GitLab shows a repo's variables to nobody.
    let while_on = match access.on {
        On::Repo => ", and only while its CI/CD is on",
        On::Group | On::Instance => "",
    };
    match cx.list(at, &[]).await {
        Ok(variables) => Ok(Ok(variables)),
        Err(error) if matches!(error.kind(), Fault::Forbidden | Fault::NotFound) => Ok(Err(format!(
            "GitLab shows its variables only to a token whose user is {access}{while_on}"
        ))),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
struct Answer {
    holders: Nodes,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: String,
    ci_variables: Option<Connection<Variable>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    key: String,
    value: Option<String>,
    variable_type: String,
    protected: bool,
    masked: bool,
    hidden: bool,
    raw: bool,
    environment_scope: String,
    description: Option<String>,
}

impl Answer {
    /// The variables of those of which all are told.
    fn by_id(self) -> BTreeMap<String, Vec<Fields>> {
        let whole = self.holders.nodes.into_iter().filter_map(|node| {
            let variables = node.ci_variables.filter(|page| !page.page_info.has_next_page)?;
            Some((
                node.id,
                variables.nodes.into_iter().map(Variable::rest_form).collect(),
            ))
        });
        whole.collect()
    }
}

impl Variable {
    /// The variable as REST would give it.
    fn rest_form(self) -> Fields {
        Fields::from_iter([
            ("key".into(), self.key.into()),
            ("value".into(), self.value.into()),
            ("variable_type".into(), self.variable_type.to_lowercase().into()),
            ("protected".into(), self.protected.into()),
            ("masked".into(), self.masked.into()),
            ("hidden".into(), self.hidden.into()),
            ("raw".into(), self.raw.into()),
            ("environment_scope".into(), self.environment_scope.into()),
            ("description".into(), self.description.into()),
        ])
    }
}
