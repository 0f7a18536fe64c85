//! Lists: all pages, or an error; never a part taken for the whole.

use futures_util::future::try_join_all;
use reqwest::Method;
use reqwest::header::{HeaderMap, LINK};
use serde::de::DeserializeOwned;
use url::Url;

use super::client::Inner;
use super::request::{Call, Repeat, number};
use super::{Error, Kind};

/// GitLab's maximum.
const PER_PAGE: &str = "100";

/// The first page of a list. Only what [`super::Reader::rest`] makes of it is checked to be whole.
pub struct Page<T> {
    /// What is on it: at most 100.
    pub items: Vec<T>,
    /// How many there are in all; GitLab does not count above 10,000, nor in keyset lists.
    pub total: Option<u64>,
    url: Url,
    subject: String,
    per_page: u64,
    next: Next,
}

/// How a list goes on.
enum Next {
    /// It does not.
    End,
    /// By pages of known number, up to this one.
    Pages(u64),
    /// By a link to the next page.
    Link(Url),
}

/// Why a list is not whole.
struct Broken(String);

impl<T> Page<T> {
    /// Whether this page is the whole list.
    pub fn is_whole(&self) -> bool {
        matches!(self.next, Next::End)
    }
}

impl Inner {
    /// The first page of the list at `path`.
    pub(super) async fn first_page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Page<T>, Error> {
        let mut url = self.rest_url(path, query)?;
        url.query_pairs_mut().append_pair("per_page", PER_PAGE);
        self.page(url, format!("GET {path}")).await
    }

    /// How many things the list at `path` holds.
    pub(super) async fn count(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<u64>, Error> {
        let mut url = self.rest_url(path, query)?;
        url.query_pairs_mut().append_pair("per_page", "1");
        let page = self.page::<serde::de::IgnoredAny>(url, format!("GET {path}"));
        Ok(page.await?.total)
    }

    /// All items of the list that `page` begins. A list that changes meanwhile is read a second time.
    pub(super) async fn rest<T: DeserializeOwned>(&self, page: Page<T>) -> Result<Vec<T>, Error> {
        let (url, subject) = (page.url.clone(), page.subject.clone());
        if let Ok(items) = self.follow(page).await? {
            return Ok(items);
        }
        let page = self.page(url, subject.clone()).await?;
        self.follow(page)
            .await?
            .map_err(|Broken(why)| Error::new(Kind::Partial, subject, why))
    }

    async fn follow<T: DeserializeOwned>(&self, page: Page<T>) -> Result<Result<Vec<T>, Broken>, Error> {
        match page.next {
            Next::Link(_) => self.follow_links(page).await,
            Next::End | Next::Pages(_) => self.follow_pages(page).await,
        }
    }

    /// Fetches the pages after `first`, whose number is known, at once.
    async fn follow_pages<T: DeserializeOwned>(
        &self,
        first: Page<T>,
    ) -> Result<Result<Vec<T>, Broken>, Error> {
        let last = match first.next {
            Next::Pages(last) => last,
            _ => 1,
        };
        let later = (2..=last).map(|number| {
            let mut url = first.url.clone();
            url.query_pairs_mut().append_pair("page", &number.to_string());
            self.page::<T>(url, first.subject.clone())
        });
        let later = try_join_all(later).await?;
        let mut items = first.items;
        for page in later {
            if page.total != first.total {
                return Ok(Err(Broken("its length changed while it was read".to_owned())));
            }
            items.extend(page.items);
        }
        match first.total {
            Some(total) if total != items.len() as u64 => Ok(Err(Broken(format!(
                "GitLab counts {total} and sent {}",
                items.len()
            )))),
            _ => Ok(Ok(items)),
        }
    }

    /// Fetches page after page, each saying where the next one is.
    async fn follow_links<T: DeserializeOwned>(
        &self,
        mut page: Page<T>,
    ) -> Result<Result<Vec<T>, Broken>, Error> {
        let mut items = Vec::new();
        loop {
            let got = page.items.len() as u64;
            items.append(&mut page.items);
            let Next::Link(next) = page.next else {
                return Ok(Ok(items));
            };
            if got < page.per_page {
                return Ok(Err(Broken(format!(
                    "a page that is not the last holds {got} of {}",
                    page.per_page
                ))));
            }
            if next.origin() != page.url.origin() || next.path() != page.url.path() {
                return Err(elsewhere(&page.subject, &next));
            }
            if next == page.url {
                return Ok(Err(Broken("a page names itself as the next one".to_owned())));
            }
            page = self.page(next, page.subject).await?;
        }
    }

    async fn page<T: DeserializeOwned>(&self, url: Url, subject: String) -> Result<Page<T>, Error> {
        let call = Call {
            method: Method::GET,
            url,
            subject,
            body: None,
            writes: false,
            repeat: Repeat::Safe,
            also: &[],
        };
        let reply = self.call(&call).await?;
        let next = match (number(&reply.headers, "x-total-pages"), next_link(&reply.headers)) {
            (Some(pages), _) if pages > 1 => Next::Pages(pages),
            (None, Some(link)) => Next::Link(link),
            _ => Next::End,
        };
        Ok(Page {
            items: reply.decode(&call.subject)?,
            total: number(&reply.headers, "x-total"),
            per_page: number(&reply.headers, "x-per-page").unwrap_or(100),
            next,
            url: call.url,
            subject: call.subject,
        })
    }
}

/// A list that goes on at another address: the token does not go there.
fn elsewhere(subject: &str, next: &Url) -> Error {
    let origin = next.origin().ascii_serialization();
    Error::new(Kind::Partial, subject, format!("GitLab says that the list goes on at {origin}{}", next.path())).hint(
        "set `gitlab.url` to the address that GitLab has as its `external_url`: the token is sent to no other",
    )
}

/// The target of `rel="next"` in the `Link` headers.
fn next_link(headers: &HeaderMap) -> Option<Url> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .find_map(|mut header| {
            // Targets stand in angle brackets, and may hold commas and semicolons.
            while let Some((_, from)) = header.split_once('<') {
                let (target, after) = from.split_once('>')?;
                let attributes = after.split('<').next().unwrap_or_default();
                if attributes.contains("rel=\"next\"") || attributes.contains("rel=next") {
                    return Url::parse(target).ok();
                }
                header = after;
            }
            None
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        let next = |link: &str| {
            let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
            next_link(&headers).map(|url| url.to_string())
        };
        let (first, second) = ("<http://h/api?page=1&x=a,b>", "<http://h/api?page=2&x=a,b;c>");
        assert_eq!(
            next(&format!("{first}; rel=\"first\", {second}; rel=\"next\"")).as_deref(),
            Some("http://h/api?page=2&x=a,b;c")
        );
        assert_eq!(
            next(&format!("{first}; rel=\"first\", {second}; rel=\"last\"")),
            None
        );
        assert_eq!(next("nonsense"), None);
    }
}
