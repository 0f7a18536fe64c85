//! Refusals, in the words of GitLab's API.

use std::fmt;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// An answer other than success.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Value,
    location: Option<String>,
}

/// What a handler returns.
pub type ApiResult<T = Response> = Result<T, ApiError>;

impl ApiError {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Any status and body.
    pub fn raw(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            body,
            location: None,
        }
    }

    /// `{"message": …}`: most refusals.
    pub fn message(status: StatusCode, message: impl Into<Value>) -> Self {
        Self {
            status,
            body: json!({ "message": message.into() }),
            location: None,
        }
    }

    /// `{"error": …}`: what Grape itself refuses.
    pub fn error(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            body: json!({ "error": error.into() }),
            location: None,
        }
    }

    /// A parameter that is missing or not valid.
    pub fn parameter(error: impl Into<String>) -> Self {
        Self::error(StatusCode::BAD_REQUEST, error)
    }

    /// 400 with a reason: `400 Bad request - …`.
    pub fn bad_request(reason: &str) -> Self {
        Self::message(StatusCode::BAD_REQUEST, format!("400 Bad request - {reason}"))
    }

    pub fn unauthorized() -> Self {
        Self::message(StatusCode::UNAUTHORIZED, "401 Unauthorized")
    }

    pub fn forbidden() -> Self {
        Self::message(StatusCode::FORBIDDEN, "403 Forbidden")
    }

    pub fn forbidden_because(reason: &str) -> Self {
        Self::message(StatusCode::FORBIDDEN, format!("403 Forbidden - {reason}"))
    }

    /// `404 Project Not Found`, for `what` = `Project`.
    pub fn not_found(what: &str) -> Self {
        Self::message(StatusCode::NOT_FOUND, format!("404 {what} Not Found"))
    }

    /// What GitLab answers where a record of a known parent is missing.
    pub fn record_not_found() -> Self {
        Self::message(StatusCode::NOT_FOUND, "404 Not found")
    }

    pub fn insufficient_scope(needed: &str) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            body: json!({
                "error": "insufficient_scope",
                "error_description": "The request requires higher privileges than provided by the access token.",
                "scope": needed,
            }),
            location: None,
        }
    }

    /// 500: the sandbox itself failed.
    pub fn internal(reason: &str) -> Self {
        Self::message(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("500 Internal Server Error: {reason}"),
        )
    }

    /// 404 where GitLab has no route.
    pub fn no_route() -> Self {
        Self::error(StatusCode::NOT_FOUND, "404 Not Found")
    }

    /// 500, where GitLab itself does not handle what happened.
    pub fn unhandled() -> Self {
        Self::message(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error")
    }

    /// 501, naming the route that the sandbox lacks.
    pub fn not_implemented(method: &str, path: &str) -> Self {
        Self::error(
            StatusCode::NOT_IMPLEMENTED,
            format!("501 Not Implemented: {method} {path}"),
        )
    }

    /// 301 to where a project or group lives now.
    pub fn moved(location: String) -> Self {
        Self {
            status: StatusCode::MOVED_PERMANENTLY,
            body: Value::String(format!("This resource has been moved permanently to {location}")),
            location: Some(location),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self
            .body
            .get("message")
            .or_else(|| self.body.get("error"))
            .unwrap_or(&self.body);
        match text {
            Value::String(text) => formatter.write_str(text),
            other => other.fmt(formatter),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(location) = self.location.and_then(|url| HeaderValue::try_from(url).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}
