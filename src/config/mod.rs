//! Config: files to a tree with positions, merged, decoded field by field, every problem reported at once.

mod check;
mod decode;
pub mod deploy;
mod diagnostic;
mod explain;
mod grammar;
mod include;
mod inventory;
mod judge;
mod layout;
mod load;
mod locks;
mod merge;
mod model;
mod parse;
mod paths;
mod reference;
mod reusable;
mod rules;
mod scalar;
mod schema;
mod settings;
mod shape;
mod shorthand;
mod starter;
mod suggest;
mod tree;
mod write;

pub use diagnostic::{Diagnostic, Label, Severity, Sources};
pub use explain::{Explained, Explanation};
pub use inventory::Listed;
pub use judge::{Declarable, Judge};
pub use load::{Loaded, Reporting, Settled, load, load_bytes};
pub use model::{
    Config, Declaration, Deployment, Edition, Gitlab, GitlabState, Mode, Origin, Policy, Position, Prune,
    SecretRef, Via,
};
pub use reference::reference;
pub use rules::Roots;
pub use schema::schema;
pub use shape::{Decoded, FieldProblem, Place, Shape};
pub use starter::starter;
pub use write::{Block, Entry, Node};
