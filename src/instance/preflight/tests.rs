//! What is judged of facts about hosts that this one is not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::facts::{Directory, addresses, overlap};
use super::*;
use crate::instance::Place;
use crate::live::host::{Filesystem, Listening};

const GIB: u64 = 1 << 30;

/// What follows from `docker`, merged over an image, for the instance at `url`.
fn blueprint(url: &str, docker: Value) -> Blueprint {
    let mut spec = json!({"docker": {"image": "gitlab/gitlab-ce:18.8.4-ce.0"}});
    let fields = spec["docker"].as_object_mut().unwrap();
    fields.extend(docker.as_object().unwrap().clone());
    let spec = serde_json::from_value(spec).unwrap();
    let place = Place::new(Path::new("/srv/forge/.autogit"), "gitlab");
    Blueprint::new(&spec, &url.parse().unwrap(), &place)
}

/// A host on which nothing stands in the way of this.
fn facts(blueprint: &Blueprint) -> Facts {
    let filesystem = Filesystem {
        free: 100 * GIB,
        size: 200 * GIB,
        read_only: false,
    };
    Facts {
        engine: Engine {
            version: "28.0.1".into(),
            api_version: "1.48".into(),
            architecture: "amd64".into(),
            memory: 16 * GIB,
            cpus: 8,
            root_dir: "/var/lib/docker".into(),
            local: true,
            ..Engine::default()
        },
        tried: addresses(blueprint)
            .map(|(address, _)| (address, Listening::Free))
            .collect(),
        unprivileged_from: Some(1024),
        image: Some("amd64".into()),
        filesystems: [("/var/lib/docker".into(), filesystem)].into(),
        swap: Some(2 * GIB),
        ..Facts::default()
    }
}

/// Judges what is asked on a host that `change` made other than it has to be.
fn judged(blueprint: &Blueprint, change: impl FnOnce(&mut Facts)) -> Findings {
    let mut facts = facts(blueprint);
    change(&mut facts);
    judge(&asked(blueprint), &facts)
}

fn asked(blueprint: &Blueprint) -> Asked<'_> {
    Asked {
        blueprint,
        profile: Profile::Homelab,
        is_made: true,
        is_new: true,
    }
}

fn plain() -> Blueprint {
    blueprint("http://git.example.org:3000", json!({}))
}

/// Expects one refusal, of this field, in these words among others.
#[track_caller]
fn refused(findings: &Findings, field: &str, words: &[&str]) {
    let [(found, message)] = findings.refusals.as_slice() else {
        panic!("not one refusal: {findings:?}");
    };
    assert_eq!(*found, field, "{message}");
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
}

/// Expects no refusal, and one note in these words among others.
#[track_caller]
fn noted(findings: &Findings, words: &[&str]) {
    assert_eq!(findings.refusals, []);
    let [note] = findings.notes.as_slice() else {
        panic!("not one note: {findings:?}");
    };
    for word in words {
        assert!(note.contains(word), "no `{word}` in: {note}");
    }
}

#[test]
fn nothing_is_said_where_nothing_is_wrong() {
    let blueprint = plain();
    assert_eq!(judged(&blueprint, |_| ()), Findings::default());
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_overlap_where_only_one_can_listen() {
    for (a, b, expected) in [
        ("0.0.0.0:80", "127.0.0.1:80", true),
        ("127.0.0.1:80", "0.0.0.0:80", true),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        ("127.0.0.1:80", "127.0.0.1:81", false),
        ("[::]:80", "127.0.0.1:80", true),
        ("[::]:80", "0.0.0.0:80", true),
        ("0.0.0.0:80", "[::1]:80", false),
        ("[::1]:80", "[::]:80", true),
    ] {
        assert_eq!(overlap(address(a), address(b)), expected, "{a} {b}");
        assert_eq!(overlap(address(b), address(a)), expected, "{b} {a}");
    }
}

#[test]
fn a_port_that_somebody_holds_is_refused_with_the_name() {
    let blueprint = plain();
    let by_container = judged(&blueprint, |facts| {
        facts.held = vec![(address("127.0.0.1:3000"), "grafana".into())];
        facts.tried.insert(address("0.0.0.0:3000"), Listening::Taken);
    });
    refused(
        &by_container,
        "docker.ports.http",
        &["port 3000", "the container grafana", "ports: {http: …}"],
    );
    let by_program = judged(&blueprint, |facts| {
        facts.tried.insert(address("0.0.0.0:2222"), Listening::Taken);
    });
    refused(
        &by_program,
        "docker.ports.ssh",
        &["port 2222", "another program", "ss -ltnp"],
    );
}

#[test]
fn our_own_container_holds_its_ports_rightly() {
    let blueprint = blueprint("https://git.example.org", json!({}));
    // What it holds is not tried, and it may: root's Docker published it, or a rootless one did with a right it has.
    for rootless in [false, true] {
        let found = judged(&blueprint, |facts| {
            facts.tried.clear();
            facts.engine.rootless = rootless;
        });
        assert_eq!(found, Findings::default());
    }
}

#[test]
fn rootless_docker_cannot_have_every_port() {
    let blueprint = blueprint("https://git.example.org", json!({}));
    let found = judged(&blueprint, |facts| facts.engine.rootless = true);
    refused(
        &found,
        "docker.ports.https",
        &[
            "port 443",
            "from 1024 on",
            "net.ipv4.ip_unprivileged_port_start=443",
        ],
    );
    let allowed = judged(&blueprint, |facts| {
        facts.engine.rootless = true;
        facts.unprivileged_from = Some(80);
    });
    assert_eq!(allowed, Findings::default());
    // Root's Docker may, even where AutoGit itself may not find out whether it is free.
    let root = judged(&blueprint, |facts| {
        facts.tried.insert(address("0.0.0.0:443"), Listening::Forbidden);
    });
    assert_eq!(root, Findings::default());
}

#[test]
fn an_address_of_another_host_is_refused() {
    let blueprint = blueprint(
        "http://git.example.org:3000",
        json!({"ports": {"http": "192.0.2.1:3000"}}),
    );
    let found = judged(&blueprint, |facts| {
        facts
            .tried
            .insert(address("192.0.2.1:3000"), Listening::NoSuchAddress);
    });
    refused(
        &found,
        "docker.ports.http",
        &["192.0.2.1 is no address of this host"],
    );
}

#[test]
fn the_engine_has_to_be_one_that_gitlab_and_our_files_can_be_used_with() {
    type Change = fn(&mut Facts);
    let cases: [(Change, &str, &[&str]); 6] = [
        (
            |facts| facts.engine.api_version = "1.39".into(),
            "docker.host",
            &["1.39", "19.03"],
        ),
        (
            |facts| {
                facts.engine.architecture = "riscv64".into();
                facts.image = None;
            },
            "docker.image",
            &["riscv64", "amd64 and arm64"],
        ),
        (
            |facts| facts.image = Some("arm64".into()),
            "docker.image",
            &["is for arm64", "--platform linux/amd64"],
        ),
        (
            |facts| facts.engine.userns = true,
            "docker.host",
            &["userns-remap", "daemon.json"],
        ),
        (
            |facts| facts.engine.local = false,
            "docker.host",
            &["on another host", "run AutoGit on that host"],
        ),
        (
            |facts| {
                facts.engine.rootless = true;
                facts.is_root = true;
            },
            "docker.host",
            &["runs as root", "as the user that Docker runs as"],
        ),
    ];
    for (change, field, words) in cases {
        refused(&judged(&plain(), change), field, words);
    }
    for version in ["1.40", "1.41", "2.0"] {
        let found = judged(&plain(), |facts| facts.engine.api_version = version.into());
        assert_eq!(found, Findings::default(), "{version}");
    }
    let arm = judged(&plain(), |facts| {
        facts.engine.architecture = "arm64".into();
        facts.image = Some("arm64".into());
    });
    assert_eq!(arm, Findings::default());
}

#[test]
fn what_happens_to_mounts_and_images_is_told() {
    noted(
        &judged(&plain(), |facts| facts.image = None),
        &["18.8.4", "pulled"],
    );
    noted(
        &judged(&plain(), |facts| facts.engine.selinux = true),
        &["SELinux", "`:Z`"],
    );
}

#[test]
fn the_profile_has_to_fit_the_host() {
    let of = |profile, memory, swap| {
        let blueprint = plain();
        let mut facts = facts(&blueprint);
        facts.engine.memory = memory;
        facts.swap = Some(swap);
        let asked = Asked {
            profile,
            ..asked(&blueprint)
        };
        judge(&asked, &facts)
    };
    let (minimal, homelab, team) = (Profile::Minimal, Profile::Homelab, Profile::Team);
    // What machines of 4, 8 and 16 GiB tell.
    for (profile, told) in [(minimal, 3.8), (homelab, 7.6), (team, 15.4)] {
        let bytes = (told * GIB as f64) as u64;
        assert_eq!(of(profile, bytes, 0), Findings::default(), "{profile:?}");
    }
    for (profile, least) in [(minimal, 2), (homelab, 6), (team, 12)] {
        noted(
            &of(profile, least * GIB, 0),
            &[&format!("{least} GiB"), "no swap"],
        );
        let found = of(profile, least * GIB - 1, 2 * GIB);
        refused(&found, "docker.profile", &["of memory", "give it more"]);
    }
}

#[test]
fn an_instance_that_runs_is_not_refused_for_its_host() {
    let blueprint = plain();
    let mut facts = facts(&blueprint);
    facts.engine.memory = GIB;
    facts
        .filesystems
        .get_mut(Path::new("/var/lib/docker"))
        .unwrap()
        .free = GIB;
    let asked = Asked {
        is_made: false,
        is_new: false,
        ..asked(&blueprint)
    };
    assert_eq!(judge(&asked, &facts), Findings::default());
}

#[test]
fn the_limit_of_memory_has_to_fit_the_profile() {
    let small = blueprint(
        "http://git.example.org:3000",
        json!({"limits": {"memory": "5GiB"}}),
    );
    refused(
        &judged(&small, |_| ()),
        "docker.limits.memory",
        &["5 GiB", "`homelab`", "smaller `profile`"],
    );
    let large = blueprint(
        "http://git.example.org:3000",
        json!({"limits": {"memory": "32GiB"}}),
    );
    noted(&judged(&large, |_| ()), &["it limits nothing"]);
}

fn free(path: &str, free: u64) -> (PathBuf, Filesystem) {
    let filesystem = Filesystem {
        free,
        size: 200 * GIB,
        read_only: false,
    };
    (path.into(), filesystem)
}

#[test]
fn room_is_judged_where_the_data_goes() {
    let volumes = plain();
    let of = |free_bytes| {
        judged(&volumes, |facts| {
            facts.filesystems.extend([free("/var/lib/docker", free_bytes)]);
        })
    };
    refused(
        &of(10 * GIB - 1),
        "docker.volumes",
        &["9.9 GiB are free in /var/lib/docker", "needs 10 GiB"],
    );
    noted(&of(10 * GIB), &["10 GiB are free"]);
    noted(&of(25 * GIB - 1), &["24.9 GiB are free"]);
    assert_eq!(of(25 * GIB), Findings::default());
    let directory = blueprint(
        "http://git.example.org:3000",
        json!({"volumes": {"data": "/srv/data"}}),
    );
    let found = judged(&directory, |facts| {
        facts.filesystems.extend([free("/srv/data", GIB)]);
    });
    refused(&found, "docker.volumes.data", &["1 GiB are free in /srv/data"]);
}

#[test]
fn directories_have_to_be_some_that_can_be_used() {
    let of = |rootless, directory: Directory, read_only| {
        let blueprint = blueprint(
            "http://git.example.org:3000",
            json!({"volumes": {"logs": "/srv/logs"}}),
        );
        judged(&blueprint, |facts| {
            facts.engine.rootless = rootless;
            facts.directories.insert("/srv/logs".into(), directory);
            let (path, filesystem) = free("/srv/logs", 100 * GIB);
            facts.filesystems.insert(
                path,
                Filesystem {
                    read_only,
                    ..filesystem
                },
            );
        })
    };
    let fine = Directory {
        is_there: true,
        is_directory: true,
        is_writable: true,
    };
    let foreign = Directory {
        is_writable: false,
        ..fine
    };
    let missing = Directory {
        is_there: false,
        ..fine
    };
    let out_of_reach = Directory {
        is_there: false,
        ..foreign
    };
    let file = Directory {
        is_directory: false,
        ..fine
    };
    // Root of the container writes in what others own, unless it is not root of the host.
    let fit = [
        (false, fine),
        (true, fine),
        (false, foreign),
        (false, missing),
        (true, missing),
        (false, out_of_reach),
    ];
    for (rootless, directory) in fit {
        assert_eq!(of(rootless, directory, false), Findings::default());
    }
    let field = "docker.volumes.logs";
    refused(
        &of(true, foreign, false),
        field,
        &["cannot be written in", "chown"],
    );
    refused(
        &of(true, out_of_reach, false),
        field,
        &["is not there, and cannot be made", "install -d"],
    );
    refused(&of(false, file, false), field, &["is not a directory"]);
    refused(&of(false, fine, true), field, &["read-only"]);
}

#[test]
fn a_volume_is_a_name_or_an_absolute_path() {
    for source in ["data/gitlab", "./data", "~/data", "a b", "x"] {
        let blueprint = blueprint(
            "http://git.example.org:3000",
            json!({"volumes": {"config": source}}),
        );
        let found = judged(&blueprint, |_| ());
        refused(&found, "docker.volumes.config", &[source, "absolute path"]);
    }
    let named = blueprint(
        "http://git.example.org:3000",
        json!({"volumes": {"config": "git.lab_1-x"}}),
    );
    assert_eq!(judged(&named, |_| ()), Findings::default());
}
