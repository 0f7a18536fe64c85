//! What names and paths GitLab accepts, in its own words.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::http::StatusCode;
use regex::Regex;
use serde_json::json;

use crate::error::ApiError;

/// Problems of a record, by attribute.
#[derive(Debug, Default)]
pub struct Problems(BTreeMap<String, Vec<String>>);

impl Problems {
    pub fn add(&mut self, attribute: &str, problem: impl Into<String>) {
        self.0
            .entry(attribute.to_owned())
            .or_default()
            .push(problem.into());
    }

    /// `Err` with `{"message": {"path": ["has already been taken"]}}` when there are any.
    pub fn check(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(ApiError::message(StatusCode::BAD_REQUEST, json!(self.0)))
    }

    /// The problems as sentences: `Path has already been taken`.
    pub fn sentences(self) -> Vec<String> {
        let sentence = |attribute: &str, problem: &str| {
            let mut words = attribute.replace(['.', '_'], " ");
            if let Some(first) = words.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            format!("{words} {problem}")
        };
        let all = self.0.iter().flat_map(|(attribute, problems)| {
            problems.iter().map(move |problem| sentence(attribute, problem))
        });
        all.collect()
    }

    /// As [`check`](Self::check), in the form that group creation uses: a string that shows a Ruby hash.
    pub fn check_as_text(self, what: &str) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let entries: Vec<String> = self
            .0
            .iter()
            .map(|(key, problems)| format!(":{key}=>{problems:?}"))
            .collect();
        let text = format!("{what} {{{}}}", entries.join(", "));
        Err(ApiError::message(StatusCode::BAD_REQUEST, text))
    }
}

const TOP_LEVEL: &[&str] = &[
    "-",
    ".well-known",
    "404.html",
    "422.html",
    "500.html",
    "502.html",
    "503.html",
    "admin",
    "api",
    "apple-touch-icon.png",
    "assets",
    "dashboard",
    "deploy.html",
    "explore",
    "favicon.ico",
    "favicon.png",
    "groups",
    "health_check",
    "help",
    "import",
    "jwt",
    "login",
    "o",
    "oauth",
    "profile",
    "projects",
    "public",
    "robots.txt",
    "s",
    "search",
    "sitemap",
    "sitemap.xml",
    "sitemap.xml.gz",
    "slash-command-logo.png",
    "snippets",
    "unsubscribes",
    "uploads",
    "users",
    "v2",
];
const WILDCARD: &[&str] = &[
    "-",
    "badges",
    "blame",
    "blob",
    "builds",
    "commits",
    "create",
    "create_dir",
    "edit",
    "files",
    "find_file",
    "new",
    "preview",
    "raw",
    "refs",
    "tree",
    "update",
    "wikis",
];

static PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9_.][a-zA-Z0-9_.-]*$").expect("valid"));
static REGISTRY_PATH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[a-zA-Z0-9]+([._-][a-zA-Z0-9]+)*$").expect("valid"));
static PROJECT_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^[\p{Alphabetic}\p{Nd}\u{00A9}-\u{1f9ff}_][\p{Alphabetic}\p{Nd}\p{Pd}+\u{00A9}-\u{1f9ff}_. ]*$",
    )
    .expect("valid")
});
static GROUP_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"^[\p{Alphabetic}\p{Nd}\u{00A9}-\u{1f9ff}_][\p{Alphabetic}\p{Nd}\p{Pd}\u{00A9}-\u{1f9ff}_(). ]*$",
    )
    .expect("valid")
});

const REGISTRY_MESSAGE: &str = "can only include non-accented letters, digits, '_', '-' and '.'. It must not start \
     with '-', '_', or '.', nor end with '-', '_', '.', '.git', or '.atom'.";

/// Checks a project's path.
pub fn check_project_path(path: &str, problems: &mut Problems) {
    if path.is_empty() {
        problems.add("path", "can't be blank");
    }
    if !PATH.is_match(path) || has_reserved_suffix(path) {
        problems.add(
            "path",
            "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'",
        );
    } else if WILDCARD.contains(&path.to_lowercase().as_str()) {
        problems.add("path", format!("{path} is a reserved name"));
    }
    if path.chars().count() > 255 {
        problems.add("path", "is too long (maximum is 255 characters)");
    }
    if !REGISTRY_PATH.is_match(path) {
        problems.add("path", REGISTRY_MESSAGE);
    }
}

/// Checks a group's path; `top` for a group without a parent.
pub fn check_group_path(path: &str, top: bool, problems: &mut Problems) {
    if path.is_empty() {
        problems.add("path", "can't be blank");
    }
    if path.chars().count() > 255 {
        problems.add("path", "is too long (maximum is 255 characters)");
    }
    if !REGISTRY_PATH.is_match(path) {
        problems.add("path", REGISTRY_MESSAGE);
    }
    let reserved = if top { TOP_LEVEL } else { WILDCARD };
    if !PATH.is_match(path) || has_reserved_suffix(path) || path.ends_with('.') {
        problems.add(
            "path",
            "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-' or end in '.', '.git' or \
             '.atom'.",
        );
    } else if reserved.contains(&path.to_lowercase().as_str()) {
        problems.add("path", format!("{path} is a reserved name"));
    }
    if path.chars().count() == 1 {
        problems.add("path", "is too short (minimum is 2 characters)");
    }
}

pub fn check_project_name(name: &str, problems: &mut Problems) {
    check_name_length(name, problems);
    if !PROJECT_NAME.is_match(name) {
        problems.add(
            "name",
            "can contain only letters, digits, emoji, '_', '.', '+', dashes, or spaces. It must start with a letter, \
             digit, emoji, or '_'.",
        );
    }
}

pub fn check_group_name(name: &str, problems: &mut Problems) {
    check_name_length(name, problems);
    if !GROUP_NAME.is_match(name) {
        problems.add(
            "name",
            "can contain only letters, digits, emoji, '_', '.', dash, space, parenthesis. It must start with letter, \
             digit, emoji or '_'.",
        );
    }
}

fn check_name_length(name: &str, problems: &mut Problems) {
    if name.trim().is_empty() {
        problems.add("name", "can't be blank");
    }
    if name.chars().count() > 255 {
        problems.add("name", "is too long (maximum is 255 characters)");
    }
}

fn has_reserved_suffix(path: &str) -> bool {
    path.ends_with(".git") || path.ends_with(".atom")
}

/// The path of a project that is created with a name only: the name, where that can be a path.
pub fn path_of_name(name: &str) -> String {
    if PATH.is_match(name) && !has_reserved_suffix(name) {
        return name.to_owned();
    }
    let mut path = String::new();
    for char in name.to_lowercase().chars() {
        match char {
            'a'..='z' | '0'..='9' | '_' => path.push(char),
            _ if path.ends_with('-') || path.is_empty() => {}
            _ => path.push('-'),
        }
    }
    path.trim_end_matches('-').to_owned()
}
