//! What tests need that deploy an instance: a real Docker Engine, an image, and a config whose container is theirs alone.
//!
//! The image stands in for GitLab's, see docs/testing.md; `AUTOGIT_GITLAB_IMAGE` names a real one to run the same tests on.

mod deployed;
mod engine;
mod image;
mod proxy;

pub use deployed::{Deployed, Wanted, free_port};
pub use engine::docker;
pub use image::{RELEASE, of};
pub use proxy::{Lost, Proxy};

use libtest_mimic::Trial;

/// Trials that need a Docker Engine: reported as ignored where none answers.
pub fn on_an_engine(trials: Vec<Trial>) -> Vec<Trial> {
    ignored_unless(engine::answers(), trials)
}

/// Trials that need a Docker Engine, and the stand-in: several releases of it, or what no real GitLab does on request.
pub fn on_the_standin(trials: Vec<Trial>) -> Vec<Trial> {
    ignored_unless(engine::answers() && image::given().is_none(), trials)
}

fn ignored_unless(runs: bool, trials: Vec<Trial>) -> Vec<Trial> {
    let trials = trials.into_iter();
    trials.map(|trial| trial.with_ignored_flag(!runs)).collect()
}
