//! Reading: the half of the client that has no means to write.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::client::Inner;
use super::request::{Call, Repeat};
use super::{Error, Kind, Page, RateLimit, graphql};

/// Reads from GitLab, and has no way to write. Clones share what [`Reader::memo`] remembers.
///
/// Paths are relative to `/api/v4` and start with a slash; their parts are encoded by [`super::segment`].
///
/// ```compile_fail
/// async fn write(reader: &autogit::live::gitlab::Reader) {
///     let _ = reader.post::<()>("/projects", Default::default()).await;
/// }
/// ```
#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
    memos: Arc<Mutex<HashMap<(String, TypeId), Memo>>>,
}

/// Filled once, by whoever asks first.
type Memo = Arc<OnceCell<Arc<dyn Any + Send + Sync>>>;

impl Reader {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Reader {
            inner,
            memos: Arc::default(),
        }
    }

    /// One object. A redirect is [`Kind::Moved`], not the object it points at.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Error> {
        let call = Call {
            method: Method::GET,
            url: self.inner.rest_url(path, query)?,
            subject: format!("GET {path}"),
            body: None,
            writes: false,
            repeat: Repeat::Safe,
            also: &[],
        };
        self.inner.call(&call).await?.decode(&call.subject)
    }

    /// One object, or `None` where GitLab answers 404. A redirect is an error, as in [`Reader::get`].
    pub async fn find<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<T>, Error> {
        match self.get(path, query).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A whole list, all its pages, or an error. Ask for a stable order (`order_by=id&sort=asc`) where there is one.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, Error> {
        let page = self.first_page(path, query).await?;
        self.rest(page).await
    }

    /// The first page of a list, for callers that decide by its total how to go on. Its `per_page` is always 100.
    pub async fn first_page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Page<T>, Error> {
        self.inner.first_page(path, query).await
    }

    /// The whole list that `page` begins, or [`Kind::Partial`].
    pub async fn rest<T: DeserializeOwned>(&self, page: Page<T>) -> Result<Vec<T>, Error> {
        self.inner.rest(page).await
    }

    /// The `data` of a GraphQL query. A document that is not a query is refused; `errors` in the answer are an error.
    pub async fn query<T: DeserializeOwned>(&self, document: &str, variables: Value) -> Result<T, Error> {
        let data = self.inner.query(document, &variables).await?;
        graphql::decode(data, &format!("query {}", graphql::operation(document)))
    }

    /// All nodes of the connection at `pointer` (a JSON pointer into `data`: `/group/projects`), following its pages.
    ///
    /// The document takes `$after: String` and asks the connection for `nodes` and `pageInfo { hasNextPage endCursor }`.
    /// An `after` already in `variables` is where it starts. Nothing at `pointer` is [`Kind::NotFound`].
    pub async fn query_pages<T: DeserializeOwned>(
        &self,
        document: &str,
        variables: Value,
        pointer: &str,
    ) -> Result<Vec<T>, Error> {
        self.inner.query_pages(document, variables, pointer).await
    }

    /// What `fetch` gives, fetched once per `key` and type for this reader and its clones, however many ask at
    /// a time. A failure is not remembered.
    pub async fn memo<T, F>(&self, key: &str, fetch: F) -> Result<Arc<T>, Error>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let memo = {
            let mut memos = self.memos.lock().unwrap_or_else(PoisonError::into_inner);
            memos
                .entry((key.to_owned(), TypeId::of::<T>()))
                .or_default()
                .clone()
        };
        let value =
            memo.get_or_try_init(|| async { Ok(Arc::new(fetch.await?) as Arc<dyn Any + Send + Sync>) });
        let value = value.await?.clone();
        Ok(value.downcast().expect("the type is part of the key"))
    }

    /// How many things a list holds, without reading them; `None` where GitLab does not count: above 10,000.
    pub async fn count(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<u64>, Error> {
        self.inner.count(path, query).await
    }

    /// The rate limits that GitLab has told of.
    pub fn rate_limits(&self) -> Vec<RateLimit> {
        self.inner.limits.told()
    }

    /// GitLab's clock, as of its last reply.
    pub fn server_time(&self) -> Option<jiff::Timestamp> {
        *self.inner.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
