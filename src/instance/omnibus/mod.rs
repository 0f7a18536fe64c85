//! Settings of Omnibus: from what is declared to the lines of `gitlab.rb`.

mod extra;
mod parse;
mod profile;
mod ruby;
mod services;
mod sign_in;
mod web;

use std::collections::BTreeMap;

use super::Endpoints;
use crate::config::SecretRef;
use crate::config::deploy::Deploy;

pub use crate::config::deploy::names_secret;
pub use parse::{Line, parse};
pub use ruby::Ruby;

/// Settings by their key as it stands in `gitlab.rb`: `external_url`, `gitlab_rails['smtp_address']`.
pub type Settings = BTreeMap<String, Ruby>;

/// What GitLab is told, and the secrets that this reads, by the name of their file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// The settings of `gitlab.rb`.
    pub settings: Settings,
    /// The secrets that they read.
    pub secrets: BTreeMap<String, SecretRef>,
}

impl Told {
    /// What follows from what is declared.
    pub fn new(spec: &Deploy, endpoints: &Endpoints) -> Self {
        let mut told = Told::default();
        profile::tell(spec, &mut told);
        web::tell(spec, endpoints, &mut told);
        services::tell(spec, endpoints, &mut told);
        sign_in::tell(spec, endpoints, &mut told);
        extra::tell(spec, &mut told);
        told
    }

    /// Sets `key`, whatever it was before.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Ruby>) {
        self.settings.insert(key.to_owned(), value.into());
    }

    /// A value that GitLab reads from the secret file `name`.
    pub(super) fn secret(&mut self, name: &str, reference: &SecretRef) -> Ruby {
        self.secrets.insert(name.to_owned(), reference.clone());
        Ruby::Secret(name.to_owned())
    }
}

/// The text of `gitlab.rb`. What is set as a whole stands before what is set within it.
pub fn render(settings: &Settings) -> String {
    let mut text = String::from("# Written by AutoGit: change autogit.yaml instead.\n");
    for (key, value) in settings {
        // A plain name is a method of Omnibus, anything else an assignment. A hash would be taken for a block.
        let line = match (key.contains('['), value) {
            (true, _) => format!("{key} = {value}\n"),
            (false, Ruby::Map(_)) => format!("{key}({value})\n"),
            (false, _) => format!("{key} {value}\n"),
        };
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests;
