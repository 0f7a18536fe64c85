//! Access tokens of projects and groups, each with a bot that is a member there.

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;

use super::{
    Call,
    personal_access_tokens::{self, Draft, RESOURCE_SCOPES},
};
use crate::{
    app::App,
    error::{ApiError, ApiResult},
    paging::{ok, paginate},
    policy::{Ability, MAINTAINER, OWNER},
    secret,
    store::{Member, PersonalAccessToken, Sequence, Source, Store, User, UserState},
};

pub fn routes() -> Router<App> {
    let mut router = Router::new();
    for kind in ["groups", "projects"] {
        let path = format!("/{kind}/{{id}}/access_tokens");
        router = router
            .route(&path, get(list).post(create))
            .route(&format!("{path}/self/rotate"), post(rotate_own))
            .route(&format!("{path}/{{token_id}}"), get(show).delete(revoke))
            .route(&format!("{path}/{{token_id}}/rotate"), post(rotate));
    }
    router
}

/// A project or group, and whether the caller may see, revoke and (second) make its tokens.
struct Resource {
    source: Source,
    administered: bool,
    managed: bool,
}

impl Resource {
    fn find(call: &Call, store: &Store) -> ApiResult<Self> {
        let user = call.authenticate(store)?;
        let (source, administered) = if call.path.starts_with("/api/v4/groups/") {
            let group = call.group(store)?;
            (
                Source::Group(group.id),
                store.can(Some(user), Ability::AdminGroup, group),
            )
        } else {
            let project = call.project(store)?;
            (
                Source::Project(project.id),
                store.can(Some(user), Ability::AdminProject, project),
            )
        };
        Ok(Self {
            source,
            administered,
            // A bot makes no bots.
            managed: administered && user.bot_of.is_none(),
        })
    }

    fn kind(&self) -> &'static str {
        match self.source {
            Source::Group(_) => "group",
            Source::Project(_) => "project",
        }
    }

    /// The tokens of the bots that are members here.
    fn tokens<'a>(&self, store: &'a Store) -> impl Iterator<Item = &'a PersonalAccessToken> + use<'a> {
        let is_bot = |member: &&Member| {
            let user = store.users.get(member.user_id);
            user.is_some_and(|user| user.bot_of.is_some())
        };
        let bots = store.members.children(self.source).filter(is_bot);
        bots.flat_map(|member| store.tokens.children(member.user_id))
    }

    /// The token that the path names.
    fn token<'a>(&self, call: &Call, store: &'a Store) -> ApiResult<Option<&'a PersonalAccessToken>> {
        let id = call.params.string("token_id")?.unwrap_or_default();
        Ok(self.tokens(store).find(|token| token.id.to_string() == id))
    }

    fn missing(&self) -> ApiError {
        ApiError::not_found(&format!("{} Access Token", self.kind()))
    }

    /// The highest role that the caller can give here.
    fn role(&self, store: &Store, user: &User) -> u8 {
        match self.source {
            _ if user.admin => OWNER,
            Source::Group(id) => store.group_role(Some(user), id),
            Source::Project(id) => store
                .projects
                .get(id)
                .map_or(0, |project| store.project_role(Some(user), project)),
        }
    }
}

async fn list(call: Call) -> ApiResult {
    let store = call.app.read();
    let resource = Resource::find(&call, &store)?;
    if !resource.administered {
        return Err(ApiError::unauthorized());
    }
    let passes = personal_access_tokens::filter(&call)?;
    let mut tokens: Vec<_> = resource.tokens(&store).filter(passes).collect();
    tokens.sort_by_key(|token| token.id);
    let view = call.view(&store);
    paginate(&call, tokens, |token| view.resource_token(token))
}

async fn show(call: Call) -> ApiResult {
    let store = call.app.read();
    let resource = Resource::find(&call, &store)?;
    if !resource.administered {
        return Err(ApiError::unauthorized());
    }
    let token = resource.token(&call, &store)?.ok_or_else(|| resource.missing())?;
    ok(StatusCode::OK, call.view(&store).resource_token(token))
}

async fn create(call: Call) -> ApiResult {
    call.app.write(|store| {
        let user = call.authenticate(store)?;
        let draft = Draft::parse(&call, store, &[RESOURCE_SCOPES])?;
        let level = call.params.access_level("access_level")?.unwrap_or(MAINTAINER);
        let resource = Resource::find(&call, store)?;
        let kind = resource.kind();
        if !resource.managed {
            let reason = format!("User does not have permission to create {kind} access token");
            return Err(ApiError::bad_request(&reason));
        }
        if level > resource.role(store, user) {
            let reason = "Access level of the token contains permissions not held by the creating user";
            return Err(ApiError::bad_request(reason));
        }
        if !call.params.has("expires_at") {
            return Err(ApiError::bad_request("expires_at is missing"));
        }
        draft
            .check(store)
            .map_err(|problem| ApiError::bad_request(&problem))?;
        let (creator, external) = (user.id, user.external);
        let bot = add_bot(store, resource.source, draft.name(), external);
        let id = store.members.next_id();
        store.members.insert(Member {
            id,
            source: resource.source,
            user_id: bot,
            access_level: level,
            expires_at: None,
            created_by: Some(creator),
            created_at: Timestamp::now(),
        });
        let (token, secret) = draft.insert(store, bot);
        let shown = call.view(store).resource_token(&token);
        ok(
            StatusCode::CREATED,
            personal_access_tokens::with_secret(shown, &secret),
        )
    })
}

/// The user behind a token of `source`.
fn add_bot(store: &mut Store, source: Source, name: &str, external: bool) -> u64 {
    let prefix = match source {
        Source::Group(id) => format!("group_{id}_bot"),
        Source::Project(id) => format!("project_{id}_bot"),
    };
    let username = format!("{prefix}_{}", &secret::digest(&secret::token(""))[..32]);
    let bot = User {
        id: store.users.next_id(),
        email: format!("{username}@noreply.localhost"),
        username,
        name: name.to_owned(),
        state: UserState::Active,
        admin: false,
        namespace_id: store.next(Sequence::Namespaces),
        can_create_group: true,
        projects_limit: 100_000,
        external,
        private_profile: false,
        bot_of: Some(source),
        created_at: Timestamp::now(),
    };
    let id = bot.id;
    store.users.insert(bot);
    id
}

/// The token dies; its bot stays a member.
async fn revoke(call: Call) -> ApiResult<Response> {
    call.app.write(|store| {
        let resource = Resource::find(&call, store)?;
        let token = resource.token(&call, store)?.ok_or_else(|| resource.missing())?;
        if !resource.administered {
            let name = |id: u64| store.users.get(id).map_or("", |user| user.name.as_str());
            let user = call.authenticate(store)?;
            let reason = format!("{} cannot delete {}", user.name, name(token.user_id));
            return Err(ApiError::bad_request(&reason));
        }
        let id = token.id;
        store.tokens.update(id, |token| token.revoked = true);
        Ok(StatusCode::NO_CONTENT.into_response())
    })
}

/// A bot replaces its own token.
async fn rotate_own(call: Call) -> ApiResult {
    call.app.write(|store| {
        let user = call.authenticate(store)?;
        if user.bot_of.is_none() {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(ApiError::message(status, "405 Method Not Allowed"));
        }
        let resource = Resource::find(&call, store)?;
        let token = resource
            .tokens(store)
            .find(|token| Some(token.id) == call.identity.token)
            .ok_or_else(ApiError::unauthorized)?;
        let (new, secret) = personal_access_tokens::renew(&call, store, token.clone())?;
        let shown = call.view(store).resource_token(&new);
        ok(
            StatusCode::OK,
            personal_access_tokens::with_secret(shown, &secret),
        )
    })
}

async fn rotate(call: Call) -> ApiResult {
    call.app.write(|store| {
        let user = call.authenticate(store)?;
        let resource = Resource::find(&call, store)?;
        let token = resource.token(&call, store)?.filter(|_| resource.managed);
        let token = token.ok_or_else(|| match user.admin {
            true => ApiError::message(StatusCode::NOT_FOUND, "404 Not Found"),
            false => ApiError::unauthorized(),
        })?;
        let member = store.members.find(&(resource.source, token.user_id));
        if member.is_some_and(|member| member.access_level > resource.role(store, user)) {
            let reason = "Not eligible to rotate tokens with permissions not held by the user";
            return Err(ApiError::bad_request(reason));
        }
        let (new, secret) = personal_access_tokens::renew(&call, store, token.clone())?;
        let shown = call.view(store).resource_token(&new);
        ok(
            StatusCode::OK,
            personal_access_tokens::with_secret(shown, &secret),
        )
    })
}
