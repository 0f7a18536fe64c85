//! Merging: maps by key, lists and scalars replaced, `null` drops what is weaker, `absent: true` stands for the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::grammar::{Grammar, TermId};
use super::model::Via;
use super::tree::{Data, Entry, Node};

/// One opinion on a value. Opinions are listed weakest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opinion<'a> {
    /// The key it is written under, and the value.
    pub entry: &'a Entry,
    /// Through what it comes; `None`: the resource's own.
    pub via: Option<Via<&'a str>>,
}

/// The opinions on each field of a resource, weakest first, of the opinions on the resource.
pub(super) fn fields<'a>(opinions: &[Opinion<'a>]) -> BTreeMap<&'a str, Vec<Opinion<'a>>> {
    let mut fields: BTreeMap<&str, Vec<Opinion>> = BTreeMap::new();
    for opinion in opinions {
        for entry in opinion.entry.value.entries() {
            fields
                .entry(&entry.key)
                .or_default()
                .push(Opinion { entry, ..*opinion });
        }
    }
    fields
}

/// The opinions that count: the strongest, and below it the maps it is merged with.
pub(super) fn effective<'o, 'a>(opinions: &'o [Opinion<'a>]) -> &'o [Opinion<'a>] {
    let merges = |opinion: &&Opinion| {
        matches!(opinion.entry.value.data, Data::Map(_)) && !is_absent(&opinion.entry.value)
    };
    let maps = opinions.iter().rev().take_while(merges).count();
    &opinions[opinions.len() - maps.max(1).min(opinions.len())..]
}

/// A field's term, as far as merging goes by it.
#[derive(Clone, Copy)]
pub(super) struct FieldTerm<'a> {
    grammar: &'a Grammar,
    /// `None`: anything goes there.
    id: Option<TermId>,
}

impl<'a> FieldTerm<'a> {
    pub fn new(grammar: &'a Grammar, id: TermId) -> Self {
        FieldTerm {
            grammar,
            id: Some(id),
        }
    }

    pub fn field(self, name: &str) -> Self {
        let id = self.id.and_then(|id| self.grammar.get(id).field(name));
        FieldTerm { id, ..self }
    }

    /// What has several forms, a reference to a secret above all, is one value: parts of different forms make none.
    pub fn is_one_value(self) -> bool {
        self.id.is_some_and(|id| self.grammar.get(id).has_forms())
    }

    /// Whether two values mean the same here: a set has no order.
    pub fn is_same(self, one: &Node, other: &Node) -> bool {
        let is_set = self.id.is_some_and(|id| self.grammar.get(id).unique);
        let items = |node: &Node| -> BTreeSet<String> {
            let items = node.items().iter();
            items.map(|item| item.to_json().to_string()).collect()
        };
        match (&one.data, &other.data) {
            (Data::Seq(_), Data::Seq(_)) if is_set => items(one) == items(other),
            _ => one.to_json() == other.to_json(),
        }
    }

    /// The opinions that count here.
    pub fn effective<'o, 'e>(self, opinions: &'o [Opinion<'e>]) -> &'o [Opinion<'e>] {
        match self.is_one_value() {
            true => &opinions[opinions.len().saturating_sub(1)..],
            false => effective(opinions),
        }
    }

    /// The entry that the opinions come to; `None` when the strongest drops it.
    pub fn resolve(self, opinions: &[Opinion]) -> Option<Entry> {
        let effective = self.effective(opinions);
        let entry = effective.last()?.entry;
        if entry.value.is_null() {
            return None;
        }
        let mut merged = entry.clone();
        if effective.len() > 1 {
            let fields = fields(effective);
            let entries = fields
                .into_iter()
                .filter_map(|(name, opinions)| self.field(name).resolve(&opinions));
            merged.value.data = Data::Map(Arc::new(entries.collect()));
        }
        Some(merged)
    }
}

/// Whether a resource's value says that it must not exist.
pub(super) fn is_absent(node: &Node) -> bool {
    matches!(node.entry("absent"), Some(entry) if matches!(entry.value.data, Data::Bool(true)))
}
