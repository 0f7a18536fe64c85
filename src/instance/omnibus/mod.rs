//! Settings of Omnibus: from what is declared to the lines of `gitlab.rb`.

mod parse;
mod ruby;

use std::collections::BTreeMap;

pub use parse::{Line, names_secret, parse};
pub use ruby::Ruby;

/// Settings by their key as it stands in `gitlab.rb`: `external_url`, `gitlab_rails['smtp_address']`.
pub type Settings = BTreeMap<String, Ruby>;

/// The text of `gitlab.rb`.
pub fn render(settings: &Settings) -> String {
    let mut text = String::from("# Written by AutoGit: change autogit.yaml instead.\n");
    for (key, value) in settings {
        // A plain name is a method of Omnibus, anything else an assignment.
        let joint = if key.contains('[') { " = " } else { " " };
        text.push_str(&format!("{key}{joint}{value}\n"));
    }
    text
}
