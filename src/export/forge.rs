//! What an export declares: of all that was found, what can be declared; of the rest, why not.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Judge, Place};
use crate::core::{Address, Fields, Key, Live, Path, Present};
use crate::engine::About;
use crate::kinds;

use super::observe::Found;

/// Everything that is exported, before it is laid out.
#[derive(Debug, Default)]
pub struct Forge {
    /// The declared fields of each resource.
    pub resources: BTreeMap<Address, Fields>,
    /// What is to be said at a resource.
    pub notes: BTreeMap<Address, Vec<String>>,
    /// Why something is not there that stands in nothing else.
    pub missing: Vec<String>,
    /// The secrets that are still to be referred to.
    pub to_do: Vec<ToDo>,
    /// The environment variables that [`Forge::to_do`] names.
    variables: BTreeSet<String>,
}

/// A secret that is there, and that no export shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToDo {
    /// The resource that holds it.
    pub address: Address,
    /// In which field.
    pub field: &'static str,
    /// The environment variable that a reference could name.
    pub variable: String,
}

impl Forge {
    /// Judges what was found.
    pub fn new(found: Found, about: &About) -> Self {
        let mut forge = Forge::default();
        let judge = Judge::new(&kinds::shapes());
        for (address, (at, since)) in &found.pending {
            let holder = match at == &address.key.path {
                true => String::new(),
                false => format!("in {at}, "),
            };
            let why = format!("it is {holder}pending deletion since {since}");
            forge.leave_out(address, &why);
        }
        // Parents come before what stands in them, so that what is left out takes its contents along.
        for entry in by_depth() {
            for (address, live) in found
                .live
                .iter()
                .filter(|(address, _)| address.kind == entry.shape.name)
            {
                match live {
                    Live::Present(present) => forge.add(&judge, entry, address, present, about),
                    Live::Unreadable(why) => forge.leave_out(address, why),
                    Live::Absent => {}
                }
            }
        }
        forge
    }

    fn add(
        &mut self,
        judge: &Judge,
        entry: &kinds::Entry,
        address: &Address,
        present: &Present,
        about: &About,
    ) {
        let orphan = holder(address).is_some_and(|holder| !self.resources.contains_key(&holder));
        if orphan {
            return;
        }
        if let Some(why) = &present.kept {
            return self.leave_out(address, why);
        }
        let known = present.value.iter().filter(|(field, _)| {
            let field = field.as_str();
            !entry.rules.create_only.contains(&field)
                && !entry.secrets.contains(&field)
                && !present.unreadable.contains_key(field)
        });
        let known: Fields = known
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        let mut declarable = match judge.declarable(&entry.shape, &address.key, &known) {
            Ok(declarable) => declarable,
            Err(why) => return self.leave_out(address, &why),
        };
        if !about.enterprise {
            for field in &declarable.enterprise {
                declarable.fields.remove(field);
            }
        }
        let mut notes = unread(&present.unreadable);
        let refused = declarable.refused.iter();
        notes.extend(refused.map(|(field, why)| format!("left out: {field}: {why}")));
        for &field in entry.secrets {
            let variable = self.variable(address, field);
            notes.push(format!("{field}: {{env: {variable}}}"));
            self.to_do.push(ToDo {
                address: address.clone(),
                field,
                variable,
            });
        }
        if !notes.is_empty() {
            self.notes.entry(address.clone()).or_default().extend(notes);
        }
        self.resources.insert(address.clone(), declarable.fields);
    }

    /// Says where somebody would look for a resource why it is not there.
    fn leave_out(&mut self, address: &Address, why: &str) {
        let entry = kinds::by_name(&address.kind);
        let (Some(Place::Within { field, .. }), Some(holder)) =
            (entry.map(|entry| entry.shape.place), holder(address))
        else {
            // A kind that stands in nothing has no path when none of it can be read.
            let what = match (
                address.key.path.as_str(),
                entry.and_then(|entry| entry.shape.section()),
            ) {
                ("", Some(section)) => section.to_owned(),
                _ => address.to_string(),
            };
            self.missing.push(format!("left out: {what}: {why}"));
            return;
        };
        if self.resources.contains_key(&holder) {
            let name = address.key.name.as_ref().map(|name| format!(".{name}"));
            let note = format!("left out: {field}{}: {why}", name.unwrap_or_default());
            self.notes.entry(holder).or_default().push(note);
        }
    }

    /// A name for the environment variable of a secret, unlike all others.
    fn variable(&mut self, address: &Address, field: &str) -> String {
        let words = [address.key.path.as_str(), address.key.name(), field];
        let words = words.iter().filter(|word| !word.is_empty() && **word != "value");
        let words = words
            .flat_map(|word| word.split(|char: char| !char.is_ascii_alphanumeric()))
            .filter(|word| !word.is_empty());
        let mut name = words.collect::<Vec<_>>().join("_").to_ascii_uppercase();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            name.insert_str(0, "SECRET_");
        }
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let free = names.find(|name| !self.variables.contains(name));
        let name = free.unwrap_or(name);
        self.variables.insert(name.clone());
        name
    }

    /// The resources of a kind that stand in what is at `path`, by name.
    pub fn within<'a>(&'a self, kind: &str, path: &Path) -> impl Iterator<Item = (&'a str, &'a Fields)> {
        let first = Address::new(kind, Key::top(path.clone()));
        let (kind, path) = (kind.to_owned(), path.clone());
        self.resources
            .range(first..)
            .take_while(move |(address, _)| address.kind == kind && address.key.path == path)
            .map(|(address, fields)| (address.key.name(), fields))
    }
}

/// The kinds, those that stand in nothing first.
fn by_depth() -> impl Iterator<Item = &'static kinds::Entry> {
    let stands_alone = |entry: &&kinds::Entry| entry.rules.parent.is_none();
    let outer = kinds::TABLE.iter().filter(stands_alone);
    outer.chain(kinds::TABLE.iter().filter(move |entry| !stands_alone(entry)))
}

/// The address of what a nested resource stands in.
fn holder(address: &Address) -> Option<Address> {
    let parent = kinds::by_name(&address.kind)?.rules.parent?;
    Some(Address::new(parent, Key::top(address.key.path.clone())))
}

/// Fields that could not be read, those with the same reason together.
fn unread(unreadable: &BTreeMap<String, String>) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (field, why) in unreadable {
        by_reason.entry(why).or_default().push(field);
    }
    let notes = by_reason.into_iter();
    notes
        .map(|(why, fields)| format!("left out: {}: {why}", fields.join(", ")))
        .collect()
}
