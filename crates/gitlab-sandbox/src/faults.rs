//! Faults on request: which exchange is disturbed, when, and how. README.md describes the rules.

use std::sync::{Mutex, MutexGuard};

use axum::http::Method;
use regex::Regex;
use serde::{Deserialize, Serialize};

/// Requests by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    Read,
    Write,
    #[default]
    Any,
}

impl Class {
    /// Whether a request reads or writes. A GraphQL request writes when its body holds a mutation, git when it pushes.
    pub fn of(method: &Method, path: &str, body: &[u8]) -> Self {
        if method == Method::GET || method == Method::HEAD || method == Method::OPTIONS {
            return Self::Read;
        }
        let fetches = path.ends_with("/git-upload-pack");
        if fetches || (path == "/api/graphql" && !is_mutation(body)) {
            return Self::Read;
        }
        Self::Write
    }
}

fn is_mutation(body: &[u8]) -> bool {
    let request: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let query = request["query"].as_str().unwrap_or_default();
    Regex::new(r"(^|\})\s*mutation\b").is_ok_and(|pattern| pattern.is_match(query))
}

/// Before the request is handled, or after it was and before its reply is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    Before,
    After,
}

/// Ends a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// Process id.
    pub pid: u32,
    pub when: When,
}

/// Shortens a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Truncate {
    /// How many items stay.
    pub keep: usize,
    /// Whether the paging headers then say that this is all there is; otherwise they stay as they were.
    #[serde(default)]
    pub adjust_headers: bool,
}

/// A rule: which requests it is about, at which of them it fires, and what happens then.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Default: any.
    pub methods: Class,
    /// A regular expression that the path must match; default: any path.
    pub path: Option<String>,
    /// Fires at the k-th matching request only, counted from 1.
    pub nth: Option<u64>,
    /// Fires at every n-th matching request.
    pub every: Option<u64>,
    /// Fires this many times at most.
    pub count: Option<u64>,
    /// Waits before the request is handled, in milliseconds.
    pub latency_ms: u64,
    /// Answers with this status, without handling the request.
    pub status: Option<u16>,
    /// Body of that answer, as JSON; default: GitLab's own words for the status.
    pub body: Option<serde_json::Value>,
    /// `Retry-After` of that answer, in seconds.
    pub retry_after: Option<u64>,
    /// Closes the connection without a reply.
    pub drop: Option<When>,
    pub kill: Option<Kill>,
    pub truncate: Option<Truncate>,
    /// Parameters that are ignored.
    pub ignore: Vec<String>,
}

/// A rule with its history.
#[derive(Clone, Debug, Serialize)]
pub struct Armed {
    pub id: u64,
    pub rule: Rule,
    /// Requests that it was about.
    pub matched: u64,
    /// Requests that it disturbed.
    pub fired: u64,
    #[serde(skip)]
    path: Option<Regex>,
}

/// All rules.
#[derive(Default)]
pub struct Faults(Mutex<(u64, Vec<Armed>)>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Armed>)> {
        self.0.lock().expect("nothing panics while it holds the rules")
    }

    /// Adds a rule; fails when its path is not a regular expression, or when it would kill more than one process.
    pub fn arm(&self, rule: Rule) -> Result<Armed, String> {
        let path = rule.path.as_deref().map(Regex::new).transpose();
        let path = path.map_err(|error| format!("path is not a regular expression: {error}"))?;
        if rule.kill.as_ref().is_some_and(|kill| kill.pid < 2) {
            return Err("kill.pid does not name a process to kill".to_owned());
        }
        let mut guard = self.lock();
        guard.0 += 1;
        let armed = Armed {
            id: guard.0,
            rule,
            matched: 0,
            fired: 0,
            path,
        };
        guard.1.push(armed.clone());
        Ok(armed)
    }

    pub fn list(&self) -> Vec<Armed> {
        self.lock().1.clone()
    }

    /// Removes one rule, or all.
    pub fn disarm(&self, id: Option<u64>) {
        self.lock().1.retain(|armed| id.is_some_and(|id| armed.id != id));
    }

    /// The rules that fire at this request.
    pub fn fire(&self, class: Class, path: &str) -> Vec<Rule> {
        let mut guard = self.lock();
        guard
            .1
            .iter_mut()
            .filter_map(|armed| armed.consider(class, path))
            .collect()
    }
}

impl Armed {
    fn consider(&mut self, class: Class, path: &str) -> Option<Rule> {
        let about = (self.rule.methods == Class::Any || self.rule.methods == class)
            && self.path.as_ref().is_none_or(|pattern| pattern.is_match(path));
        if !about {
            return None;
        }
        self.matched += 1;
        let due = self.rule.nth.is_none_or(|nth| self.matched == nth)
            && self
                .rule
                .every
                .is_none_or(|every| every > 0 && self.matched.is_multiple_of(every))
            && self.rule.count.is_none_or(|count| self.fired < count);
        if !due {
            return None;
        }
        self.fired += 1;
        Some(self.rule.clone())
    }
}
