//! What a change to the instance does to people, and what it takes: nothing, a reconfigure, or a new container.

use crate::core::{Change, Impact, Rules};

/// What the planner needs to know of the instance.
pub const RULES: Rules = Rules {
    name: super::KIND,
    parent: None,
    needs: |_, _| Vec::new(),
    impact,
    among: |_| Impact::Neutral,
    leaves: |_, _| None,
    first: |_| false,
    last: |_| false,
    spreads: |_| false,
    fits: |_, _| None,
    seals: |_| None,
    lacks: |_| None,
    refuses: |_, _, _| None,
    create_only: &[],
    prunable: true,
};

fn impact(change: &Change) -> Impact {
    match (&*change.field, &change.after) {
        // The whole container goes.
        ("", None) => Impact::LocksOut,
        _ => Impact::Neutral,
    }
}
