//! The token: whose it is, what it may do and for how long, and what GitLab says of itself to it.

use futures_util::join;
use jiff::civil::Date;
use jiff::{Timestamp, tz::Offset};
use serde::Deserialize;

use super::rights::{self, Acting, Rights};
use super::{Check, administration};
use crate::engine::observe::{Metadata, User};
use crate::live::gitlab::{Client, Error, Kind, Reader, Settings};

pub(super) const TOKEN: &str = "token";
const VERSION: &str = "version";
const LICENCE: &str = "licence";
const USER: &str = "user";
const SCOPES: &str = "scopes";
const EXPIRY: &str = "expiry";
const ADMIN_MODE: &str = "admin_mode";
const RATE_LIMITS: &str = "rate_limits";

/// How many days before its end a token is worth a warning.
const SOON: i32 = 30;

/// What `/personal_access_tokens/self` says. A group's or project's access token is one, too: of a bot.
#[derive(Deserialize)]
struct Token {
    name: String,
    scopes: Vec<String>,
    expires_at: Option<Date>,
}

/// What `/license` says.
#[derive(Deserialize)]
struct Licence {
    plan: Option<String>,
    #[serde(default)]
    expired: bool,
    expires_at: Option<Date>,
}

/// Examines the token, and then GitLab as far as it shows itself to it.
pub(super) async fn examine(settings: Settings, checks: &mut Vec<Check>) -> Vec<Rights> {
    let shape = settings.token.as_ref().and_then(other_sort);
    let client = match Client::connect(settings) {
        Ok(client) => client,
        Err(error) => {
            checks.push(Check::failed(TOKEN, error.detail()).maybe_help(error.remedy()));
            return rights::not_known();
        }
    };
    let cx = client.reader();
    let (token, user, metadata) = join!(
        cx.get::<Token>("/personal_access_tokens/self", &[]),
        cx.get::<User>("/user", &[]),
        cx.get::<Metadata>("/metadata", &[]),
    );
    let refused = [token.as_ref().err(), user.as_ref().err(), metadata.as_ref().err()];
    if let Some(error) = refused
        .into_iter()
        .flatten()
        .find(|error| error.kind() == Kind::Unauthorized)
    {
        checks.push(unauthorized(error, shape));
        return rights::not_known();
    }
    checks.push(whole(&token, &user));
    let scopes = token.as_ref().ok().map(|token| token.scopes.clone());
    if let Ok(token) = &token {
        checks.push(judge_scopes(&token.scopes));
        let today = cx.server_time().unwrap_or_else(Timestamp::now);
        checks.push(expiry(token.expires_at, Offset::UTC.to_datetime(today).date()));
    }
    let admin = match &user {
        Ok(user) => {
            checks.push(Check::ok(USER, describe(user)));
            administers(&cx, user, checks).await
        }
        Err(error) => {
            checks.push(unread(USER, error));
            false
        }
    };
    judge_version(&cx, metadata, admin, checks).await;
    if admin {
        administration::examine(&cx, checks).await;
    }
    let acting = Acting {
        scopes,
        admin,
        makes_groups: user.as_ref().is_ok_and(|user| user.can_create_group),
    };
    let rights = match user {
        Ok(_) => rights::examine(&cx, &acting).await,
        Err(_) => rights::not_known(),
    };
    checks.push(rate_limits(&cx));
    rights
}

/// What GitLab keeps to itself, or did not answer.
fn unread(name: &'static str, error: &Error) -> Check {
    Check::not_known(name, error.detail()).maybe_help(error.remedy())
}

fn unauthorized(error: &Error, shape: Option<&'static str>) -> Check {
    let said = error.detail();
    let make =
        "create one under Preferences > Access tokens, with the scope `read_api` to plan or `api` to apply";
    let (found, remedy) = if said.contains("expired") {
        (
            "it has expired".to_owned(),
            format!("it cannot be renewed any more: {make}"),
        )
    } else if said.contains("revoked") {
        ("it was revoked".to_owned(), make.to_owned())
    } else if let Some(shape) = shape {
        (
            format!("GitLab does not take it: {shape}"),
            format!("use an access token of a user, group or project: {make}"),
        )
    } else {
        (format!("GitLab does not know it: {said}"), make.to_owned())
    };
    Check::failed(TOKEN, found).help(remedy)
}

/// What else a token is by its look, which is no secret.
fn other_sort(token: &secrecy::SecretString) -> Option<&'static str> {
    use secrecy::ExposeSecret;
    let token = token.expose_secret();
    let sorts = [
        (
            "glcbt-",
            "it is a CI job token, which reaches too little of the API",
        ),
        (
            "gldt-",
            "it is a deploy token, which reaches repositories and registries only",
        ),
        ("glrt-", "it is a runner's token"),
        ("glptt-", "it is a pipeline trigger token"),
        ("gloas-", "it is an OAuth application's secret"),
    ];
    let named = sorts.iter().find(|(prefix, _)| token.starts_with(prefix));
    let is_oauth = token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    match named {
        Some((_, sort)) => Some(sort),
        None if is_oauth => Some("it looks like an OAuth token, which AutoGit does not send"),
        None => None,
    }
}

/// Whether the token is any good at all.
fn whole(token: &Result<Token, Error>, user: &Result<User, Error>) -> Check {
    match (token, user) {
        (Ok(token), _) => Check::ok(TOKEN, format!("GitLab takes the token `{}`", token.name)),
        (Err(error), Ok(_)) if error.kind() == Kind::Invalid => Check::warning(
            TOKEN,
            "GitLab takes it, and it is no access token: neither scopes nor expiry can be asked",
        )
        .help("use an access token of a user, group or project"),
        (Err(error), Ok(_)) => Check::ok(
            TOKEN,
            format!(
                "GitLab takes it; scopes and expiry are not known: {}",
                error.detail()
            ),
        ),
        (Err(error), Err(_)) => unread(TOKEN, error),
    }
}

fn judge_scopes(scopes: &[String]) -> Check {
    let has = |scope: &str| scopes.iter().any(|held| held == scope);
    let list = scopes.join(", ");
    match (has("api"), has("read_api")) {
        (true, _) => Check::ok(SCOPES, list),
        (false, true) => Check::ok(SCOPES, format!("{list}: enough to plan; apply needs `api`")),
        (false, false) => Check::failed(SCOPES, format!("{list}: AutoGit can read nothing with it"))
            .help("create a token with the scope `read_api` to plan, or `api` to apply"),
    }
}

fn expiry(ends: Option<Date>, today: Date) -> Check {
    let Some(ends) = ends else {
        return Check::ok(EXPIRY, "it does not expire");
    };
    let days = today.until(ends).map_or(0, |span| span.get_days());
    let found = match days {
        1 => format!("it expires tomorrow, on {ends}"),
        _ => format!("it expires in {days} days, on {ends}"),
    };
    match days {
        ..=SOON => Check::warning(EXPIRY, found).help("create or rotate the token before that day"),
        _ => Check::ok(EXPIRY, found),
    }
}

fn describe(user: &User) -> String {
    let name = &user.username;
    let is_bot_of = |what: &str| name.starts_with(&format!("{what}_")) && name.contains("_bot_");
    if is_bot_of("group") {
        format!("{name}, the bot of a group access token: it sees that group and nothing beside it")
    } else if is_bot_of("project") {
        format!("{name}, the bot of a project access token: it sees that repo and nothing beside it")
    } else if user.is_admin {
        format!("{name}, an administrator")
    } else {
        name.clone()
    }
}

/// Whether the token may use what an administrator's account may.
async fn administers(cx: &Reader, user: &User, checks: &mut Vec<Check>) -> bool {
    if !user.is_admin {
        return false;
    }
    match cx.get::<User>(&format!("/users/{}", user.id), &[]).await {
        Ok(seen) if seen.is_admin => {
            checks.push(Check::ok(ADMIN_MODE, "the token may act as an administrator"));
            true
        }
        Ok(_) => {
            let found = "the user is an administrator, and Admin Mode keeps this token from acting as one";
            let remedy =
                "create a token with the scope `admin_mode`, too, if it is to see and change everything";
            checks.push(Check::warning(ADMIN_MODE, found).help(remedy));
            false
        }
        Err(error) => {
            checks.push(unread(ADMIN_MODE, &error));
            false
        }
    }
}

async fn judge_version(cx: &Reader, metadata: Result<Metadata, Error>, admin: bool, checks: &mut Vec<Check>) {
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) => return checks.push(unread(VERSION, &error)),
    };
    let edition = if metadata.enterprise {
        "Enterprise"
    } else {
        "Community"
    };
    let found = format!("GitLab {}, {edition} Edition", metadata.version);
    checks.push(match metadata.is_too_old() {
        true => Check::failed(VERSION, found).help("AutoGit needs GitLab 17.0 or later: update it"),
        false => Check::ok(VERSION, found),
    });
    if metadata.enterprise {
        checks.push(licence(cx, admin).await);
    }
}

async fn licence(cx: &Reader, admin: bool) -> Check {
    if !admin {
        return Check::not_known(LICENCE, "GitLab shows it to administrators only");
    }
    let free = "none: what only a licence turns on is not there";
    match cx
        .find::<Option<Licence>>("/license", &[])
        .await
        .map(Option::flatten)
    {
        Ok(None) => Check::ok(LICENCE, free),
        Ok(Some(licence)) => {
            let plan = licence.plan.unwrap_or_else(|| "one".into());
            match (licence.expired, licence.expires_at) {
                (true, _) => Check::warning(LICENCE, format!("{plan}, expired"))
                    .help("what only a licence turns on does not work any more: renew it"),
                (false, Some(day)) => Check::ok(LICENCE, format!("{plan}, until {day}")),
                (false, None) => Check::ok(LICENCE, plan),
            }
        }
        Err(error) => unread(LICENCE, &error),
    }
}

fn rate_limits(cx: &Reader) -> Check {
    let limits = cx.rate_limits();
    let told: Vec<_> = limits
        .iter()
        .map(|limit| match limit.limit {
            Some(all) => format!("{}: {} of {all} requests left", limit.name, limit.remaining),
            None => format!("{}: {} requests left", limit.name, limit.remaining),
        })
        .collect();
    let is_low =
        |limit: &crate::live::gitlab::RateLimit| limit.limit.is_some_and(|all| limit.remaining < all / 10);
    match (told.is_empty(), limits.iter().any(is_low)) {
        (true, _) => Check::ok(RATE_LIMITS, "GitLab tells of none"),
        (false, false) => Check::ok(RATE_LIMITS, told.join("; ")),
        (false, true) => Check::warning(RATE_LIMITS, told.join("; ")).help(
            "AutoGit waits for the next window by itself; ask for a higher limit if that takes too long",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::doctor::State;

    #[test]
    fn a_token_that_ends_soon_is_warned_of() {
        let today = jiff::civil::date(2026, 3, 1);
        let state = |month, day| expiry(Some(jiff::civil::date(2026, month, day)), today).state;
        assert_eq!(state(3, 2), State::Warning);
        assert_eq!(state(3, 31), State::Warning);
        assert_eq!(state(4, 1), State::Ok);
        assert_eq!(expiry(None, today).state, State::Ok);
    }

    #[test]
    fn another_sort_of_token_is_told_by_its_look() {
        let sort = |text: &str| other_sort(&text.to_owned().into());
        assert!(sort("glcbt-64_x").unwrap().contains("job token"));
        assert!(sort(&"0a".repeat(32)).unwrap().contains("OAuth"));
        assert_eq!(sort("glpat-x"), None);
    }
}
