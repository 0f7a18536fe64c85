//! How many requests came, in all and from whom.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use crate::faults::Class;

/// API requests so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    pub reads: u64,
    pub writes: u64,
    /// By method and route.
    pub routes: BTreeMap<String, u64>,
}

impl Counters {
    pub fn count(&mut self, class: Class, route: String) {
        match class {
            Class::Write => self.writes += 1,
            _ => self.reads += 1,
        }
        *self.routes.entry(route).or_default() += 1;
    }
}

/// Requests of each user in the running minute; anonymous ones share a count.
#[derive(Default)]
pub struct RateLimit(Mutex<HashMap<Option<u64>, (u64, u64)>>);

/// Where a user stands.
pub struct Standing {
    name: &'static str,
    limit: u64,
    observed: u64,
    /// Seconds since 1970.
    reset: u64,
    now: u64,
}

impl RateLimit {
    /// Counts one request.
    pub fn count(&self, user: Option<u64>, limit: u64) -> Standing {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let minute = now / 60;
        let mut counts = self.0.lock().expect("nothing panics while it counts");
        let count = counts.entry(user).or_default();
        if count.0 != minute {
            *count = (minute, 0);
        }
        count.1 += 1;
        Standing {
            name: if user.is_some() {
                "throttle_authenticated_api"
            } else {
                "throttle_unauthenticated_api"
            },
            limit,
            observed: count.1,
            reset: (minute + 1) * 60,
            now,
        }
    }
}

impl Standing {
    pub fn exceeded(&self) -> bool {
        self.observed > self.limit
    }

    /// Adds the headers that tell a client.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        let mut number = |name: &'static str, number: u64| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
        };
        number("ratelimit-limit", self.limit);
        number("ratelimit-observed", self.observed);
        number("ratelimit-remaining", self.limit.saturating_sub(self.observed));
        number("ratelimit-reset", self.reset);
        if self.exceeded() {
            number("retry-after", self.reset - self.now);
        }
        headers.insert("ratelimit-name", HeaderValue::from_static(self.name));
    }
}
