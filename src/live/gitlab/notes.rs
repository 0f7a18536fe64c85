//! Comments on a merge request: the one write that no journal knows of.
//!
//! A comment is no resource: nothing of it is declared, nothing depends on it, and one too many or too few changes nothing
//! that AutoGit manages. So it needs no ledger, no lock and no intent to be recovered from, and has a path of its own, so that
//! a [`Reader`] still cannot write and a [`super::Writer`] still journals everything. It can do nothing but comment.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{Call, Repeat};
use super::{Client, Error, Reader, segment};

/// A comment.
#[derive(Clone, Debug, Deserialize)]
pub struct Note {
    /// Its id.
    pub id: u64,
    /// What it says, in Markdown.
    pub body: String,
    /// Who wrote it.
    pub author: Author,
    /// Whether GitLab wrote it, of something that happened.
    #[serde(default)]
    pub system: bool,
}

/// Who wrote a comment.
#[derive(Clone, Debug, Deserialize)]
pub struct Author {
    /// The user's id.
    pub id: u64,
}

/// The comments of one merge request.
pub struct Notes {
    client: Client,
    reader: Reader,
    path: String,
}

impl Notes {
    /// Those of the merge request `!iid` of a project, which is named by its id or path.
    pub fn new(client: &Client, project: &str, iid: u64) -> Self {
        Notes {
            client: client.clone(),
            reader: client.reader(),
            path: format!("/projects/{}/merge_requests/{iid}/notes", segment(project)),
        }
    }

    /// The oldest comment that is `wanted`. Page by page: GitLab counts those that it does not show, so no page tells whether
    /// it is the last.
    pub async fn find(&self, wanted: impl Fn(&Note) -> bool) -> Result<Option<Note>, Error> {
        for page in 1_u32.. {
            let page = page.to_string();
            let query = [
                ("activity_filter", "only_comments"),
                ("order_by", "created_at"),
                ("sort", "asc"),
                ("per_page", "100"),
                ("page", &page),
            ];
            let notes: Vec<Note> = self.reader.get(&self.path, &query).await?;
            if notes.is_empty() {
                break;
            }
            if let Some(found) = notes.into_iter().find(&wanted) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Adds one. Not repeated when its outcome is not known: see [`Error::is_ambiguous`].
    pub async fn add(&self, body: &str) -> Result<(), Error> {
        self.send(Method::POST, &self.path, body, Repeat::Never).await
    }

    /// Replaces what one says.
    pub async fn replace(&self, id: u64, body: &str) -> Result<(), Error> {
        self.send(Method::PUT, &format!("{}/{id}", self.path), body, Repeat::Safe)
            .await
    }

    async fn send(&self, method: Method, path: &str, body: &str, repeat: Repeat) -> Result<(), Error> {
        let inner = &self.client.0;
        let body: Value = json!({ "body": body });
        let call = Call {
            url: inner.rest_url(path, &[])?,
            subject: format!("{method} {path}"),
            method,
            body: Some(&body),
            writes: true,
            repeat,
            also: &[],
        };
        inner.call(&call).await.map(|_| ())
    }
}
