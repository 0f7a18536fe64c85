//! The instance itself from an empty host to a second apply that changes nothing, on a real Docker Engine.

use libtest_mimic::Trial;

use crate::docker::{self, Deployed};

pub fn trials() -> Vec<Trial> {
    docker::on_an_engine(crate::trials![a_plan_of_a_new_instance_is_provisional])
}

fn a_plan_of_a_new_instance_is_provisional() {
    let deployed = Deployed::new();
    let plan = deployed.run(&["plan"]).exits(0);
    assert!(
        plan.stdout.contains("the instance does not exist yet"),
        "{}",
        plan.all()
    );
    assert!(!deployed.is_there());
}
