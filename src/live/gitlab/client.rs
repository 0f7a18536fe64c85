//! The connection: how to reach GitLab, and what has been asked of it so far.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::limits::Limits;
use super::{Error, Kind, Reader, Retries, tls};

/// How to reach GitLab.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The instance's base URL, with its relative path if it has one.
    pub url: Url,
    /// An access token; `None`: ask as nobody.
    pub token: Option<SecretString>,
    /// Whether it is the token of a CI job, which GitLab takes in another form.
    pub job_token: bool,
    /// A PEM file with certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// For one request, its reply included. Default 30 s.
    pub timeout: Duration,
    /// Requests in flight at a time. Default 10.
    pub parallelism: usize,
    /// Default: [`Retries::default`].
    pub retries: Retries,
}

impl Settings {
    /// Settings with every default.
    pub fn new(url: Url, token: SecretString) -> Self {
        Settings {
            url,
            token: Some(token),
            job_token: false,
            ca_file: None,
            timeout: Duration::from_secs(30),
            parallelism: 10,
            retries: Retries::default(),
        }
    }
}

/// Requests sent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// GETs and GraphQL queries.
    pub reads: u64,
    /// Everything else.
    pub writes: u64,
    /// Repeats of either, not counted in those.
    pub retries: u64,
}

/// A GitLab instance, reached with one token or none. Clones share limits and counts.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Inner>);

/// What every reader and writer of a client shares.
pub(super) struct Inner {
    pub(super) http: reqwest::Client,
    /// The base URL without a slash at its end.
    base: String,
    pub(super) token: Option<SecretString>,
    pub(super) job_token: bool,
    pub(super) limits: Limits,
    pub(super) retries: Retries,
    pub(super) tally: Tally,
    pub(super) clock: Mutex<Option<Timestamp>>,
}

/// [`Counts`] while they are counted.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) reads: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) retries: AtomicU64,
}

impl Client {
    /// Prepares the connection; sends nothing. Proxies are taken from the environment (`HTTPS_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    /// [`Kind::Usage`] for a URL or token that cannot be used, [`Kind::Tls`] for a CA file that cannot.
    pub fn connect(settings: Settings) -> Result<Self, Error> {
        let base = base(&settings.url)?;
        let token = settings.token.as_ref().map(header).transpose()?;
        let token = token.map(|token| (TOKEN.parse().expect("a header's name"), token));
        // Redirects are never followed: they could carry the token elsewhere, and a redirect is not existence.
        let http = reqwest::Client::builder()
            .user_agent(concat!("autogit/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter(token.filter(|_| !settings.job_token)))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(10)));
        let http = tls::configure(http, &settings.url, settings.ca_file.as_deref())?
            .build()
            .map_err(|error| Error::new(Kind::Tls, "prepare a connection", tls::explain(&error).0))?;
        Ok(Client(Arc::new(Inner {
            http,
            base,
            token: settings.token,
            job_token: settings.job_token,
            limits: Limits::new(settings.parallelism, settings.retries.longest_pause),
            retries: settings.retries,
            tally: Tally::default(),
            clock: Mutex::default(),
        })))
    }

    /// A reader that remembers nothing yet.
    pub fn reader(&self) -> Reader {
        Reader::new(self.0.clone())
    }

    /// Requests sent so far.
    pub fn counts(&self) -> Counts {
        let Tally {
            reads,
            writes,
            retries,
        } = &self.0.tally;
        Counts {
            reads: reads.load(Ordering::Relaxed),
            writes: writes.load(Ordering::Relaxed),
            retries: retries.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    /// The URL of the REST resource at `path`, which must stay what it is: `..` in it would lead to another.
    pub(super) fn rest_url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, Error> {
        let address = format!("{}/api/v4{path}", self.base);
        let mut url = Url::parse(&address)
            .ok()
            .filter(|url| url.as_str() == address && url.query().is_none() && url.fragment().is_none())
            .ok_or_else(|| {
                Error::new(
                    Kind::Usage,
                    format!("ask for {path}"),
                    "it is not a path of the API",
                )
            })?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// The URL of the GraphQL endpoint.
    pub(super) fn graphql_url(&self) -> Url {
        Url::parse(&format!("{}/api/graphql", self.base)).expect("the base URL was checked")
    }
}

/// The header that the token goes in.
const TOKEN: &str = "private-token";

/// The token as that header's value.
fn header(token: &SecretString) -> Result<HeaderValue, Error> {
    let wrong = |why: &str| Error::new(Kind::Usage, "use the token", why);
    if token.expose_secret().is_empty() {
        return Err(wrong("it is empty"));
    }
    let mut value = HeaderValue::from_str(token.expose_secret())
        .map_err(|_| wrong("it holds characters that no token has, such as a line break"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The base URL as others are built on it.
fn base(url: &Url) -> Result<String, Error> {
    let wrong = |why: &str| Err(Error::new(Kind::Usage, "use `gitlab.url`", why));
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return wrong("it must start with https:// or http:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("it holds a login: remove that, and put an access token where `gitlab.token` points");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("it holds more than host and path: remove what follows `?` or `#`");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::gitlab::segment;

    fn client(url: &str) -> Result<Client, Error> {
        Client::connect(Settings::new(url.parse().unwrap(), "glpat-x".into()))
    }

    #[test]
    fn paths_stay_below_the_api_of_a_relative_root() {
        let client = client("http://127.0.0.1/gitlab/").unwrap();
        let path = format!(
            "/projects/{}/protected_branches/{}",
            segment("platform/api"),
            segment("release/*")
        );
        let url = client.0.rest_url(&path, &[("a", "b c")]).unwrap();
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1/gitlab/api/v4/projects/platform%2Fapi/protected_branches/release%2F%2A?a=b+c"
        );
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        let client = client("http://127.0.0.1").unwrap();
        for name in ["..", ".", "%2e%2e"] {
            let error = client
                .0
                .rest_url(&format!("/projects/1/labels/{name}"), &[])
                .unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{name}");
        }
        assert!(client.0.rest_url("/projects?x=1", &[]).is_err());
    }

    #[test]
    fn urls_that_are_no_base_are_refused() {
        for url in [
            "ftp://example.org",
            "https://u:hunter22@example.org",
            "https://example.org/?x=1",
        ] {
            let error = client(url).err().expect(url);
            assert_eq!(error.kind(), Kind::Usage);
            assert!(!error.to_string().contains("hunter22"));
        }
    }

    #[test]
    fn a_token_that_cannot_be_one_is_refused_and_not_shown() {
        for token in ["glpat-canary\n", ""] {
            let settings = Settings::new("http://127.0.0.1".parse().unwrap(), token.into());
            let error = Client::connect(settings).err().expect(token);
            assert_eq!(error.kind(), Kind::Usage);
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
