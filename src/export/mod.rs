//! Export: from a live GitLab to a config that declares what is there, and says what it leaves out.
//!
//! It knows no kind by itself: what a kind observes is what is exported of it.

mod factor;
mod forge;
mod observe;
mod page;
mod save;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{self, Block, Listed, Severity};
use crate::core::{Address, Fields};
use crate::engine::About;
use crate::kinds::{self, Extent};

use page::Head;

pub use factor::Factored;
pub use forge::{Forge, ToDo};
pub use observe::{Found, observe};
pub use page::{File, MAIN};
pub use save::{Unsaved, save};

/// What GitLab holds and AutoGit has no kind for yet, by the field or section it would stand in.
const NO_KIND: &[&str] = &[
    "members",
    "variables",
    "hooks",
    "integrations",
    "labels",
    "milestones",
    "boards",
    "badges",
    "deploy_keys",
    "deploy_tokens",
    "access_tokens",
    "protected_tags",
    "protected_environments",
    "push_rules",
    "approval_rules",
    "pipeline_schedules",
    "job_token_scope",
    "mirrors",
    "pages_domains",
    "group_links",
    "runners",
    "users",
    "settings",
];

/// How many places of secrets are listed at the head of a file.
const LISTED: usize = 50;

/// How an export is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// A file for each group.
    pub by_group: bool,
    /// What most repos share is told once.
    pub factor: bool,
}

/// Where an export comes from.
pub struct Origin<'a> {
    /// The instance as people know it.
    pub name: &'a str,
    /// Which GitLab it is, and who is asking.
    pub about: &'a About,
    /// Which part of it was asked for.
    pub extent: &'a Extent,
    /// How a config reaches it.
    pub gitlab: Option<Block>,
}

/// Why an export is not to be relied on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files would not load.
    #[error("failed to read back what was exported: {0}")]
    Invalid(String),
    /// The files say something else.
    #[error("failed to read back what was exported: {0} is not declared as it was found")]
    Differs(Address),
    /// The files could not be tried.
    #[error("failed to try what was exported: {0}")]
    Io(#[from] std::io::Error),
}

/// The files that declare a forge, the main one first. They have been read back, and mean what was found.
///
/// # Errors
/// When they do not.
pub fn files(forge: &Forge, origin: &Origin, layout: Layout) -> Result<Vec<File>, Error> {
    let head = Head {
        notes: notes(forge, origin),
        gitlab: origin.gitlab.clone(),
    };
    let factored = match layout.factor {
        true => page::factored(forge),
        false => Factored::default(),
    };
    let files = match layout.by_group {
        true => page::by_group(forge, &head, &factored),
        false => vec![page::whole(forge, &head, &factored)],
    };
    verify(&files, forge)?;
    Ok(files)
}

/// Reads the files back, and holds what they declare against what was found.
fn verify(files: &[File], forge: &Forge) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    for file in files {
        let path = folder.path().join(&file.name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, &file.text)?;
    }
    let loaded = config::load(&folder.path().join(MAIN), &kinds::shapes());
    let settled = loaded.settle(&listed(forge));
    let (Some(_), Some(config)) = (loaded.config, settled.config) else {
        let mut found = loaded.diagnostics.iter().chain(&settled.diagnostics);
        let error = found.find(|found| found.severity == Severity::Error);
        return Err(Error::Invalid(
            error.map(|found| found.title.clone()).unwrap_or_default(),
        ));
    };
    let declared: BTreeMap<&Address, &Fields> = config
        .declarations
        .iter()
        .map(|(address, declared)| (address, &declared.value))
        .collect();
    let found: BTreeMap<&Address, &Fields> = forge.resources.iter().collect();
    let differs = |address: &&&Address| declared.get(**address) != found.get(**address);
    match found.keys().chain(declared.keys()).find(differs) {
        Some(address) => Err(Error::Differs((*address).clone())),
        None => Ok(()),
    }
}

/// The repos as rules look at them.
fn listed(forge: &Forge) -> Vec<Listed> {
    let repos = forge
        .resources
        .iter()
        .filter(|(address, _)| address.kind == "repo");
    let listed = repos.map(|(address, fields)| Listed {
        path: address.key.path.clone(),
        visibility: fields
            .get("visibility")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        archived: fields.get("archived") == Some(&Value::Bool(true)),
        topics: Vec::new(),
    });
    listed.collect()
}

/// What is to be said at the head of the main file.
fn notes(forge: &Forge, origin: &Origin) -> Vec<String> {
    let about = origin.about;
    let edition = match about.enterprise {
        true => "Enterprise",
        false => "Community",
    };
    let part = match origin.extent {
        Extent::All => String::new(),
        Extent::Groups(paths) => {
            let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
            format!(" in {}", paths.join(", "))
        }
    };
    let user = match about.admin {
        true => format!("the administrator {} sees it", about.user),
        false => format!("{} sees it, who is no administrator", about.user),
    };
    let mut notes = vec![
        format!(
            "What {} (GitLab {}, {edition} Edition) holds{part}, as {user}.",
            origin.name, about.version
        ),
        "Written by `autogit export`: `autogit plan` finds nothing to change.".into(),
        format!("AutoGit has no kind yet for {}.", no_kind().join(", ")),
        "The instance's own settings are left out: write into `gitlab.settings` those that are to be kept."
            .into(),
    ];
    notes.extend(to_do(&forge.to_do));
    notes.extend(forge.missing.iter().cloned());
    notes
}

/// What no kind is for.
fn no_kind() -> Vec<String> {
    let known: Vec<&str> = kinds::TABLE
        .iter()
        .map(|entry| match entry.shape.place {
            config::Place::Section(section) => section,
            config::Place::Within { field, .. } | config::Place::Instance { field, .. } => field,
        })
        .collect();
    let missing = NO_KIND.iter().filter(|name| !known.contains(name));
    missing.map(|name| name.replace('_', " ")).collect()
}

/// The secrets that are still to be referred to: how many, and where.
fn to_do(to_do: &[ToDo]) -> Vec<String> {
    let secrets = match to_do.len() {
        0 => return Vec::new(),
        1 => "one secret is".to_owned(),
        several => format!("{several} secrets are"),
    };
    let mut notes = vec![format!(
        "To do: {secrets} left out, as no export shows one. Refer to each where its comment says `{{env: …}}`, or leave it to \
         GitLab:"
    )];
    let listed = to_do.iter().take(LISTED);
    notes.extend(listed.map(|to_do| {
        format!(
            "  - {}: {}: {{env: {}}}",
            to_do.address, to_do.field, to_do.variable
        )
    }));
    if to_do.len() > LISTED {
        notes.push(format!("  - and {} more", to_do.len() - LISTED));
    }
    notes
}

#[cfg(test)]
mod tests;
