//! Backups in S3-compatible object storage: objects under a backup's id, large ones in parts.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::{Client, Response, Url};
use rusty_s3::actions::{CreateMultipartUpload, ListObjectsV2};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use secrecy::{ExposeSecret, SecretString};

use super::super::manifest::{Id, MANIFEST};
use super::super::stream::{self, Source};
use crate::instance::Error;

/// The least that a part is, and so what is in memory at a time.
const PART: u64 = 16 << 20;
/// How many parts there can be, less some for what grows meanwhile. S3 takes 10 000.
const PARTS: u64 = 8_000;
/// How long a signed request is good for.
const GOOD_FOR: Duration = Duration::from_secs(3600);
/// How often a request is tried.
const TRIES: u32 = 4;
/// Whatever listing or answer is larger is none.
const ANSWER: usize = 16 << 20;

/// A bucket, and what stands before all names in it.
pub struct S3 {
    bucket: Bucket,
    credentials: Credentials,
    prefix: String,
    client: Client,
}

impl S3 {
    pub fn new(
        endpoint: &str,
        region: Option<&str>,
        bucket: &str,
        prefix: Option<&str>,
        (key, secret): (&str, SecretString),
    ) -> Result<Self, Error> {
        let failed = |why: String| {
            Error::failed(
                format!("failed to use the object storage at {endpoint}: {why}"),
                "correct `gitlab.deploy.backup.to.s3`",
            )
        };
        let url: Url = endpoint.parse().map_err(|error| failed(format!("{error}")))?;
        let region = region.unwrap_or("us-east-1").to_owned();
        let bucket = Bucket::new(url, UrlStyle::Path, bucket.to_owned(), region);
        // Whoever installed one before us did so for the whole process; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(30))
            .read_timeout(Duration::from_secs(300))
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(S3 {
            bucket: bucket.map_err(|error| failed(error.to_string()))?,
            credentials: Credentials::new(key, secret.expose_secret()),
            prefix: match prefix.map(|prefix| prefix.trim_matches('/')) {
                None | Some("") => String::new(),
                Some(prefix) => format!("{prefix}/"),
            },
            client: client.map_err(|error| failed(error.to_string()))?,
        })
    }

    fn key(&self, id: &Id, name: &str) -> String {
        format!("{}{id}/{name}", self.prefix)
    }

    pub async fn put(&self, id: &Id, name: &str, mut source: Source, size: u64) -> io::Result<()> {
        let key = self.key(id, name);
        let part = usize::try_from(PART.max(size / PARTS)).map_err(io::Error::other)?;
        let first = fill(&mut source, part).await?;
        if first.len() < part {
            let action = self.bucket.put_object(Some(&self.credentials), &key);
            return self.send(&action, &key, first).await.map(drop);
        }
        let begun = CreateMultipartUpload::new(&self.bucket, Some(&self.credentials), &key);
        let answer = self.text(&begun, &key).await?;
        let upload = CreateMultipartUpload::parse_response(&answer).map_err(|error| unclear(&key, error))?;
        let upload = upload.upload_id();
        let sent = self.send_parts(&key, upload, first, source, part).await;
        if sent.is_err() {
            let abort = self
                .bucket
                .abort_multipart_upload(Some(&self.credentials), &key, upload);
            if let Err(error) = self.send(&abort, &key, Bytes::new()).await {
                tracing::warn!(%error, "failed to take back what was uploaded");
            }
        }
        sent
    }

    async fn send_parts(
        &self,
        key: &str,
        upload: &str,
        first: Bytes,
        mut source: Source,
        part: usize,
    ) -> io::Result<()> {
        let mut tags = Vec::new();
        let mut content = first;
        while !content.is_empty() {
            let number = u16::try_from(tags.len() + 1).map_err(io::Error::other)?;
            let action = self
                .bucket
                .upload_part(Some(&self.credentials), key, number, upload);
            let answer = self.send(&action, key, content).await?;
            let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
            let tag = tag.ok_or_else(|| unclear(key, "it names no ETag"))?;
            tags.push(tag.to_owned());
            content = fill(&mut source, part).await?;
        }
        let tags = tags.iter().map(String::as_str);
        let action = self
            .bucket
            .complete_multipart_upload(Some(&self.credentials), key, upload, tags);
        let url = action.sign(GOOD_FOR);
        let body = Bytes::from(action.body());
        let answer = self.request(reqwest::Method::POST, url, key, body).await?;
        // Even a 200 can tell of a failure. What a success is called differs between servers.
        let answer = text(key, answer).await?;
        match answer.contains("<Error") {
            true => Err(io::Error::other(format!(
                "failed to put {key} together{}",
                complaint(&answer)
            ))),
            false => Ok(()),
        }
    }

    /// The names of the objects, by backup.
    pub async fn files(&self) -> io::Result<BTreeMap<Id, Vec<String>>> {
        let mut all: BTreeMap<Id, Vec<String>> = BTreeMap::new();
        let mut next: Option<String> = None;
        loop {
            let mut action = ListObjectsV2::new(&self.bucket, Some(&self.credentials));
            action.with_prefix(self.prefix.as_str());
            if let Some(token) = next {
                action.with_continuation_token(token);
            }
            let what = format!("{} {}", self.bucket.name(), self.prefix);
            let answer = self.text(&action, what.trim_end()).await?;
            let page = ListObjectsV2::parse_response(&answer).map_err(|error| unclear(&what, error))?;
            for object in page.contents {
                let key = percent_encoding::percent_decode_str(&object.key).decode_utf8_lossy();
                let rest = key.strip_prefix(self.prefix.as_str()).unwrap_or_default();
                if let Some((id, name)) = rest.split_once('/')
                    && let Ok(id) = id.parse()
                {
                    all.entry(id).or_default().push(name.to_owned());
                }
            }
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    pub async fn get(&self, id: &Id, name: &str) -> io::Result<Source> {
        let key = self.key(id, name);
        let action = self.bucket.get_object(Some(&self.credentials), &key);
        let answer = self.send(&action, &key, Bytes::new()).await?;
        Ok(content(answer))
    }

    pub async fn remove(&self, ids: &[Id]) -> io::Result<()> {
        let mut files = self.files().await?;
        for id in ids {
            let mut names = files.remove(id).unwrap_or_default();
            // From then on it does not look like one, however far this comes.
            names.sort_by_key(|name| name != MANIFEST);
            for name in names {
                let key = self.key(id, &name);
                let action = self.bucket.delete_object(Some(&self.credentials), &key);
                self.send(&action, &key, Bytes::new()).await?;
            }
        }
        Ok(())
    }

    async fn text<'a, A: S3Action<'a>>(&self, action: &A, what: &str) -> io::Result<String> {
        text(what, self.send(action, what, Bytes::new()).await?).await
    }

    async fn send<'a, A: S3Action<'a>>(&self, action: &A, what: &str, body: Bytes) -> io::Result<Response> {
        let method = match A::METHOD {
            rusty_s3::Method::Get => reqwest::Method::GET,
            rusty_s3::Method::Head => reqwest::Method::HEAD,
            rusty_s3::Method::Put => reqwest::Method::PUT,
            rusty_s3::Method::Post => reqwest::Method::POST,
            rusty_s3::Method::Delete => reqwest::Method::DELETE,
        };
        self.request(method, action.sign(GOOD_FOR), what, body).await
    }

    /// Sends a request, again where that may help. Its URL is signed, and so never in an error.
    async fn request(
        &self,
        method: reqwest::Method,
        url: Url,
        what: &str,
        body: Bytes,
    ) -> io::Result<Response> {
        let failed = |why: String| {
            io::Error::other(format!(
                "failed to {method} {what} at {}: {why}",
                self.bucket.base_url()
            ))
        };
        let mut pause = Duration::from_millis(500);
        for last in (0..TRIES).map(|number| number + 1 == TRIES) {
            let request = self
                .client
                .request(method.clone(), url.clone())
                .body(body.clone());
            match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) if last || !may_pass(answer.status()) => {
                    let status = answer.status();
                    let said = text(what, answer).await.unwrap_or_default();
                    return Err(failed(format!("{status}{}", complaint(&said))));
                }
                Err(error) if last => {
                    let error = error.without_url();
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                    return Err(failed(format!("{error}{}", cause.unwrap_or_default())));
                }
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 3;
        }
        unreachable!("the last try returns")
    }
}

fn may_pass(status: reqwest::StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 429)
}

/// What S3 says of a failure: `NoSuchBucket: The specified bucket does not exist`.
fn complaint(answer: &str) -> String {
    let between = |tag: &str| {
        let (_, rest) = answer.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(text, _)| text)
    };
    match (between("Code"), between("Message")) {
        (Some(code), Some(message)) => format!(" ({code}: {message})"),
        _ => String::new(),
    }
}

fn unclear(what: &str, why: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("failed to read the answer about {what}: {why}"))
}

fn content(answer: Response) -> Source {
    let chunks = futures_util::stream::try_unfold(answer, async |mut answer| {
        let chunk = answer.chunk().await;
        let chunk = chunk.map_err(|error| io::Error::other(error.without_url()))?;
        Ok(chunk.map(|chunk| (chunk, answer)))
    });
    chunks.boxed()
}

async fn text(what: &str, answer: Response) -> io::Result<String> {
    let content = stream::collect(content(answer), ANSWER).await?;
    String::from_utf8(content).map_err(|error| unclear(what, error))
}

/// The next so many bytes, or what is left.
async fn fill(source: &mut Source, size: usize) -> io::Result<Bytes> {
    let mut content = BytesMut::new();
    while content.len() < size {
        match source.next().await {
            Some(chunk) => content.extend_from_slice(&chunk?),
            None => break,
        }
    }
    Ok(content.freeze())
}
