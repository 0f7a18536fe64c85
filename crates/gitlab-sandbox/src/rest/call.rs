//! One REST call: who sends it and with which parameters, and lookups that every route needs.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, FromRequestParts, Multipart, OriginalUri, RawPathParams, Request},
    http::{Method, header},
};
use serde_json::Value;

use crate::{
    app::App,
    auth::Identity,
    entities::View,
    error::{ApiError, ApiResult},
    job_token,
    params::Params,
    policy::Ability,
    server::Ignored,
    store::{Group, Project, Source, Store, User},
};

/// Bodies beyond this many bytes are refused.
const MAX_BODY: usize = 64 << 20;

/// One REST call.
pub struct Call {
    pub app: App,
    pub identity: Identity,
    pub method: Method,
    /// As sent: with its percent-encoding.
    pub path: String,
    /// As sent.
    pub query: String,
    pub params: Params,
}

impl FromRequest<App> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> ApiResult<Self> {
        let (mut parts, body) = request.into_parts();
        let path_params = RawPathParams::from_request_parts(&mut parts, app)
            .await
            .map_err(|error| ApiError::bad_request(&error.to_string()))?;
        let OriginalUri(uri) = OriginalUri::from_request_parts(&mut parts, app)
            .await
            .unwrap_or_else(|never| match never {});
        let mut params = Params::default();
        params.add_urlencoded(uri.query().unwrap_or_default());
        let content_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_lowercase();
        let identity = parts.extensions.get::<Identity>().cloned().unwrap_or_default();
        let ignored = parts.extensions.get::<Ignored>().cloned();
        let method = parts.method.clone();
        let path = uri.path().to_owned();
        let query = uri.query().unwrap_or_default().to_owned();
        if content_type.starts_with("multipart/form-data") {
            let request = Request::from_parts(parts, body);
            add_multipart(&mut params, request, app).await?;
        } else {
            let bytes = to_bytes(body, MAX_BODY)
                .await
                .map_err(|error| ApiError::bad_request(&error.to_string()))?;
            add_body(&mut params, &content_type, &bytes)?;
        }
        if let Some(Ignored(names)) = ignored {
            names.iter().for_each(|name| params.remove(name));
        }
        for (key, value) in &path_params {
            params.set(key, value);
        }
        Ok(Self {
            app: app.clone(),
            identity,
            method,
            path,
            query,
            params,
        })
    }
}

/// A call whose body is a file: none of it becomes a parameter, whatever its content type.
pub struct Upload {
    pub call: Call,
    pub file: Bytes,
}

impl FromRequest<App> for Upload {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> ApiResult<Self> {
        let (mut parts, body) = request.into_parts();
        let file = to_bytes(body, MAX_BODY)
            .await
            .map_err(|error| ApiError::bad_request(&error.to_string()))?;
        parts.headers.remove(header::CONTENT_TYPE);
        let call = Call::from_request(Request::from_parts(parts, Body::empty()), app).await?;
        Ok(Self { call, file })
    }
}

fn add_body(params: &mut Params, content_type: &str, bytes: &Bytes) -> ApiResult<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    if content_type.contains("json") {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(object)) => params.add_object(object),
            Ok(_) => {}
            Err(_) => return Err(ApiError::parameter("message body does not match declared format")),
        }
    } else if content_type.is_empty() || content_type.starts_with("application/x-www-form-urlencoded") {
        params.add_urlencoded(&String::from_utf8_lossy(bytes));
    } else {
        return Err(ApiError::error(
            axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("The provided content-type '{content_type}' is not supported."),
        ));
    }
    Ok(())
}

async fn add_multipart(params: &mut Params, request: Request, app: &App) -> ApiResult<()> {
    let bad = |error: &dyn std::fmt::Display| ApiError::bad_request(&error.to_string());
    let mut form = Multipart::from_request(request, app)
        .await
        .map_err(|error| bad(&error))?;
    while let Some(field) = form.next_field().await.map_err(|error| bad(&error))? {
        let name = field.name().unwrap_or_default().to_owned();
        let text = field.text().await.map_err(|error| bad(&error))?;
        params.add(&name, Value::String(text));
    }
    Ok(())
}

impl Call {
    /// What the caller sees.
    pub fn view<'a>(&'a self, store: &'a Store) -> View<'a> {
        View {
            app: &self.app,
            store,
            user: self.user(store),
        }
    }

    /// The user who sends the call, if any.
    pub fn user<'a>(&'a self, store: &'a Store) -> Option<&'a User> {
        self.identity.user_in(store)
    }

    /// The user who sends the call; 401 for an anonymous one.
    pub fn authenticate<'a>(&'a self, store: &'a Store) -> ApiResult<&'a User> {
        self.user(store).ok_or_else(ApiError::unauthorized)
    }

    /// 401 for an anonymous caller, 403 for one who is not an administrator.
    pub fn authenticate_admin<'a>(&'a self, store: &'a Store) -> ApiResult<&'a User> {
        let user = self.authenticate(store)?;
        if user.admin {
            Ok(user)
        } else {
            Err(ApiError::forbidden())
        }
    }

    /// The path parameter `:id`, decoded.
    pub fn id(&self) -> &str {
        self.params.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// The project that `:id` names, by id or full path, when the caller can read it.
    pub fn project<'a>(&self, store: &'a Store) -> ApiResult<&'a Project> {
        self.find_project(store, self.id())
    }

    /// The project that the text names, when the caller can read it.
    pub fn find_project<'a>(&self, store: &'a Store, id: &str) -> ApiResult<&'a Project> {
        let numeric = id.parse().ok().map(|id| store.projects.get(id));
        let direct = numeric.unwrap_or_else(|| store.project_by_path(id));
        let moved = match (direct, store.redirect(id)) {
            (None, Some(Source::Project(target))) => store.projects.get(target),
            _ => None,
        };
        let user = self.user(store);
        let unknown = || ApiError::not_found("Project");
        let project = direct.or(moved).ok_or_else(unknown)?;
        let readable = store.can(user, Ability::ReadProject, project);
        if let Some(job) = self.identity.job.and_then(|id| store.jobs.get(id)) {
            job_token::check_reach(store, job, project, readable, &self.method, &self.path)?;
        } else if !readable {
            return Err(unknown());
        }
        if moved.is_some() {
            return Err(self.moved(id, project.id));
        }
        Ok(project)
    }

    /// The group that `:id` names, by id or full path, when the caller can read it.
    pub fn group<'a>(&self, store: &'a Store) -> ApiResult<&'a Group> {
        self.find_group(store, self.id())
    }

    /// The group that the text names, when the caller can read it. Former paths are not followed, as in GitLab.
    pub fn find_group<'a>(&self, store: &'a Store, id: &str) -> ApiResult<&'a Group> {
        let group = match id.parse() {
            Ok(id) => store.groups.get(id),
            Err(_) => store.group_by_path(id),
        };
        let user = self.user(store);
        group
            .filter(|group| store.can(user, Ability::ReadGroup, *group))
            .ok_or_else(|| ApiError::not_found("Group"))
    }

    /// 403 unless `allowed`, for an anonymous caller too.
    pub fn authorize(&self, allowed: bool) -> ApiResult<()> {
        if allowed {
            Ok(())
        } else {
            Err(ApiError::forbidden())
        }
    }

    fn moved(&self, old: &str, project_id: u64) -> ApiError {
        if self.method != Method::GET {
            return ApiError::message(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "Non GET methods are not allowed for moved projects",
            );
        }
        // Only `:id` can hold an encoded path, so the segment after `projects` is the one to replace.
        let mut segments: Vec<&str> = self.path.split('/').collect();
        let id = project_id.to_string();
        let is_old = |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8_lossy() == old;
        if let Some(place) = segments.iter_mut().find(|segment| is_old(segment)) {
            *place = &id;
        }
        let query = if self.query.is_empty() {
            String::new()
        } else {
            format!("?{}", self.query)
        };
        ApiError::moved(format!("{}{}{query}", self.app.url(), segments.join("/")))
    }
}
