//! What can go wrong between here and GitLab, in words that say what to do about it.

use std::fmt;

/// What sort of failure it was: what a caller may decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 401: the token is missing, wrong, expired or revoked.
    Unauthorized,
    /// 403: the token's scope, or its user's role, does not allow it.
    Forbidden,
    /// 404: not there, or not visible to this token.
    NotFound,
    /// A redirect, or a write to what has moved: it lives at another address now.
    Moved,
    /// 409: it exists already, or changed meanwhile.
    Conflict,
    /// 400, 405, 422 and the like, or a mutation's `errors`: GitLab refused the values.
    Invalid,
    /// 429, for longer than it is worth waiting.
    RateLimited,
    /// 5xx.
    Server,
    /// No reply: no connection, a timeout, a reply that broke off.
    Transport,
    /// No trusted connection: the certificate, or the file that should vouch for it.
    Tls,
    /// A list that did not come whole.
    Partial,
    /// A GraphQL document was answered with errors.
    GraphQl(GraphQlRefusal),
    /// The reply is not what was expected of this endpoint.
    Decode,
    /// The journal could not be written.
    Journal,
    /// The request or the settings are wrong: nothing was sent.
    Usage,
}

/// Why GraphQL refused a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphQlRefusal {
    /// This version or edition does not know a field, an argument or a type.
    Unsupported,
    /// The resource is not there, or a right is missing.
    Denied,
    /// Too complex, too deep, too long, or it ran into GitLab's time limit.
    TooComplex,
    /// Anything else.
    Other,
}

/// What failed, and why. Displays as one line that holds no secret; [`Error::remedy`] says what to do.
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: Kind,
    subject: String,
    detail: String,
    status: Option<u16>,
    ambiguous: bool,
    location: Option<String>,
    in_words: bool,
    scope: Option<&'static str>,
    needs: Option<String>,
    hint: Option<String>,
}

impl Error {
    pub(super) fn new(kind: Kind, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Error(Box::new(Details {
            kind,
            subject: subject.into(),
            detail: detail.into(),
            status: None,
            ambiguous: false,
            location: None,
            in_words: false,
            scope: None,
            needs: None,
            hint: None,
        }))
    }

    pub(super) fn status_is(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    pub(super) fn ambiguous_is(mut self, ambiguous: bool) -> Self {
        self.0.ambiguous = ambiguous;
        self
    }

    pub(super) fn location_is(mut self, location: Option<String>) -> Self {
        self.0.location = location;
        self
    }

    pub(super) fn in_words_is(mut self, in_words: bool) -> Self {
        self.0.in_words = in_words;
        self
    }

    pub(super) fn scope_is(mut self, scope: Option<&'static str>) -> Self {
        self.0.scope = scope;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(super) fn kind_is(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What sort of failure it was.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What was being done: `GET /projects/1`, `query projects`.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The HTTP status, where there was a reply.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// GitLab's own words, or the cause, without what was being done.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether the refusal came in words, as GitLab's do; that of a proxy before it is a bare status.
    pub fn is_in_words(&self) -> bool {
        self.0.in_words
    }

    /// Whether a write may have happened all the same: look it up before repeating it.
    pub fn is_ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// Whether GraphQL cannot answer this here (a field, a right, complexity), so that REST is worth asking.
    pub fn calls_for_rest(&self) -> bool {
        use GraphQlRefusal::{Denied, TooComplex, Unsupported};
        matches!(self.0.kind, Kind::GraphQl(Unsupported | Denied | TooComplex))
    }

    /// Where GitLab redirected to.
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// Adds the right that this needs, shown where access is refused: `Maintainer of platform/api`.
    pub fn needs(mut self, right: impl Into<String>) -> Self {
        self.0.needs = Some(right.into());
        self
    }

    /// Says that GitLab's API is not where it was looked for.
    pub fn no_api(self) -> Self {
        self.hint("set `gitlab.url` to GitLab's base address: this is not its API")
    }

    /// What to do about it, as a sentence; `None` where GitLab's own words say all there is.
    pub fn remedy(&self) -> Option<String> {
        let Details {
            kind,
            scope,
            needs,
            hint,
            ..
        } = &*self.0;
        if hint.is_some() {
            return hint.clone();
        }
        let said = match (kind, scope, needs) {
            (Kind::Unauthorized, ..) => "the token is not valid, or has expired: create one under \
                 Preferences > Access tokens with the scope `read_api` to plan or `api` to apply, and put it where the token's reference points"
                .to_owned(),
            (Kind::Forbidden, Some(scope), _) => format!(
                "the token lacks a scope: create one under Preferences > Access tokens with the scope {scope}"
            ),
            (Kind::Forbidden | Kind::GraphQl(GraphQlRefusal::Denied), _, Some(right)) => {
                format!("the token's user needs to be {right}")
            }
            (Kind::Forbidden | Kind::GraphQl(GraphQlRefusal::Denied), ..) => {
                "the token's user lacks the role for this: give it a higher one, or use another user's token"
                    .to_owned()
            }
            (Kind::NotFound, _, Some(right)) => {
                format!("it is not there, or not visible to this token: seeing it needs {right}")
            }
            (Kind::NotFound, ..) => "it is not there, or not visible to this token".to_owned(),
            (Kind::Moved, ..) => "it was renamed or transferred: use its present path".to_owned(),
            (Kind::Conflict, ..) => "it exists already, or was changed meanwhile: plan again".to_owned(),
            (Kind::RateLimited, ..) => "wait and run it again, or lower --parallelism".to_owned(),
            (Kind::Server, ..) => "GitLab's own log says more; run it again once it answers".to_owned(),
            (Kind::Transport, ..) => "check the URL, the network and the proxy settings".to_owned(),
            (Kind::Partial, ..) => "the list kept changing or came cut off: run it again".to_owned(),
            (Kind::Decode, ..) => {
                "check that `gitlab.url` names GitLab itself, version 17.0 or later".to_owned()
            }
            (Kind::Journal, ..) => "run it again once the state can be written".to_owned(),
            (Kind::Invalid | Kind::Tls | Kind::Usage | Kind::GraphQl(_), ..) => return None,
        };
        Some(said)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}: {}", self.0.subject, self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}
