//! Git over HTTP: `git http-backend` behind GitLab's checks. Packs stream through, however large.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use tokio_util::io::ReaderStream;

use super::access::{self, Granted, Service};
use crate::{app::App, error::ApiError};

/// The folder of hooks, which all repositories share.
const HOOKS: &str = "hooks";
const HOOK: &str = include_str!("pre-receive.sh");
/// Longest line that a CGI header may have, in bytes.
const MAX_HEADERS: usize = 64;

/// Answers everything below `/<full path>.git/`; other paths the sandbox lacks.
pub async fn serve(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = percent_decode_str(parts.uri.path())
        .decode_utf8_lossy()
        .into_owned();
    let Some((project, endpoint, service)) = target(&parts, &path) else {
        return match path.strip_suffix("/info/refs") {
            // Without `.git`, GitLab sends clients to the address with it.
            Some(_) if parts.uri.query().is_some() && !path.contains(".git/") => with_suffix(&parts),
            _ => ApiError::not_implemented(parts.method.as_str(), &path).into_response(),
        };
    };
    let granted = access::check(&app.read(), app.url(), project, service, &parts.headers);
    let granted = match granted {
        Ok(granted) => granted,
        Err((status, message)) => return denied(status, message),
    };
    backend(app, granted, endpoint, service, parts, body)
        .await
        .unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response())
}

fn with_suffix(parts: &Parts) -> Response {
    let path = parts.uri.path().trim_end_matches("/info/refs");
    let query = parts.uri.query().unwrap_or_default();
    let location = format!("{path}.git/info/refs?{query}");
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

fn denied(status: StatusCode, message: &'static str) -> Response {
    let mut response = (status, message).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"GitLab\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The project's path, what is asked of its repository, and for which service.
fn target<'a>(parts: &Parts, path: &'a str) -> Option<(&'a str, &'a str, Service)> {
    let (project, endpoint) = path.trim_start_matches('/').rsplit_once(".git/")?;
    let service = match (&parts.method, endpoint) {
        (&Method::GET, "info/refs") => {
            let query = parts.uri.query().unwrap_or_default();
            query.split('&').find_map(|pair| pair.strip_prefix("service="))?
        }
        (&Method::POST, service) => service,
        _ => return None,
    };
    Some((project, endpoint, Service::parse(service)?))
}

async fn backend(
    app: App,
    granted: Granted,
    endpoint: &str,
    service: Service,
    parts: Parts,
    body: Body,
) -> io::Result<Response> {
    let project = granted.project.id;
    let head = app.read().initial_branch(granted.project.namespace_id);
    let made = app.ensure_repository(project, &head).await;
    made.map_err(|error| io::Error::other(error.to_string()))?;
    let mut child = command(&app, &granted, endpoint, &parts)?.spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("git http-backend has no pipes"));
    };
    let feeder = tokio::spawn(feed(stdin, body));
    let mut stdout = BufReader::new(stdout);
    let (status, headers) = head_of(&mut stdout).await?;
    let pushed = service == Service::ReceivePack && endpoint == "git-receive-pack";
    // In a task of its own: a client that hangs up does not undo a push.
    let finished = tokio::spawn(async move {
        finish(child).await;
        feeder.abort();
        if pushed {
            app.after_push(project);
        }
    });
    let last = stream::once(async move {
        // What a push changed is there when its client has the whole answer.
        let _ = finished.await;
        Ok(Bytes::new())
    });
    let output = Body::from_stream(ReaderStream::new(stdout).chain(last));
    Ok((status, headers, output).into_response())
}

fn command(app: &App, granted: &Granted, endpoint: &str, parts: &Parts) -> io::Result<Command> {
    let root = app.options().dir.join("repositories");
    let hooks = app.options().dir.join(HOOKS);
    let header = |name: HeaderName| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{}.git/{endpoint}", granted.project.id))
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
        .env("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING))
        .env("GIT_PROTOCOL", header(HeaderName::from_static("git-protocol")))
        .envs(granted.username.as_ref().map(|name| ("REMOTE_USER", name)))
        .envs(granted.hook.iter().map(|(key, value)| (key, value)))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "core.hooksPath")
        .env("GIT_CONFIG_VALUE_0", hooks)
        .env("GIT_CONFIG_KEY_1", "uploadpack.allowFilter")
        .env("GIT_CONFIG_VALUE_1", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(length) = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
    {
        command.env("CONTENT_LENGTH", length);
    }
    Ok(command)
}

/// Puts the hook where git finds it.
pub fn install_hook(dir: &Path) -> io::Result<()> {
    let hooks = dir.join(HOOKS);
    fs::create_dir_all(&hooks)?;
    let hook = hooks.join("pre-receive");
    fs::write(&hook, HOOK)?;
    fs::set_permissions(hook, fs::Permissions::from_mode(0o755))
}

/// Passes the request's body on; git stops reading when it has seen enough, which is no failure.
async fn feed(mut stdin: ChildStdin, body: Body) {
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        if stdin.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

/// Reads the CGI header: `Status` becomes the status.
async fn head_of(stdout: &mut BufReader<ChildStdout>) -> io::Result<(StatusCode, HeaderMap)> {
    let bad = |line: &str| io::Error::other(format!("git http-backend sent a header that is none: {line}"));
    let mut status = StatusCode::OK;
    let mut headers = HeaderMap::new();
    let mut line = String::new();
    for _ in 0..MAX_HEADERS {
        line.clear();
        stdout.read_line(&mut line).await?;
        let text = line.trim_end();
        if text.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = text.split_once(": ").ok_or_else(|| bad(text))?;
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            status = code.parse().map_err(|_| bad(text))?;
        } else {
            let name = HeaderName::try_from(name).map_err(|_| bad(text))?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| bad(text))?);
        }
    }
    Err(bad(&line))
}

async fn finish(mut child: Child) {
    if let Err(error) = child.wait().await {
        eprintln!("failed to wait for git http-backend: {error}");
    }
}
