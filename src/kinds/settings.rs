//! The kind `settings`: what an administrator sets for the whole instance. There is one of it, and it is always there.

mod fields;
mod impact;

use serde_json::{Value, json};

use super::fields::Normal;
use super::inventory::id;
use super::{Access, Applied, Context, Error, Observed, On, Role, Scope, Task};
use crate::config::FieldProblem;
use crate::core::{Address, Among, Change, Fields, Impact, Key, Live, Present};
use crate::live::gitlab::{Kind as Fault, Reader};

pub use fields::Settings;

/// Where they are.
const AT: &str = "/application/settings";

/// Settings that GitLab does not take as they are without another one: whatever that is stays as it is.
const COMPANIONS: &[(&str, &str)] = &[
    ("require_two_factor_authentication", "two_factor_grace_period"),
    ("shared_runners_enabled", "shared_runners_text"),
];

/// Settings that only a licence of the Enterprise Edition gives.
const LICENSED: &[&str] = &[
    "git_two_factor_session_expiry",
    "password_number_required",
    "password_lowercase_required",
    "password_uppercase_required",
    "password_symbol_required",
    "max_personal_access_token_lifetime",
    "max_ssh_key_lifetime",
];

/// What is known of the instance beside its settings: how many users have no two-factor authentication.
const WITHOUT_TWO_FACTOR: &str = "without_two_factor";

impl super::Kind for Settings {
    const NAME: &'static str = "settings";
    const PRUNABLE: bool = false;
    const READ: Access = Access::new(Role::Administrator, On::Instance);
    const WRITE: Access = Access::new(Role::Administrator, On::Instance);

    fn check_key(_key: &Key) -> Result<(), String> {
        Ok(())
    }

    fn check(&self) -> Vec<FieldProblem> {
        self.problems()
    }

    fn notes(changes: &[Change], fields: &Fields, found: &Present) -> Vec<String> {
        let notes = changes.iter().filter_map(|change| note(change, fields, found));
        notes.collect()
    }

    fn needs(_key: &Key, _value: Option<&Fields>) -> Vec<Address> {
        Vec::new()
    }

    fn impact(change: &Change) -> Impact {
        impact::of(change)
    }

    /// Who has no second factor cannot go on at their next sign-in where there is no grace, and a longer one counts where
    /// there was one.
    fn among(among: &Among) -> Impact {
        let (Some(fields), Some(found)) = (among.fields, among.found) else {
            return Impact::Neutral;
        };
        let grace = grace(fields, found);
        match (is_on(&found.value), is_on(fields)) {
            (false, true) if grace == 0 && without_two_factor(found) != Some(0) => Impact::LocksOut,
            (true, _) if grace > self::grace(&found.value, found) => Impact::Weakens,
            _ => Impact::Neutral,
        }
    }

    async fn observe(cx: &Reader, scope: &Scope) -> Result<Observed, Error> {
        let mut observed = Observed::new();
        for key in scope.wanted.keys() {
            observed.insert(key.clone(), read(cx, scope).await?);
        }
        Ok(observed)
    }

    async fn apply(cx: &Context, task: &Task<'_>) -> Result<Applied, Error> {
        let changes = task.step.changes.iter();
        let mut body: Fields = changes
            .map(|change| (change.field.clone(), change.after.clone().unwrap_or_default()))
            .collect();
        for (setting, companion) in COMPANIONS {
            if body.get(*setting) == Some(&Value::Bool(true)) && !body.contains_key(*companion) {
                let live = task.live.map(|live| &live.raw["companions"][companion]);
                let stays = live.filter(|value| !value.is_null()).cloned();
                body.insert((*companion).to_owned(), stays.unwrap_or_else(|| "".into()));
            }
        }
        let answer: Fields = cx.writer.put(AT, Value::Object(body)).await?;
        Ok(Applied {
            id: id(&answer),
            value: normal(&answer),
        })
    }
}

async fn read(cx: &Reader, scope: &Scope) -> Result<Live, Error> {
    let answer: Fields = match cx.get(AT, &[]).await {
        Ok(answer) => answer,
        Err(error) if matches!(error.kind(), Fault::Forbidden | Fault::NotFound) => {
            let access = <Settings as super::Kind>::READ;
            let why = format!("GitLab shows its settings only to a token whose user is {access}");
            return Ok(Live::Unreadable(why));
        }
        Err(error) => return Err(error.into()),
    };
    let without = match scope.world.requires_two_factor && !is_on(&answer) {
        true => {
            let query = [("two_factor", "disabled"), ("active", "true"), ("humans", "true")];
            cx.count("/users", &query).await?
        }
        false => None,
    };
    let companions = COMPANIONS.iter().map(|(_, companion)| {
        let value = answer.get(*companion).cloned().unwrap_or_default();
        ((*companion).to_owned(), value)
    });
    let companions: Fields = companions.collect();
    let mut found = Present {
        id: id(&answer),
        value: normal(&answer),
        raw: json!({"companions": companions, WITHOUT_TWO_FACTOR: without}),
        ..Present::default()
    };
    if scope.world.enterprise {
        for &field in LICENSED.iter().filter(|field| !answer.contains_key(**field)) {
            let why = format!(
                "GitLab shows no `{field}`: it takes GitLab Premium with its licence, or a newer version; remove it"
            );
            found.unreadable.insert(field.to_owned(), why);
        }
    }
    Ok(Live::Present(found))
}

/// The settings in the form in which they are declared. Where GitLab has nothing to say it says null.
fn normal(answer: &Fields) -> Fields {
    let mut value = Normal::<Settings>::new().of(answer);
    for list in [
        "domain_allowlist",
        "domain_denylist",
        "disabled_oauth_sign_in_sources",
        "restricted_visibility_levels",
    ] {
        if value.get(list) == Some(&Value::Null) {
            value.insert(list.to_owned(), json!([]));
        }
    }
    let protocol = value.get("enabled_git_access_protocol");
    if protocol.is_some_and(|protocol| protocol.is_null() || protocol == "") {
        value.insert("enabled_git_access_protocol".to_owned(), "all".into());
    }
    value
}

/// What a change comes with that its values do not say.
fn note(change: &Change, fields: &Fields, found: &Present) -> Option<String> {
    let is_now = |value: bool| change.after == Some(value.into());
    match change.field.as_str() {
        "require_two_factor_authentication" if is_now(true) => Some(two_factor_note(fields, found)),
        "password_authentication_enabled_for_web" if is_now(false) => Some(
            "who has no account at a directory or provider cannot sign in any more, administrators included: sign in once \
             in the new way first"
                .into(),
        ),
        "password_authentication_enabled_for_git" if is_now(false) => {
            Some("Git over HTTP takes only tokens then: what is set up with a password stops working".into())
        }
        "admin_mode" if is_now(true) => {
            Some("tokens without the scope `admin_mode` can no longer do what takes an administrator".into())
        }
        "session_expire_delay" => Some("it counts from the next restart of GitLab".into()),
        _ => None,
    }
}

fn two_factor_note(fields: &Fields, found: &Present) -> String {
    let who = match without_two_factor(found) {
        Some(0) => return "every active user has two-factor authentication".into(),
        Some(1) => "1 active user has".to_owned(),
        Some(count) => format!("{count} active users have"),
        // GitLab stops counting there.
        None => "more than 10,000 active users have".to_owned(),
    };
    match grace(fields, found) {
        0 => format!(
            "{who} no two-factor authentication, and cannot go on after the next sign-in without it: a \
             `two_factor_grace_period` above 0 gives them time"
        ),
        hours => format!("{who} no two-factor authentication, and {hours} h to set it up"),
    }
}

/// Whether everybody needs two-factor authentication.
fn is_on(fields: &Fields) -> bool {
    fields.get("require_two_factor_authentication") == Some(&Value::Bool(true))
}

/// For how many hours one can go on without.
fn grace(fields: &Fields, found: &Present) -> u64 {
    let field = "two_factor_grace_period";
    let hours = fields.get(field).or_else(|| found.value.get(field));
    hours.and_then(Value::as_u64).unwrap_or_default()
}

/// How many active users have no two-factor authentication; `None`: too many to count.
fn without_two_factor(found: &Present) -> Option<u64> {
    found.raw[WITHOUT_TWO_FACTOR].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;

    /// What turning two-factor authentication on or keeping it does, with this grace, where so many users have none.
    fn among(before: (bool, u64), grace: u64, without: Option<u64>) -> Impact {
        let fields = |on: bool, grace: u64| {
            let fields = json!({"require_two_factor_authentication": on, "two_factor_grace_period": grace});
            fields.as_object().cloned().unwrap()
        };
        let found = Present {
            value: fields(before.0, before.1),
            raw: json!({WITHOUT_TWO_FACTOR: without}),
            ..Present::default()
        };
        Settings::among(&Among {
            key: &Key::top("instance"),
            fields: Some(&fields(true, grace)),
            found: Some(&found),
            beside: &[],
            parent_is_there: false,
        })
    }

    #[test]
    fn requiring_a_second_factor_locks_out_only_whom_it_finds_without_one_and_without_time() {
        assert_eq!(among((false, 48), 0, Some(3)), Impact::LocksOut);
        assert_eq!(among((false, 48), 0, None), Impact::LocksOut, "too many to count");
        assert_eq!(among((false, 48), 0, Some(0)), Impact::Neutral);
        assert_eq!(
            among((false, 24), 72, Some(3)),
            Impact::Neutral,
            "nobody had less time"
        );
        assert_eq!(among((true, 24), 72, Some(3)), Impact::Weakens);
        assert_eq!(among((true, 24), 12, Some(3)), Impact::Neutral);
    }
}
