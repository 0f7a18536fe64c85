//! How much may be asked at a time: our own parallelism, and GitLab's rate limits before they are hit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

use super::request::number;

/// What bounds the requests of one client.
pub(super) struct Limits {
    permits: Semaphore,
    state: Mutex<State>,
    longest_pause: Duration,
}

#[derive(Default)]
struct State {
    in_flight: u64,
    /// By the limit's name: different requests count against different ones.
    windows: HashMap<String, Window>,
}

/// How much of one limit of GitLab's is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// GitLab's name for it: `throttle_authenticated_api`.
    pub name: String,
    /// Requests in a window; `None` where GitLab does not say.
    pub limit: Option<u64>,
    /// How many of them are left.
    pub remaining: u64,
}

/// What is left of one limit.
struct Window {
    limit: Option<u64>,
    remaining: u64,
    /// In seconds since 1970, by GitLab's clock: tells an old window's late reply from a new window.
    reset: i64,
    ends: Instant,
}

/// The right to send one request; given back on drop.
pub(super) struct Slot<'a> {
    limits: &'a Limits,
    _permit: SemaphorePermit<'a>,
}

impl Limits {
    pub(super) fn new(parallelism: usize, longest_pause: Duration) -> Self {
        Limits {
            permits: Semaphore::new(parallelism.clamp(1, Semaphore::MAX_PERMITS)),
            state: Mutex::default(),
            longest_pause,
        }
    }

    /// Waits for a turn, and while a limit has no more left than what is in flight already.
    pub(super) async fn admit(&self) -> Slot<'_> {
        let permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        while let Some(end) = self.enter() {
            tracing::info!(
                seconds = end.saturating_duration_since(Instant::now()).as_secs(),
                "waiting for GitLab's rate limit"
            );
            sleep_until(end).await;
        }
        Slot {
            limits: self,
            _permit: permit,
        }
    }

    /// Counts one request in, or says until when there is no room for it.
    fn enter(&self) -> Option<Instant> {
        let mut state = self.state();
        let now = Instant::now();
        state.windows.retain(|_, window| window.ends > now);
        let in_flight = state.in_flight;
        let full = state
            .windows
            .values()
            .filter(|window| window.remaining <= in_flight)
            .map(|window| window.ends)
            .max();
        if full.is_none() {
            state.in_flight += 1;
        }
        full
    }

    /// Takes note of the `RateLimit-*` headers of a reply that GitLab sent at `sent`.
    pub(super) fn note(&self, headers: &HeaderMap, sent: Option<Timestamp>) {
        let (Some(remaining), Some(reset)) = (
            number(headers, "ratelimit-remaining"),
            number(headers, "ratelimit-reset"),
        ) else {
            return;
        };
        let reset = i64::try_from(reset).unwrap_or(i64::MAX);
        // By GitLab's own clock, so that ours may be wrong.
        let left = reset.saturating_sub(sent.unwrap_or_else(Timestamp::now).as_second());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(self.longest_pause);
        let name = headers
            .get("ratelimit-name")
            .and_then(|name| name.to_str().ok())
            .unwrap_or_default();
        let mut state = self.state();
        let window = Window {
            limit: number(headers, "ratelimit-limit"),
            remaining,
            reset,
            ends: Instant::now() + left,
        };
        match state.windows.get_mut(name) {
            // Replies overtake each other: the smallest number of a window is its latest.
            Some(known) if known.reset == reset => known.remaining = known.remaining.min(remaining),
            Some(known) if known.reset > reset => {}
            _ => {
                state.windows.insert(name.to_owned(), window);
            }
        }
    }

    /// The limits that GitLab has told of, and whose windows last.
    pub(super) fn told(&self) -> Vec<RateLimit> {
        let state = self.state();
        let mut told: Vec<_> = state
            .windows
            .iter()
            .map(|(name, window)| RateLimit {
                name: name.clone(),
                limit: window.limit,
                remaining: window.remaining,
            })
            .collect();
        told.sort_by(|a, b| a.name.cmp(&b.name));
        told
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.limits.state().in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn headers(name: &str, remaining: u64, reset_in: i64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit-name", name.parse().unwrap());
        headers.insert("ratelimit-remaining", remaining.into());
        headers.insert("ratelimit-reset", (NOW + reset_in).into());
        headers
    }

    fn note(limits: &Limits, name: &str, remaining: u64, reset_in: i64) {
        limits.note(
            &headers(name, remaining, reset_in),
            Timestamp::from_second(NOW).ok(),
        );
    }

    /// How many seconds, by the paused clock, the next request has to wait.
    async fn wait(limits: &Limits) -> u64 {
        let asked = Instant::now();
        drop(limits.admit().await);
        asked.elapsed().as_secs()
    }

    #[tokio::test]
    async fn a_turn_is_waited_for() {
        let limits = Limits::new(2, Duration::ZERO);
        let (first, _second) = (limits.admit().await, limits.admit().await);
        let mut third = std::pin::pin!(limits.admit());
        assert!(poll!(&mut third).is_pending());
        drop(first);
        assert!(poll!(&mut third).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pause_before_the_limit_is_reached() {
        let limits = Limits::new(10, Duration::from_secs(120));
        note(&limits, "api", 2, 40);
        let first = limits.admit().await;
        let _second = limits.admit().await;
        assert_eq!(wait(&limits).await, 40, "two are left and two in flight");
        drop(first);
        assert_eq!(wait(&limits).await, 0, "the window is over");
    }

    #[tokio::test(start_paused = true)]
    async fn late_replies_and_other_limits_do_not_lift_a_pause() {
        let limits = Limits::new(10, Duration::from_secs(120));
        note(&limits, "api", 0, 30);
        note(&limits, "api", 500, 30);
        note(&limits, "api", 500, -30);
        note(&limits, "web", 500, 60);
        assert_eq!(wait(&limits).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn no_pause_is_longer_than_allowed() {
        let limits = Limits::new(10, Duration::from_secs(120));
        note(&limits, "api", 0, 86_400);
        assert_eq!(wait(&limits).await, 120);
    }
}
