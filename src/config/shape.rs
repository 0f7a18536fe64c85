//! What config needs to know of a kind: its name, where it stands in the file, its schema, and how its values are decoded.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::core::Key;

/// Where in the file the resources of a kind stand: a map keyed by their natural key, but for what there is only one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A top-level section: `repos:`.
    Section(&'static str),
    /// A field of every resource of another kind: `repos.<path>.protected_branches`.
    Within {
        /// The other kind.
        kind: &'static str,
        /// The field that holds the map.
        field: &'static str,
    },
    /// A field of the `gitlab` section, for what an instance has exactly one of: `gitlab.settings`. It is always there, so
    /// it cannot be declared absent.
    Instance {
        /// The field.
        field: &'static str,
        /// The key of the one resource there is.
        key: &'static str,
    },
}

/// One kind, as config sees it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The kind's name: the first part of its addresses.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// The schema of what the user writes, without what config adds (`absent`, `preset`, `moved_from`, nested kinds).
    ///
    /// Beside JSON Schema's own keywords it may say `x-edition: ee` of a field that only Enterprise Edition knows, and
    /// `x-key` of the whole, an example of what its keys look like.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Whether a resource of this kind can be renamed by `moved_from`.
    pub can_move: bool,
    /// The field that a plain value stands for, written in place of a resource: `members: {alice: owner}`.
    pub shorthand: Option<&'static str>,
    /// Whether what it stands in takes a policy beside it: `members_policy: exact`.
    pub policy: bool,
    /// Checks the key as written (`platform/api`, `release/*`), before any value is looked at.
    pub check_key: fn(&Key) -> Result<(), String>,
    /// Turns a merged value into its normal form (sets sorted, enums as GitLab spells them), or says what is wrong with which field.
    pub decode: fn(&Key, Map<String, Value>) -> Decoded,
}

/// A value in its kind's normal form, or everything that is wrong with it.
pub type Decoded = Result<Map<String, Value>, Vec<FieldProblem>>;

impl Shape {
    /// The top-level section of this kind, if it has one.
    pub fn section(&self) -> Option<&'static str> {
        match self.place {
            Place::Section(section) => Some(section),
            Place::Within { .. } | Place::Instance { .. } => None,
        }
    }

    /// The field of the `gitlab` section that holds the one resource of this kind, and its key.
    pub fn of_instance(&self) -> Option<(&'static str, &'static str)> {
        match self.place {
            Place::Instance { field, key } => Some((field, key)),
            Place::Section(_) | Place::Within { .. } => None,
        }
    }

    /// The field of the other kind's resources that holds this kind's, if it stands within `parent`.
    pub fn field_within(&self, parent: &str) -> Option<&'static str> {
        match self.place {
            Place::Within { kind, field } if kind == parent => Some(field),
            _ => None,
        }
    }
}

/// What is wrong with one field, beyond what the schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field, dotted where it is nested; empty for the resource as a whole.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}
