//! What is judged of an instance in every state that it can be in.

use serde_json::{Value, json};

use super::*;
use crate::engine::doctor::State;
use crate::instance::backup::{Made, Verified};
use crate::instance::health::Component;
use crate::live::docker::Engine;

fn spec(more: Value) -> Deploy {
    let mut spec = json!({"docker": {"image": IMAGE}});
    spec.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

/// What is done to something that is well.
type Change<T> = fn(&mut T);

const IMAGE: &str = "gitlab/gitlab-ce:18.8.4-ce.0";

/// An instance that is well.
fn well() -> Health {
    Health {
        engine: Engine {
            memory: 8 * GIB,
            ..Engine::default()
        },
        container: Some(Container {
            state: "running".into(),
            health: Some("healthy".into()),
            image: IMAGE.into(),
            ..Container::default()
        }),
        version: Ok(Release::parse("18.8.4").unwrap()),
        components: Ok(vec![component("puma", true), component("sidekiq", true)]),
        readiness: Ok(Readiness {
            is_ready: true,
            parts: [("db_check".to_owned(), None)].into(),
        }),
        certificate: None,
        token: None,
        disks: vec![Disk {
            holds: vec!["/var/opt/gitlab".into()],
            path: "/srv/data".into(),
            free: 50 * GIB,
            size: 100 * GIB,
        }],
        backups: Ok(Record {
            made: Some(made("2026-01-31T03:00:00Z")),
            verified: Some(Verified {
                id: ID.parse().unwrap(),
                at: "2026-01-20T03:00:00Z".parse().unwrap(),
            }),
            ..Record::default()
        }),
    }
}

const ID: &str = "20260131T030000Z-3fa9c1";

fn made(at: &str) -> Made {
    Made {
        id: ID.parse().unwrap(),
        at: at.parse().unwrap(),
        size: 1,
    }
}

fn component(name: &str, is_up: bool) -> Component {
    Component {
        name: name.into(),
        is_up,
        seconds: 5,
    }
}

fn files() -> Files {
    Files {
        has_secrets: Ok(true),
        host_keys: Ok(vec!["ed25519"]),
        overrides: Ok(Vec::new()),
    }
}

fn judged(spec: &Deploy, health: &Health, files: Option<&Files>) -> Vec<Check> {
    deployed(&Deployed {
        spec,
        health,
        files,
        now: "2026-02-01T00:00:00Z".parse().unwrap(),
    })
}

/// What is declared where it is backed up each night.
fn nightly() -> Deploy {
    let target = json!({"restic": {"repository": "sftp:nas:/gitlab", "password": {"env": "P"}}});
    spec(json!({"backup": {"schedule": "15 3 * * *", "to": target}}))
}

#[test]
fn backups_have_to_be_made_and_tried() {
    let of = |name: &str, change: fn(&mut Record)| {
        let mut health = well();
        change(health.backups.as_mut().unwrap());
        let checks = judged(&nightly(), &health, None);
        checks.into_iter().find(|check| check.name == name).unwrap()
    };
    let cases: [(&str, State, &str, Change<Record>); 6] = [
        ("backup", State::Ok, ID, |_| ()),
        ("backup", State::Failed, "disk full", |it| {
            it.error = Some("disk full".into())
        }),
        ("backup", State::Warning, "none was made", |it| it.made = None),
        ("backup", State::Warning, "4 days old", |it| {
            it.made = Some(made("2026-01-27T03:00:00Z"))
        }),
        ("backup_verified", State::Warning, "none was ever", |it| {
            it.verified = None
        }),
        ("backup_verified", State::Warning, "is damaged: short", |it| {
            it.damaged.insert(ID.parse().unwrap(), "short".into());
        }),
    ];
    for (name, state, words, change) in cases {
        let check = of(name, change);
        assert!(check.state == state && check.found.contains(words), "{check:?}");
        assert_eq!(check.remedy.is_some(), state != State::Ok);
    }
    for (schedule, days) in [
        ("15 3 * * *", 2),
        ("0 */6 * * *", 2),
        ("0 3 * * 0", 8),
        ("0 3 1 * *", 32),
    ] {
        assert_eq!(longest_between(Some(schedule)), days, "{schedule}");
    }
}

/// Expects a check to stand so, with these words, after what was well was changed.
#[track_caller]
fn expect(name: &str, state: State, words: &str, change: impl FnOnce(&mut Health, &mut Files)) {
    let (mut health, mut files) = (well(), files());
    change(&mut health, &mut files);
    let checks = judged(&spec(json!({})), &health, Some(&files));
    let check = checks.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("no {name}: {checks:?}"));
    assert_eq!(check.state, state, "{check:?}");
    let said = format!("{} {}", check.found, check.remedy.clone().unwrap_or_default());
    assert!(said.contains(words), "{said}");
    // Whoever is told that something is wrong is told what to do.
    assert_eq!(
        check.remedy.is_some(),
        matches!(state, State::Warning | State::Failed)
    );
}

#[test]
fn nothing_is_wrong_with_what_is_well() {
    let spec = spec(json!({
        "smtp": {"address": "mail.lan", "from": "git@example.org"},
        "backup": {"to": {"restic": {"repository": "sftp:nas:/gitlab", "password": {"env": "P"}}}},
    }));
    let checks = judged(&spec, &well(), Some(&files()));
    assert!(checks.iter().all(|check| check.state == State::Ok), "{checks:#?}");
    assert_eq!(checks.len(), 14);
}

fn container_is(change: fn(&mut Container)) -> impl FnOnce(&mut Health, &mut Files) {
    move |health, _| change(health.container.as_mut().unwrap())
}

#[test]
fn a_container_is_judged_by_the_worst_that_is_known_of_it() {
    let (failed, warning) = (State::Failed, State::Warning);
    expect("container", failed, "autogit apply", |health, _| {
        health.container = None
    });
    let cases: [(State, &str, Change<Container>); 6] = [
        (failed, "want of memory", |it| it.out_of_memory = true),
        (failed, "again and again (exit status 1, 9 times)", |it| {
            it.state = "restarting".into();
            it.exit_code = Some(1);
            it.restarts = 9;
        }),
        (failed, "does not run: exited (exit status 137)", |it| {
            it.state = "exited".into();
            it.exit_code = Some(137);
        }),
        (failed, "health check fails", |it| {
            it.health = Some("unhealthy".into())
        }),
        (warning, "start it again 2 times", |it| it.restarts = 2),
        (warning, "autogit plan", |it| {
            it.image = "gitlab/gitlab-ce:18.7.0-ce.0".into()
        }),
    ];
    for (state, words, change) in cases {
        expect("container", state, words, container_is(change));
    }
}

#[test]
fn what_is_down_is_named_with_its_logs() {
    expect("components", State::Failed, "down: sidekiq", |health, _| {
        health.components = Ok(vec![component("puma", true), component("sidekiq", false)]);
    });
    expect("components", State::Failed, "autogit logs", |health, _| {
        health.components = Err("GitLab's supervisor does not run yet".into());
    });
    expect("readiness", State::Failed, "db_check: no route", |health, _| {
        health.readiness = Ok(Readiness {
            is_ready: false,
            parts: [("db_check".to_owned(), Some("no route".to_owned()))].into(),
        });
    });
}

#[test]
fn room_runs_out_in_two_steps() {
    let of = |free| move |health: &mut Health, _: &mut Files| health.disks[0].free = free;
    expect("disk", State::Ok, "/srv/data", of(10 * GIB));
    expect("disk", State::Warning, "make room", of(10 * GIB - 1));
    expect("disk", State::Failed, "1.0 GiB of 100.0 GiB", of(GIB));
    expect("disk", State::NotKnown, "", |health, _| health.disks.clear());
    expect("memory", State::Warning, "for 8.0 GiB", |health, _| {
        health.engine.memory = 6 * GIB;
    });
}

#[test]
fn what_cannot_be_made_again_is_missed() {
    expect("gitlab_secrets", State::Failed, "from a backup", |_, files| {
        files.has_secrets = Ok(false);
    });
    expect("host_keys", State::Failed, "from a backup", |_, files| {
        files.host_keys = Ok(Vec::new());
    });
    expect(
        "gitlab_rb",
        State::Warning,
        "line 7: nginx['listen_port']",
        |_, files| {
            files.overrides = Ok(vec![(7, "nginx['listen_port']".into())]);
        },
    );
    expect("gitlab_rb", State::NotKnown, "permission", |_, files| {
        files.overrides = Err("permission denied".into());
    });
}

#[test]
fn a_release_that_gets_no_fixes_is_warned_of() {
    let at = |version: &str, day: &str| {
        let version = Version::parse(version).unwrap();
        behind(version, format!("{day}T12:00:00Z").parse().unwrap())
    };
    // 18.8 came out on 15 January 2026, 18.0 on 15 May 2025, 17.11 on 17 April 2025.
    assert_eq!(at("18.8.4", "2026-01-31"), 0);
    assert_eq!(at("18.8.4", "2026-02-01"), 0);
    assert_eq!(at("18.8.4", "2026-04-30"), 3);
    assert_eq!(at("18.0.0", "2025-05-31"), 0);
    assert_eq!(at("17.11.0", "2025-05-31"), 1);
    expect(
        "release",
        State::Warning,
        "the next stop is 17.11",
        |health, _| {
            health.version = Ok(Release::parse("17.9.1").unwrap());
        },
    );
}

#[test]
fn backups_have_to_be_elsewhere() {
    let here = json!({"backup": {"to": {"directory": "/srv/backups"}}});
    for (spec, words) in [(spec(json!({})), "no backup"), (spec(here), "lost with it")] {
        let checks = judged(&spec, &well(), None);
        let check = checks.iter().find(|check| check.name == "backup_place").unwrap();
        assert!(
            check.state == State::Warning && check.found.contains(words),
            "{check:?}"
        );
    }
}

#[test]
fn what_gitlabs_own_checks_print_is_judged() {
    let fine = "Checking Sidekiq ...\nSidekiq: ... Running? ... yes\nChecking GitLab subtasks ... Finished\n";
    assert_eq!(own_check(fine).state, State::Ok);
    let wrong = "Redis version >= 6.2.14? ... yes\nUploads directory exists? ... no\n  Try fixing it:\n  sudo -u git …\n";
    let check = own_check(wrong);
    assert!(check.state == State::Failed && check.found.ends_with("finds: Uploads directory exists? ... no"));
    let told = |count| {
        format!(
            "I, [2026] INFO -- : - ApplicationSetting failures: {count}\nI, [2026] INFO -- : - User failures: 0\nDone!\n"
        )
    };
    assert_eq!(encrypted(&told(0)).state, State::Ok);
    let check = encrypted(&told(3));
    assert!(
        check.state == State::Failed && check.found.contains("3 of ApplicationSetting"),
        "{check:?}"
    );
    assert_eq!(encrypted("rake aborted!").state, State::NotKnown);
}
