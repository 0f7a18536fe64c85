//! The one place that talks to GitLab: TLS, paging, GraphQL, rate limits, retries, and errors that say what to do.
//!
//! A [`Reader`] has no means to write; a [`Writer`] journals every write before it is sent; a [`TerraformState`]
//! writes to one state only, where that journal may be kept.

mod client;
mod error;
mod graphql;
mod limits;
mod message;
mod notes;
mod paging;
mod reader;
mod redact;
mod request;
mod retry;
mod terraform;
mod tls;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use client::{Client, Counts, Settings};
pub use error::{Error, GraphQlRefusal, Kind};
pub use graphql::{Connection, PageInfo};
pub use limits::RateLimit;
pub use notes::{Note, Notes};
pub use paging::Page;
pub use reader::Reader;
pub use redact::text as redacted;
pub use retry::Retries;
pub use terraform::{StateLock, TerraformState};
pub use writer::{Journal, Outcome, Writer};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything that is not unreserved in a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes `text` as one path segment: `release/*` becomes `release%2F%2A`.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
