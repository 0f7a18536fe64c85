//! The instance under faults: killed at any write, a reconfigure that fails, a container that does not come up, a boot that takes too
//! long, a token that is lost. Run again, everything is as if nothing had happened.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::Value;

use crate::docker::{self, Deployed, Lost, Proxy, Wanted, docker};
use crate::support::{Http, files, in_parallel};

pub fn trials() -> Vec<Trial> {
    docker::on_the_standin(crate::trials![
        a_first_apply_killed_at_any_write_converges,
        a_reconfigure_killed_at_any_write_converges,
        a_new_container_killed_at_any_write_converges,
        an_interrupted_apply_goes_on_waiting,
        a_reconfigure_that_fails_leaves_the_previous_settings_in_force,
        a_new_container_that_does_not_come_up_gives_way_to_the_previous_one,
        a_boot_that_takes_too_long_is_named_by_its_phase_and_goes_on,
        a_container_that_ends_is_an_error_at_once_and_comes_up_once_the_cause_is_gone,
        a_url_that_leads_elsewhere_is_told_from_a_gitlab_that_is_not_ready,
        a_lost_token_is_made_anew,
        a_token_about_to_expire_is_renewed,
        no_secret_is_where_others_can_see_it,
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
    assert!(!deployed.place("token.pending").exists());
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

/// What the stand-in is asked to do, as a member of `deploy`.
fn asks(what: &str) -> String {
    format!("omnibus: {{\"gitlab_rails['env']\": {{{what}}}}}")
}

fn an_interrupted_apply_goes_on_waiting() {
    let deployed = Deployed::without_config();
    deployed.config(Wanted {
        deploy: &asks("STANDIN_BOOT_SECONDS: '5'"),
        rest: CONTENT,
        ..deployed.wanted()
    });
    let running = deployed.start(&["apply", "--yes"]);
    running.wait_to_say("waiting for the");
    let container = deployed.inspect(".Id");
    running.signal("INT");
    running.wait().exits(130);
    deployed
        .run(&["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("instance.");
    deployed.run(&["apply", "--yes"]).exits(0);
    assert_eq!(deployed.inspect(".Id"), container);
    assert_eq!(
        reconfigures(&deployed),
        1,
        "it was told everything when it started"
    );
    expect_whole(&deployed);
}

/// How often GitLab in the container was reconfigured when it started.
fn reconfigures(deployed: &Deployed) -> usize {
    let log = docker(&["logs", &deployed.name]);
    log.lines().filter(|line| line.contains("Reconfigured!")).count()
}

fn a_reconfigure_that_fails_leaves_the_previous_settings_in_force() {
    let deployed = Deployed::up(CONTENT);
    let before = deployed.settings();
    let container = deployed.inspect(".Id");
    let written = std::fs::read(deployed.place("etc/gitlab.rb")).unwrap();
    deployed.config(Wanted {
        deploy: &asks("STANDIN_FAIL: the moon"),
        rest: CONTENT,
        ..deployed.wanted()
    });
    deployed
        .run(&["apply", "--yes"])
        .exits(1)
        .says("failed to reconfigure")
        .says("asked for: the moon")
        .says("the previous settings are back in force");
    assert_eq!(std::fs::read(deployed.place("etc/gitlab.rb")).unwrap(), written);
    assert_eq!(
        (deployed.settings(), deployed.inspect(".Id")),
        (before, container)
    );
    deployed.run(&["plan", "--detailed-exitcode"]).exits(2);
    deployed.config(Wanted {
        rest: CONTENT,
        ..deployed.wanted()
    });
    expect_whole(&deployed);
}

fn a_new_container_that_does_not_come_up_gives_way_to_the_previous_one() {
    let deployed = Deployed::up(CONTENT);
    let container = deployed.inspect(".Id");
    deployed.config(Wanted {
        docker: "profile: minimal, shm_size: 64MiB",
        deploy: &asks("STANDIN_FAIL: the moon"),
        rest: CONTENT,
        ..deployed.wanted()
    });
    deployed
        .run(&["apply", "--yes"])
        .exits(1)
        .says("asked for: the moon")
        .says("the previous container is back in its place");
    assert_eq!(deployed.inspect(".Id"), container);
    deployed.config(Wanted {
        rest: CONTENT,
        ..deployed.wanted()
    });
    expect_whole(&deployed);
}

fn a_boot_that_takes_too_long_is_named_by_its_phase_and_goes_on() {
    let deployed = Deployed::without_config();
    let slow = asks("STANDIN_BOOT_SECONDS: '20'");
    deployed.config(Wanted {
        deploy: &format!("{slow}, ready_within: 15s"),
        rest: CONTENT,
        ..deployed.wanted()
    });
    deployed
        .run(&["apply", "--yes"])
        .exits(1)
        .says("not ready after 15s")
        .says("in the phase `database migrations`")
        .says("gitlab.deploy.ready_within");
    deployed.config(Wanted {
        deploy: &slow,
        rest: CONTENT,
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    expect_whole(&deployed);
}

fn a_container_that_ends_is_an_error_at_once_and_comes_up_once_the_cause_is_gone() {
    let deployed = Deployed::without_config();
    deployed.config(Wanted {
        deploy: &asks("STANDIN_FAIL: the moon"),
        rest: CONTENT,
        ..deployed.wanted()
    });
    let began = Instant::now();
    deployed
        .run(&["apply", "--yes"])
        .exits(1)
        .says("again")
        .says("asked for: the moon");
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "it did not wait for the deadline"
    );
    deployed.config(Wanted {
        rest: CONTENT,
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    expect_whole(&deployed);
}

fn a_url_that_leads_elsewhere_is_told_from_a_gitlab_that_is_not_ready() {
    let deployed = Deployed::without_config();
    let elsewhere = || Wanted {
        // Nothing listens on the port for discarding.
        url: "http://127.0.0.1:9".into(),
        deploy: "ready_within: 12s",
        rest: CONTENT,
        ..deployed.wanted()
    };
    deployed.config(elsewhere());
    deployed
        .run(&["apply", "--yes"])
        .exits(1)
        .says("failed to reach GitLab at http://127.0.0.1:9/ from here, though it is ready in the container")
        .says("DNS");
}

fn a_lost_token_is_made_anew() {
    let deployed = Deployed::up(CONTENT);
    let lost = deployed.token();
    std::fs::remove_file(deployed.place("token")).unwrap();
    deployed
        .run(&["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("token");
    deployed.run(&["apply", "--yes"]).exits(0);
    assert_ne!(deployed.token(), lost);
    expect_whole(&deployed);
}

fn a_token_about_to_expire_is_renewed() {
    let deployed = Deployed::up(CONTENT);
    let old = deployed.token();
    std::fs::write(deployed.place("token.json"), r#"{"expires_at": "2020-01-31"}"#).unwrap();
    deployed
        .run(&["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("2020-01-31");
    deployed.run(&["apply", "--yes"]).exits(0);
    assert_ne!(deployed.token(), old);
    let before = Http::new(&deployed.wanted().url, &old);
    before.send(Method::GET, "user", None).expect(401);
    let facts = std::fs::read_to_string(deployed.place("token.json")).unwrap();
    assert!(!facts.contains("2020"), "{facts}");
    expect_whole(&deployed);
}

fn no_secret_is_where_others_can_see_it() {
    const CANARY: &str = "canary-S3cret-of-root";
    let mut deployed = Deployed::without_config();
    deployed.environment.insert("ROOT".into(), CANARY.into());
    deployed.environment.insert("RUST_LOG".into(), "trace".into());
    deployed.config(Wanted {
        deploy: "admin: {password: {env: ROOT}, email: ada@example.org}",
        rest: CONTENT,
        ..deployed.wanted()
    });
    let running = deployed.start(&["apply", "--yes"]);
    let apply = running.id().to_string();
    let mut seen = BTreeSet::new();
    while std::fs::read(format!("/proc/{apply}/cmdline")).is_ok_and(|line| !line.is_empty()) {
        seen.extend(command_lines(&apply));
    }
    let run = running.wait().exits(0);
    assert_eq!(deployed.admin().get("user")["email"], "ada@example.org");
    let token = deployed.token();
    let shown = [
        run.all(),
        deployed.run(&["plan", "--format", "json"]).all(),
        docker(&["inspect", &deployed.name]),
        docker(&["logs", &deployed.name]),
        seen.into_iter().collect(),
    ];
    for text in &shown {
        assert!(!text.contains(CANARY) && !text.contains(&token), "{text}");
    }
    for path in files(&deployed.dir.path().join(".autogit")) {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let holds = [CANARY, &token].iter().any(|secret| text.contains(secret));
        let may = path.ends_with("token") || path.parent().unwrap().ends_with("secrets");
        assert!(may || !holds, "{}", path.display());
        assert!(!may || mode == 0o600, "{}: {mode:o}", path.display());
    }
    let mode = std::fs::metadata(deployed.place("etc"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o700);
}

/// The command lines and environments of all processes of this host, those of containers among them, but not the environment of
/// `apply`, which is where the test put the secret.
fn command_lines(apply: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter(|process| {
        process
            .file_name()
            .to_string_lossy()
            .starts_with(|c: char| c.is_ascii_digit())
    });
    let texts = processes.flat_map(|process| {
        let environment = (process.file_name() != apply).then_some("environ");
        let names = ["cmdline"].into_iter().chain(environment);
        let texts = names.filter_map(|name| std::fs::read(process.path().join(name)).ok());
        texts.collect::<Vec<_>>()
    });
    texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .collect()
}
