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

/// What it takes to bring a change about, the least first. A step takes all that its changes take, except that a new container
/// makes the rest unnecessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Nothing of the container: only AutoGit's own files, or its token.
    Aside,
    /// Limits that Docker changes while the container runs.
    Update,
    /// The container is started, which reconfigures GitLab.
    Start,
    /// GitLab is told its settings, and restarts those of its parts that they are of.
    Reconfigure,
    /// Another container takes the place of the one that is there.
    Recreate,
}

/// What it takes to bring a change about.
pub(super) fn way(change: &Change) -> Way {
    let field = change.field.split(['.', '/']).next().unwrap_or_default();
    let lifts = change.after.as_ref().is_none_or(serde_json::Value::is_null);
    match field {
        "token" => Way::Aside,
        // Docker takes a limit of 0 for one that is not to be changed.
        "memory" | "nano_cpus" | "pids" if lifts => Way::Recreate,
        "memory" | "nano_cpus" | "pids" | "restart" => Way::Update,
        "running" => Way::Start,
        "settings" | "secrets" | "reconfigured" => Way::Reconfigure,
        _ => Way::Recreate,
    }
}

fn impact(change: &Change) -> Impact {
    match (&*change.field, &change.after) {
        // The whole container goes.
        ("", None) => Impact::LocksOut,
        _ => Impact::Neutral,
    }
}
