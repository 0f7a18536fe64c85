//! The instance under faults: killed at any write, a reconfigure that fails, a container that does not come up, a boot that takes too
//! long, a token that is lost. Run again, everything is as if nothing had happened.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::docker::{self, Deployed, Lost, Proxy, Wanted, docker};
use crate::support::in_parallel;

pub fn trials() -> Vec<Trial> {
    docker::on_the_standin(crate::trials![
        a_first_apply_killed_at_any_write_converges,
        a_reconfigure_killed_at_any_write_converges,
        a_new_container_killed_at_any_write_converges,
    ])
}

/// A group that tells whether the data are still there.
const CONTENT: &str = "groups:\n  team: {description: The team}\n";

/// Sides of a write on which a run is killed.
const SIDES: [Lost; 2] = [Lost::Request, Lost::Reply];

/// Runs `apply`, which is killed at its write number `at`. Whether it was.
fn killed(deployed: &Deployed, proxy: &Proxy, at: u64, lost: Lost) -> bool {
    let running = deployed.start(&["apply", "--yes"]);
    proxy.kill(running.id(), at, lost);
    let run = running.wait();
    match run.code {
        None => true,
        Some(_) => {
            run.exits(0);
            false
        }
    }
}

/// Asserts that there is one container, with its data, a token that works and no other, and that it is known to be AutoGit's.
#[track_caller]
fn expect_whole(deployed: &Deployed) {
    let named = |what: &[&str]| {
        let filter = format!("name={}", deployed.name);
        docker(&[what, &["--filter", &filter]].concat())
    };
    assert_eq!(named(&["ps", "-a", "--format", "{{.Names}}"]), deployed.name);
    assert_eq!(named(&["volume", "ls", "-q"]).lines().count(), 3);
    let admin = deployed.admin();
    assert_eq!(admin.get("groups/team")["description"], "The team");
    let tokens = admin.get("personal_access_tokens?state=active");
    let ours = |token: &&Value| token["name"] == "autogit";
    assert_eq!(
        tokens.as_array().unwrap().iter().filter(ours).count(),
        1,
        "{tokens}"
    );
    assert!(!deployed.place("token.pending").exists() && !deployed.place("replaced.json").exists());
    deployed.expect_converged();
    let ledger = deployed.run(&["ledger", "list", "--format", "json"]).exits(0);
    assert!(ledger.stdout.contains("instance."), "{}", ledger.stdout);
    let origin = ledger.json().to_string();
    assert!(!origin.contains("adopted"), "{origin}");
}

fn a_first_apply_killed_at_any_write_converges() {
    in_parallel(&SIDES, |lost| {
        for at in 1.. {
            let mut deployed = Deployed::without_config();
            let proxy = Proxy::new();
            deployed.environment.insert("DOCKER_HOST".into(), proxy.host());
            deployed.config(Wanted {
                rest: CONTENT,
                ..deployed.wanted()
            });
            let was_killed = killed(&deployed, &proxy, at, *lost);
            if was_killed {
                let plan = deployed.run(&["plan", "--detailed-exitcode"]).exits(2);
                assert!(plan.stdout.contains("instance."), "at {at}: {}", plan.all());
                deployed.run(&["apply", "--yes"]).exits(0);
            }
            expect_whole(&deployed);
            if !was_killed {
                assert!(at > 8, "{at}");
                break;
            }
        }
    });
}

/// Alternates between two configs of one instance, and kills every apply at another write.
fn alternate(docker: [&str; 2], least: u64) {
    in_parallel(&SIDES, |lost| {
        let mut deployed = Deployed::up(CONTENT);
        let proxy = Proxy::new();
        deployed.environment.insert("DOCKER_HOST".into(), proxy.host());
        for at in 1.. {
            deployed.config(Wanted {
                docker: docker[usize::from(at % 2 == 0)],
                rest: CONTENT,
                ..deployed.wanted()
            });
            let was_killed = killed(&deployed, &proxy, at, *lost);
            if was_killed {
                deployed.run(&["plan"]).exits(0);
                deployed.run(&["apply", "--yes"]).exits(0);
            }
            expect_whole(&deployed);
            if !was_killed {
                assert!(at > least, "{at}");
                break;
            }
        }
    });
}

fn a_reconfigure_killed_at_any_write_converges() {
    alternate(["profile: team", "profile: minimal"], 2);
}

fn a_new_container_killed_at_any_write_converges() {
    alternate(
        [
            "profile: minimal, shm_size: 128MiB",
            "profile: minimal, shm_size: 64MiB",
        ],
        5,
    );
}
