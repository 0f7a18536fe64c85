//! Laying out: what is declared as files that people read, with comments on what is not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::config::{Block, Node, Place};
use crate::core::{Address, Fields, Key, Path};
use crate::kinds;

use super::factor::{Factored, Repos, factor};
use super::forge::Forge;

/// The file that is named on the command line.
pub const MAIN: &str = "autogit.yaml";

/// The folder of the other ones.
pub const GROUPS: &str = "groups";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, from the folder of the config.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What stands at the head of a config.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// What the file is, and what is not in it.
    pub notes: Vec<String>,
    /// How to reach GitLab.
    pub gitlab: Option<Block>,
}

/// The whole as one file.
pub fn whole(forge: &Forge, head: &Head, factored: &Factored) -> File {
    let page = Page::new(forge, factored);
    let mut block = page.main(head, false);
    for entry in sections() {
        page.section(&mut block, entry, |_| true);
    }
    let text = block.to_yaml(0);
    File {
        name: MAIN.to_owned(),
        text,
    }
}

/// The whole as a file for each namespace, and one that includes them.
pub fn by_group(forge: &Forge, head: &Head, factored: &Factored) -> Vec<File> {
    let page = Page::new(forge, factored);
    let holders = forge
        .resources
        .keys()
        .filter_map(|address| namespace(&address.kind, &address.key.path));
    let mut names = BTreeSet::new();
    let mut files = Vec::new();
    for namespace in holders.collect::<BTreeSet<_>>() {
        let mut block = Block {
            open: true,
            ..Block::default()
        };
        for entry in sections() {
            let here = |path: &Path| self::namespace(entry.shape.name, path).as_ref() == Some(&namespace);
            page.section(&mut block, entry, here);
        }
        let text = block.to_yaml(0);
        files.push(File {
            name: file_name(&namespace, &mut names),
            text,
        });
    }
    let mut main = page.main(head, !files.is_empty());
    for entry in sections() {
        page.section(&mut main, entry, |path| {
            namespace(entry.shape.name, path).is_none()
        });
    }
    let text = main.to_yaml(0);
    let main = File {
        name: MAIN.to_owned(),
        text,
    };
    files.insert(0, main);
    files
}

/// The group, or person, whose file something stands in.
fn namespace(kind: &str, path: &Path) -> Option<Path> {
    match kind {
        "group" => Some(path.clone()),
        "repo" => path.parent(),
        _ => None,
    }
}

/// `platform.backend.yaml` for `platform/backend`, unless another one has that name.
fn file_name(namespace: &Path, taken: &mut BTreeSet<String>) -> String {
    let stem = namespace.as_str().replace('/', ".");
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let mut stems = std::iter::once(stem.clone()).chain(numbered);
    let free = stems.find(|stem| taken.insert(stem.to_lowercase()));
    format!("{GROUPS}/{}.yaml", free.unwrap_or(stem))
}

/// The kinds that have a section.
fn sections() -> impl Iterator<Item = &'static kinds::Entry> {
    kinds::TABLE
        .iter()
        .filter(|entry| entry.shape.section().is_some())
}

/// How many resources of a kind have the same to say of them, to be told once where the rest is told once as well.
const COMMON: usize = 4;

struct Page<'a> {
    forge: &'a Forge,
    factored: &'a Factored,
    /// What is to be said of many resources of a kind, and of how many.
    common: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Page<'a> {
    fn new(forge: &'a Forge, factored: &'a Factored) -> Self {
        let mut common = BTreeMap::new();
        for (address, notes) in forge.notes.iter().filter(|_| !factored.repos.is_empty()) {
            for note in notes {
                *common.entry((&*address.kind, &**note)).or_default() += 1;
            }
        }
        common.retain(|_, count| *count >= COMMON);
        Page {
            forge,
            factored,
            common,
        }
    }

    /// What stands before the sections.
    fn main(&self, head: &Head, includes: bool) -> Block {
        let mut block = Block {
            notes: head.notes.clone(),
            open: true,
            ..Block::default()
        };
        let common = self.common.iter();
        block.notes.extend(common.map(|((kind, note), count)| {
            let note = note.strip_prefix("left out").unwrap_or(note);
            format!("left out of {count} {}{note}", plural(kind))
        }));
        block.push("autogit", Node::Value(1.into()));
        if includes {
            let pattern = format!("{GROUPS}/*.yaml");
            block.push("include", Node::Value(vec![pattern].into()));
        }
        if let Some(gitlab) = &head.gitlab {
            block.push("gitlab", Node::Block(gitlab.clone()));
        }
        for (section, parts) in [
            ("presets", &self.factored.presets),
            ("rules", &self.factored.rules),
        ] {
            let mut inner = Block {
                open: true,
                ..Block::default()
            };
            for (name, part) in parts {
                if let (Some(repo), Value::Object(fields)) = (kinds::by_name("repo"), part) {
                    inner.push(name, Node::Block(self.resource(repo, None, fields)));
                }
            }
            if !inner.entries.is_empty() {
                block.push(section, Node::Block(inner));
            }
        }
        block
    }

    /// Adds the part of a section that is about certain paths.
    fn section(&self, block: &mut Block, entry: &kinds::Entry, is_here: impl Fn(&Path) -> bool) {
        let (Some(section), kind) = (entry.shape.section(), entry.shape.name) else {
            return;
        };
        let mut inner = Block {
            open: true,
            ..Block::default()
        };
        let first = Address::new(kind, Key::top(""));
        let resources = self.forge.resources.range(first..);
        let resources = resources.take_while(|(address, _)| address.kind == kind);
        for (address, fields) in resources.filter(|(address, _)| is_here(&address.key.path)) {
            let path = &address.key.path;
            let written = match self.factored.repos.get(path) {
                Some(residue) if kind == "repo" => residue.clone(),
                _ => whole_value(self.forge, entry, path, fields),
            };
            let block = self.resource(entry, Some(&address.key), &written);
            inner.push(path.as_str(), short(entry, block));
        }
        if !inner.entries.is_empty() {
            block.push(section, Node::Block(inner));
        }
    }

    /// A resource, or a part of one, in its kind's order. `key`: which one it is, to say what there is to say of it.
    fn resource(&self, entry: &kinds::Entry, key: Option<&Key>, written: &Fields) -> Block {
        let mut block = Block::default();
        if let Some(key) = key {
            block.notes.extend(self.notes(entry.shape.name, key));
        }
        let children: Vec<_> = children(entry.shape.name).collect();
        let own = ["match", "preset"].into_iter();
        for field in own
            .chain((entry.fields)())
            .chain(children.iter().map(|(_, field)| *field))
        {
            let Some(value) = written.get(field) else { continue };
            let child = children.iter().find(|(_, name)| *name == field);
            let node = match (child, value) {
                (Some((child, _)), Value::Object(collection)) => {
                    Node::Block(self.collection(child, key, collection))
                }
                (None, Value::Object(condition)) if field == "match" => {
                    Node::Block(condition_block(condition))
                }
                _ => Node::Value(value.clone()),
            };
            block.push(field, node);
        }
        for (child, field) in children {
            let there = written.get(field).and_then(Value::as_object);
            let all = key.map(|key| self.forge.within(child.shape.name, &key.path));
            for (name, _) in all.into_iter().flatten() {
                // What is told somewhere else leaves its notes without a place of their own.
                if there.is_none_or(|there| !there.contains_key(name)) {
                    let key = key.map(|key| Key::within(key.path.clone(), name));
                    let notes = key.map(|key| self.notes(child.shape.name, &key));
                    let notes = notes.into_iter().flatten();
                    block
                        .notes
                        .extend(notes.map(|note| format!("{field}.{name}: {note}")));
                }
            }
        }
        block
    }

    fn collection(&self, child: &kinds::Entry, key: Option<&Key>, collection: &Fields) -> Block {
        let mut block = Block::default();
        for (name, value) in collection {
            let node = match value {
                Value::Object(fields) => {
                    let key = key.map(|key| Key::within(key.path.clone(), name));
                    short(child, self.resource(child, key.as_ref(), fields))
                }
                other => Node::Value(other.clone()),
            };
            block.push(name, node);
        }
        block
    }

    /// What is to be said at a resource, and not of many at once.
    fn notes(&self, kind: &str, key: &Key) -> Vec<String> {
        let notes = self.forge.notes.get(&Address::new(kind, key.clone()));
        let notes = notes
            .into_iter()
            .flatten()
            .filter(|note| !self.common.contains_key(&(kind, note)));
        notes.cloned().collect()
    }
}

/// A resource's fields with those of everything that stands in it.
fn whole_value(forge: &Forge, entry: &kinds::Entry, path: &Path, fields: &Fields) -> Fields {
    let mut whole = fields.clone();
    for (child, field) in children(entry.shape.name) {
        let within = forge.within(child.shape.name, path);
        let collection: Fields = within
            .map(|(name, fields)| (name.to_owned(), Value::Object(fields.clone())))
            .collect();
        if !collection.is_empty() {
            whole.insert(field.to_owned(), Value::Object(collection));
        }
    }
    whole
}

/// What repos share, found among all that is declared of them.
pub fn factored(forge: &Forge) -> Factored {
    let Some(repo) = kinds::by_name("repo") else {
        return Factored::default();
    };
    let of = |kind: &'static str| {
        forge
            .resources
            .iter()
            .filter(move |(address, _)| address.kind == kind)
    };
    let groups = of("group").map(|(address, _)| address.key.path.clone());
    let repos = of("repo").map(|(address, fields)| {
        let path = &address.key.path;
        (path.clone(), whole_value(forge, repo, path, fields))
    });
    let none = Factored::default();
    let page = Page::new(forge, &none);
    let measure = |name: &str, fields: &Fields| {
        let mut block = Block::default();
        block.push(name, Node::Block(page.resource(repo, None, fields)));
        block.to_yaml(1).lines().count()
    };
    let secret = children("repo").filter(|(child, _)| !child.secrets.is_empty());
    let repos = Repos {
        all: repos.collect(),
        groups: groups.collect(),
        only_listed: secret.map(|(_, field)| field).chain(["default_branch"]).collect(),
    };
    factor(&repos, &measure)
}

/// Which repos a rule is for: first of all, where they are.
fn condition_block(condition: &Fields) -> Block {
    let mut block = Block::default();
    let (path, other): (Vec<_>, Vec<_>) = condition.iter().partition(|(field, _)| *field == "path");
    for (field, value) in path.into_iter().chain(other) {
        block.push(field, Node::Value(value.clone()));
    }
    block
}

/// What a kind's resources are called where they stand.
fn plural(kind: &str) -> &str {
    match kinds::by_name(kind).map(|entry| entry.shape.place) {
        Some(
            Place::Section(name) | Place::Within { field: name, .. } | Place::Instance { field: name, .. },
        ) => name,
        None => kind,
    }
}

/// The kinds that stand within a kind, and in which field.
fn children(kind: &str) -> impl Iterator<Item = (&'static kinds::Entry, &'static str)> {
    kinds::TABLE
        .iter()
        .filter_map(move |entry| match entry.shape.place {
            Place::Within { kind: parent, field } if parent == kind => Some((entry, field)),
            _ => None,
        })
}

/// The plain value that means the only field of a resource, where its kind has that.
fn short(entry: &kinds::Entry, mut block: Block) -> Node {
    let is_short = block.notes.is_empty()
        && block.entries.len() == 1
        && entry.shape.shorthand == Some(&block.entries[0].key)
        && matches!(&block.entries[0].value, Node::Value(value) if !value.is_null());
    match is_short {
        true => block.entries.remove(0).value,
        false => Node::Block(block),
    }
}
