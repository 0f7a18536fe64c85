//! One kind of record, by id, with indexes by parent and by natural key, and a note of what changed since the last write to the log.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A row of a [`Table`].
pub trait Record: Serialize + DeserializeOwned {
    /// Name of the table in the log.
    const TABLE: &'static str;
    /// What rows are listed under: a project's branches, a group's projects.
    type Parent: Copy + Eq + Hash;
    /// What a row is found by besides its id; no two rows share one.
    type Key: Eq + Hash;

    fn id(&self) -> u64;
    fn parent(&self) -> Self::Parent;
    fn key(&self) -> Self::Key;
}

/// Rows of one kind. Ids are given in sequence and never reused.
pub struct Table<T: Record> {
    rows: BTreeMap<u64, T>,
    children: HashMap<T::Parent, BTreeSet<u64>>,
    keys: HashMap<T::Key, u64>,
    changed: BTreeSet<u64>,
    last_id: u64,
}

impl<T: Record> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            children: HashMap::new(),
            keys: HashMap::new(),
            changed: BTreeSet::new(),
            last_id: 0,
        }
    }
}

impl<T: Record> Table<T> {
    pub fn get(&self, id: u64) -> Option<&T> {
        self.rows.get(&id)
    }

    /// The row with this natural key.
    pub fn find(&self, key: &T::Key) -> Option<&T> {
        self.keys.get(key).map(|id| &self.rows[id])
    }

    /// All rows, by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.values()
    }

    /// The rows under `parent`, by id.
    pub fn children(&self, parent: T::Parent) -> impl DoubleEndedIterator<Item = &T> {
        self.children
            .get(&parent)
            .into_iter()
            .flatten()
            .map(|id| &self.rows[id])
    }

    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub fn insert(&mut self, row: T) {
        let id = row.id();
        self.remove(id);
        self.last_id = self.last_id.max(id);
        self.link(id, row.parent(), row.key());
        self.rows.insert(id, row);
        self.changed.insert(id);
    }

    /// Changes a row in place; `None` when there is no such row.
    pub fn update<R>(&mut self, id: u64, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let row = self.rows.get_mut(&id)?;
        let before = (row.parent(), row.key());
        let result = change(row);
        let after = (row.parent(), row.key());
        if before != after {
            self.unlink(id, before.0, &before.1);
            self.link(id, after.0, after.1);
        }
        self.changed.insert(id);
        Some(result)
    }

    pub fn remove(&mut self, id: u64) -> Option<T> {
        let row = self.rows.remove(&id)?;
        self.unlink(id, row.parent(), &row.key());
        self.changed.insert(id);
        Some(row)
    }

    /// Removes the rows under `parent`.
    pub fn remove_children(&mut self, parent: T::Parent) {
        for id in self.children.get(&parent).cloned().unwrap_or_default() {
            self.remove(id);
        }
    }

    fn link(&mut self, id: u64, parent: T::Parent, key: T::Key) {
        self.children.entry(parent).or_default().insert(id);
        self.keys.insert(key, id);
    }

    fn unlink(&mut self, id: u64, parent: T::Parent, key: &T::Key) {
        if let Some(children) = self.children.get_mut(&parent) {
            children.remove(&id);
            if children.is_empty() {
                self.children.remove(&parent);
            }
        }
        // The key may be another row's by now: one of two that swapped paths.
        if self.keys.get(key) == Some(&id) {
            self.keys.remove(key);
        }
    }

    pub(super) fn name(&self) -> &'static str {
        T::TABLE
    }

    /// Moves what changed since the last call to `out`, as `[table, id, row or null]`.
    pub(super) fn drain(&mut self, out: &mut Vec<Value>) {
        for id in std::mem::take(&mut self.changed) {
            out.push(serde_json::json!([T::TABLE, id, self.rows.get(&id)]));
        }
    }

    /// Applies an entry that `drain` made.
    pub(super) fn apply(&mut self, id: u64, row: Value) -> serde_json::Result<()> {
        match row {
            Value::Null => {
                self.remove(id);
                self.last_id = self.last_id.max(id);
            }
            row => self.insert(serde_json::from_value(row)?),
        }
        self.changed.remove(&id);
        Ok(())
    }

    /// Marks every row, and the last id given, as to be written: what a compacted log holds.
    pub(super) fn touch_all(&mut self) {
        self.changed.extend(self.rows.keys());
        if self.last_id > 0 {
            self.changed.insert(self.last_id);
        }
    }
}
