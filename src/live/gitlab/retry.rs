//! When a request is sent again, and after how long.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use super::request::number;

/// How often and how long a failed request is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Tries in all, the first included. Default 5.
    pub attempts: u32,
    /// The upper bound of the first wait; it doubles with each attempt. Default 500 ms.
    pub base: Duration,
    /// What the waits of one request may add up to, not counting those that GitLab asks for. Default 30 s.
    pub total: Duration,
    /// The longest wait that GitLab may ask for: above that by `Retry-After` the request fails, above that by
    /// `RateLimit-Reset` it is tried early. Default 2 min.
    pub longest_pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Retries {
            attempts: 5,
            base: Duration::from_millis(500),
            total: Duration::from_secs(30),
            longest_pause: Duration::from_secs(120),
        }
    }
}

/// The tries of one request.
pub(super) struct Tries {
    policy: Retries,
    waited: Duration,
    /// The present one, from 1.
    pub(super) number: u32,
}

impl Tries {
    pub(super) fn new(policy: Retries) -> Self {
        Tries {
            policy,
            waited: Duration::ZERO,
            number: 1,
        }
    }

    /// How long to wait before the next try, which GitLab may have `asked` for; `None` when enough was tried.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.number >= self.policy.attempts {
            return None;
        }
        // Full jitter: whoever failed together does not come back together.
        let bound = self
            .policy
            .base
            .saturating_mul(2_u32.saturating_pow(self.number - 1));
        let jitter = bound.mul_f64(fastrand::f64());
        let wait = match asked {
            Some(asked) if asked > self.policy.longest_pause => return None,
            Some(asked) => asked.saturating_add(jitter.min(Duration::from_secs(1))),
            None => {
                self.waited = self.waited.saturating_add(jitter);
                (self.waited <= self.policy.total).then_some(jitter)?
            }
        };
        self.number += 1;
        Some(wait)
    }
}

/// What `Retry-After` asks for: seconds, or a date by GitLab's own clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    if let Some(seconds) = number(headers, "retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    let until = date(headers, "retry-after")?;
    let wait = until.duration_since(date(headers, "date").unwrap_or_else(Timestamp::now));
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

/// The HTTP date in a header.
pub(super) fn date(headers: &HeaderMap, name: &str) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(retry_after: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("date", "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        headers.insert("retry-after", retry_after.parse().unwrap());
        headers
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = |text| retry_after(&headers(text)).map(|wait| wait.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "past");
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn waits_grow_and_end() {
        let policy = Retries {
            attempts: 4,
            base: Duration::from_secs(1),
            ..Retries::default()
        };
        let mut tries = Tries::new(policy);
        for bound in [1, 2, 4] {
            assert!(tries.next(None).unwrap() <= Duration::from_secs(bound));
        }
        assert_eq!(tries.next(None), None);
    }

    #[test]
    fn all_waits_together_are_bounded() {
        let policy = Retries {
            total: Duration::ZERO,
            ..Retries::default()
        };
        assert_eq!(Tries::new(policy).next(None), None);
    }

    #[test]
    fn what_gitlab_asks_for_is_waited_for_within_reason() {
        let mut tries = Tries::new(Retries::default());
        assert!(tries.next(Some(Duration::from_secs(60))).unwrap() >= Duration::from_secs(60));
        assert_eq!(tries.next(Some(Duration::from_secs(3600))), None);
    }
}
