//! Writing: every write is in the journal before it is sent, and after its outcome is known.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::request::{Call, Repeat, Reply};
use super::{Client, Error, Kind, Reader, graphql};
use crate::core::Address;

/// What became of a write, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// GitLab did it.
    Done,
    /// GitLab did nothing: it refused, or was never reached.
    Refused,
}

/// The record of intended and finished writes. An intent that is never closed is a write whose outcome is not known.
pub trait Journal: Send + Sync {
    /// Called before `write` (`POST /projects`) is sent for `address`; must be durable when it is done.
    /// Gives the intent's number.
    fn intent<'a>(&'a self, address: &'a Address, write: &'a str) -> BoxFuture<'a, io::Result<u64>>;

    /// Called when the outcome of intent `id` is known.
    fn done(&self, id: u64, outcome: Outcome) -> io::Result<()>;

    /// Called before `guard` is made, which stands in for `of` while that is being replaced.
    fn guard<'a>(&'a self, guard: &'a Address, of: &'a Address) -> BoxFuture<'a, io::Result<()>>;
}

/// Writes to GitLab on behalf of one resource.
pub struct Writer {
    client: Client,
    reader: Reader,
    journal: Arc<dyn Journal>,
    address: Arc<Address>,
}

impl Writer {
    /// A writer for one action on the resource at `address`.
    pub fn new(client: &Client, journal: Arc<dyn Journal>, address: Address) -> Self {
        Writer {
            client: client.clone(),
            reader: client.reader(),
            journal,
            address: Arc::new(address),
        }
    }

    /// A writer for a rule at `guard` that stands in for this writer's resource while that is being replaced.
    ///
    /// # Errors
    /// When the journal cannot record it.
    pub async fn guarding(&self, guard: Address) -> Result<Writer, Error> {
        let recorded = self.journal.guard(&guard, &self.address).await;
        recorded.map_err(|error| {
            Error::new(
                Kind::Journal,
                format!("guard {}", self.address),
                error.to_string(),
            )
        })?;
        Ok(Writer::new(&self.client, self.journal.clone(), guard))
    }

    /// A reader that remembers nothing from before this action.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Creates. Never repeated when its outcome is not known: see [`Error::is_ambiguous`].
    /// An empty reply decodes as `null`.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, Error> {
        self.send(Method::POST, path, &[], Some(body), Repeat::Never)
            .await
    }

    /// Sets. Repeated on faults, so `body` must say the outcome, not a step towards it.
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, Error> {
        self.send(Method::PUT, path, &[], Some(body), Repeat::Safe).await
    }

    /// Sets some fields. Repeated on faults: GitLab's PATCHes take the fields' new values, so twice is the same
    /// as once.
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, Error> {
        self.send(Method::PATCH, path, &[], Some(body), Repeat::Safe)
            .await
    }

    /// Deletes. Repeated on faults; "not found" on a repeat means that it worked.
    pub async fn delete(&self, path: &str, query: &[(&str, &str)]) -> Result<(), Error> {
        let _: serde::de::IgnoredAny = self.send(Method::DELETE, path, query, None, Repeat::Safe).await?;
        Ok(())
    }

    /// The `data` of a GraphQL mutation: one field, under an operation with a name. Non-empty `errors` in its
    /// payload are [`Kind::Invalid`]. Never repeated when its outcome is not known.
    pub async fn mutate<T: DeserializeOwned>(&self, document: &str, variables: Value) -> Result<T, Error> {
        let subject = format!("mutate {}", graphql::operation(document));
        let inner = &self.client.0;
        let data = self
            .journaled(subject.clone(), async {
                let data = inner
                    .execute(document, &variables, subject.clone(), Repeat::Never)
                    .await?;
                match graphql::complaints(&data) {
                    Some(errors) => {
                        let said = inner.said(errors, &variables);
                        Err(Error::new(
                            Kind::Invalid,
                            &subject,
                            format!("GitLab refused: {said}"),
                        ))
                    }
                    None => Ok(data),
                }
            })
            .await?;
        graphql::decode(data, &subject)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
        repeat: Repeat,
    ) -> Result<T, Error> {
        let call = Call {
            url: self.client.0.rest_url(path, query)?,
            subject: format!("{method} {path}"),
            method,
            body: body.as_ref(),
            writes: true,
            repeat,
            also: &[],
        };
        let reply: Reply = self
            .journaled(call.subject.clone(), self.client.0.call(&call))
            .await?;
        reply.decode(&call.subject)
    }

    /// Carries out `write` between its two entries in the journal; without the second where the outcome is not
    /// known.
    async fn journaled<R>(
        &self,
        subject: String,
        write: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        let failed = |error: io::Error| {
            Error::new(
                Kind::Journal,
                format!("journal {subject} for {}", self.address),
                error.to_string(),
            )
        };
        let id = self
            .journal
            .intent(&self.address, &subject)
            .await
            .map_err(failed)?;
        let result = write.await;
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(error) if error.is_ambiguous() => return result,
            Err(_) => Outcome::Refused,
        };
        match (self.journal.done(id, outcome).map_err(failed), result) {
            // What GitLab said matters more than that it could not be written down.
            (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
            (Ok(()), Ok(reply)) => Ok(reply),
        }
    }
}
