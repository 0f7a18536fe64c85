//! The pure middle: no async, no clock, no I/O, no environment.

pub mod address;
pub mod diff;
pub mod graph;
pub mod impact;
pub mod plan;
pub mod planner;

pub use address::{Address, Key, Path};
pub use diff::{Cause, Change, Fields};
pub use impact::{Allowed, Impact};
pub use plan::{
    Action, Among, Entry, Live, Ownership, Plan, Present, Problem, Reason, Reported, Rules, Step, Wanted,
};
