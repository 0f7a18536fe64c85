//! One request: sent when there is room for it, repeated where that is safe, traced, and its failure put in words.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::client::Inner;
use super::retry::{self, Tries};
use super::{Error, Kind, message, redact, tls};

/// Whether a request may be sent again when it may have been carried out already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is the same as once.
    Safe,
    /// Twice could be two.
    Never,
}

/// The user that a CI job's token belongs to in basic authentication.
const JOB_USER: &str = "gitlab-ci-token";

/// A request to send.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What it is called in errors and traces: `GET /projects/1`, without the query.
    pub(super) subject: String,
    pub(super) body: Option<&'a Value>,
    pub(super) writes: bool,
    pub(super) repeat: Repeat,
    /// Statuses that are an answer, too, where others would be a failure.
    pub(super) also: &'static [u16],
}

/// A reply, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// Why one try failed.
enum Fault {
    /// GitLab answered, and not with what was asked for.
    Refused(Reply),
    /// There was no reply.
    Lost(reqwest::Error),
}

impl Inner {
    /// Sends `call` until it succeeds, or fails for good.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Reply, Error> {
        let counter = if call.writes {
            &self.tally.writes
        } else {
            &self.tally.reads
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut tries = Tries::new(self.retries);
        // Whether one of the tries may have been carried out without our knowing.
        let mut doubt = false;
        loop {
            let fault = match self.attempt(call, tries.number).await {
                Ok(reply) if reply.status.is_success() || call.also.contains(&reply.status.as_u16()) => {
                    return Ok(reply);
                }
                Ok(reply)
                    if doubt && call.method == Method::DELETE && reply.status == StatusCode::NOT_FOUND =>
                {
                    return Ok(reply);
                }
                Ok(reply) => Fault::Refused(reply),
                Err(error) => Fault::Lost(error),
            };
            doubt |= call.writes && fault.leaves_doubt();
            let again = fault.is_passing() && (call.repeat == Repeat::Safe || !fault.leaves_doubt());
            let asked = fault.asked_wait();
            let wait = again.then(|| tries.next(asked)).flatten();
            let Some(wait) = wait else {
                return Err(self.describe(call, fault, tries.number).ambiguous_is(doubt));
            };
            if asked.is_some() {
                tracing::info!(
                    request = call.subject,
                    seconds = wait.as_secs(),
                    "waiting as GitLab asks"
                );
            }
            tokio::time::sleep(wait).await;
            self.tally.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends `call` once.
    async fn attempt(&self, call: &Call<'_>, number: u32) -> Result<Reply, reqwest::Error> {
        let slot = self.limits.admit().await;
        let started = Instant::now();
        let mut request = self.http.request(call.method.clone(), call.url.clone());
        if let Some(token) = self.token.as_ref().filter(|_| self.job_token) {
            request = request.basic_auth(JOB_USER, Some(token.expose_secret()));
        }
        if let Some(body) = call.body {
            tracing::trace!(request = call.subject, body = %redact::masked(body), "sending");
            request = request.json(body);
        }
        let result = async {
            let reply = request.send().await?;
            let (status, headers) = (reply.status(), reply.headers().clone());
            Ok(Reply {
                status,
                headers,
                body: reply.text().await?,
            })
        }
        .await;
        drop(slot);
        if let Ok(reply) = &result {
            self.note(reply);
        }
        self.trace(call, number, started.elapsed(), &result);
        result
    }

    /// Learns from a reply's headers what time it is there, and what may still be asked.
    fn note(&self, reply: &Reply) {
        let sent = retry::date(&reply.headers, "date");
        self.limits.note(&reply.headers, sent);
        if sent.is_some() {
            *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = sent;
        }
    }

    /// What a fault means to whoever asked.
    fn describe(&self, call: &Call<'_>, fault: Fault, tries: u32) -> Error {
        match fault {
            Fault::Refused(reply) => {
                let body = self.without_secrets(&reply.json(), call.body);
                refused(call, &reply, &body, tries)
            }
            Fault::Lost(error) if tls::is_tls(&error) => {
                let (why, hint) = tls::explain(&error);
                let error = Error::new(Kind::Tls, &call.subject, why);
                match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            Fault::Lost(error) => {
                let why = match (error.is_timeout(), error.is_connect()) {
                    (true, true) => "no connection in time".to_owned(),
                    (true, false) => "no reply in time".to_owned(),
                    (false, true) => format!("no connection: {}", tls::innermost(&error)),
                    (false, false) => format!("the connection broke off: {}", tls::innermost(&error)),
                };
                Error::new(Kind::Transport, &call.subject, after(why, tries))
            }
        }
    }

    /// `reply` without our token and the secrets in what was `sent`: it may repeat them.
    pub(super) fn without_secrets(&self, reply: &Value, sent: Option<&Value>) -> Value {
        let token = self.token.as_ref().map(ExposeSecret::expose_secret);
        redact::scrubbed(reply, token, sent)
    }

    fn trace(&self, call: &Call<'_>, attempt: u32, took: Duration, result: &Result<Reply, reqwest::Error>) {
        let ms = took.as_millis();
        match result {
            Ok(reply) => {
                tracing::debug!(
                    request = call.subject,
                    status = reply.status.as_u16(),
                    ms,
                    attempt,
                    "answered"
                );
                if tracing::enabled!(tracing::Level::TRACE) {
                    let body = redact::masked(&self.without_secrets(&reply.json(), call.body));
                    tracing::trace!(request = call.subject, %body, "received");
                }
            }
            Err(error) => {
                tracing::debug!(
                    request = call.subject,
                    error = tls::innermost(error),
                    ms,
                    attempt,
                    "no answer"
                );
            }
        }
    }
}

impl Fault {
    /// Whether the request may have been carried out all the same. 429 is answered before anything is done.
    fn leaves_doubt(&self) -> bool {
        match self {
            Fault::Refused(reply) => reply.status.is_server_error() || reply.is_locked(),
            Fault::Lost(error) => !error.is_connect() && !error.is_builder(),
        }
    }

    /// Whether the same request may succeed later.
    fn is_passing(&self) -> bool {
        match self {
            Fault::Refused(reply) => {
                matches!(reply.status.as_u16(), 429 | 500 | 502 | 503 | 504) || reply.is_locked()
            }
            Fault::Lost(error) => !error.is_builder() && !tls::is_tls(error),
        }
    }

    fn asked_wait(&self) -> Option<Duration> {
        match self {
            Fault::Refused(reply) => retry::retry_after(&reply.headers),
            Fault::Lost(_) => None,
        }
    }
}

impl Reply {
    /// GitLab failed to get a lock in time: not a conflict with anything that exists.
    fn is_locked(&self) -> bool {
        self.status == StatusCode::CONFLICT && self.body.contains("Resource lock")
    }

    /// The body as far as it is JSON; `null` where it is not.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The body as `T`; an empty one as `null`.
    pub(super) fn decode<T: DeserializeOwned>(&self, subject: &str) -> Result<T, Error> {
        let body = if self.body.is_empty() { "null" } else { &self.body };
        let mut json = serde_json::Deserializer::from_str(body);
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let wrong = |why| Error::new(Kind::Decode, subject, why).status_is(self.status.as_u16());
            if error.inner().is_syntax() || error.inner().is_eof() {
                let kind = self
                    .headers
                    .get(CONTENT_TYPE)
                    .and_then(|kind| kind.to_str().ok())
                    .unwrap_or("unnamed");
                return wrong(format!("the reply is not JSON (its content type is {kind})"));
            }
            wrong(misfit(&error.path().to_string(), &error.inner().to_string()))
        })
    }
}

/// Says which field does not fit, without the value that serde repeats: it may be secret.
pub(super) fn misfit(path: &str, why: &str) -> String {
    let why = match why.rfind(", expected ") {
        Some(at) => &why[at + 2..],
        None if why.starts_with("missing field") => why,
        None => "it is not as documented",
    };
    // serde_json ends its messages with a position in a text that nobody sees.
    let why = why.split(" at line ").next().unwrap_or_default();
    format!("`{path}` in the reply does not fit: {why}")
}

/// A number in a header.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// What a reply means that is not a success; `body` is its own, without secrets.
pub(super) fn refused(call: &Call<'_>, reply: &Reply, body: &Value, tries: u32) -> Error {
    let status = reply.status.as_u16();
    let said = message::flatten(body);
    let detail = match said.strip_prefix(reply.status.as_str()) {
        Some(_) => format!("GitLab answered {said}"),
        None if said.is_empty() => format!("GitLab answered {}", reply.status),
        None => format!("GitLab answered {status}: {said}"),
    };
    let kind = match status {
        300..=399 => return moved(call, reply),
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        404 => Kind::NotFound,
        405 if said.contains("moved projects") => Kind::Moved,
        409 => Kind::Conflict,
        429 => Kind::RateLimited,
        500.. => Kind::Server,
        _ => Kind::Invalid,
    };
    let error = Error::new(kind, &call.subject, after(detail, tries))
        .status_is(status)
        .in_words_is(!said.is_empty())
        .scope_is(message::missing_scope(body, call.writes));
    match retry::retry_after(&reply.headers) {
        Some(wait) if kind == Kind::RateLimited => error.hint(format!(
            "run it again in {} s, or lower --parallelism",
            wait.as_secs()
        )),
        _ => error,
    }
}

/// What a redirect means. It is not followed: the token goes nowhere else, and what moved is not here.
fn moved(call: &Call<'_>, reply: &Reply) -> Error {
    let location = reply
        .headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok());
    let target = location.and_then(|location| call.url.join(location).ok());
    let shown = target.as_ref().map(|target| {
        let mut target = target.clone();
        target.set_query(None);
        target.set_fragment(None);
        target.to_string()
    });
    let detail = match &shown {
        Some(target) => format!("GitLab redirects to {target}"),
        None => format!("GitLab answered {} without saying where to", reply.status),
    };
    let error = Error::new(Kind::Moved, &call.subject, detail)
        .status_is(reply.status.as_u16())
        .location_is(shown);
    match target {
        Some(target) if call.url.scheme() == "http" && target.scheme() == "https" => {
            error.hint("write https:// in `gitlab.url`")
        }
        Some(target) if target.origin() != call.url.origin() => {
            error.hint("set `gitlab.url` to GitLab's own address: redirects to another one are not followed")
        }
        Some(target) if !target.path().contains("/api/") => error.no_api(),
        _ => error,
    }
}

/// Says that it was not for want of trying.
fn after(what: String, tries: u32) -> String {
    match tries {
        1 => what,
        _ => format!("{what} ({tries} attempts)"),
    }
}
