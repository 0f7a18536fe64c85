//! What is planned for a container as Docker describes it.

use bollard::models::{ContainerInspectResponse, ImageInspect, NetworkInspect};
use secrecy::SecretString;
use serde_json::json;

use super::super::omnibus;
use super::super::place::Place;
use super::super::rules::{Way, way};
use super::super::sight::{Kept, Sight};
use super::*;

/// Recorded from Docker 20.10.24, shortened: a container that AutoGit made.
fn inspected() -> Value {
    json!({
        "Id": "c7ebcba560b0",
        "Image": "sha256:da10adea8317",
        "State": {"Status": "running", "Running": true, "Paused": false},
        "Config": {
            "Hostname": "git.example.org",
            "Env": ["GITLAB_OMNIBUS_CONFIG=from_file('/etc/autogit/gitlab.rb')", "LANG=C.UTF-8"],
            "Healthcheck": {"Test": ["CMD", "/opt/gitlab/embedded/bin/curl", "--fail", "--silent", "--show-error",
                "--insecure", "--max-time", "10", "http://127.0.0.1:80/-/readiness"]},
            "Image": IMAGE,
            "Labels": {"io.autogit.instance": "7d2e", "org.opencontainers.image.version": "18.8.4"},
        },
        "HostConfig": {
            "PortBindings": {
                "22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "2222"}],
                "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "3000"}],
            },
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            "Memory": 0, "NanoCpus": 0, "PidsLimit": null, "ShmSize": 268435456, "Ulimits": [],
        },
        "Mounts": [
            {"Type": "bind", "Source": "/srv/.autogit/deploy/gitlab/etc", "Destination": "/etc/autogit"},
            {"Type": "volume", "Name": "gitlab-config", "Source": "/docker/1", "Destination": "/etc/gitlab"},
            {"Type": "volume", "Name": "gitlab-logs", "Source": "/docker/2", "Destination": "/var/log/gitlab"},
            {"Type": "volume", "Name": "gitlab-data", "Source": "/docker/3", "Destination": "/var/opt/gitlab"},
        ],
        "NetworkSettings": {"Networks": {"gitlab": {"NetworkID": "080abbe5"}}},
    })
}

const IMAGE: &str = "gitlab/gitlab-ce:18.8.4-ce.0";

/// Someone else's: from `docker run`, with settings in its own `gitlab.rb` alone.
fn foreign() -> Value {
    let mut inspected = inspected();
    inspected["Config"]["Labels"] = json!({"com.docker.compose.project": "forge"});
    inspected["Config"]["Env"] = json!(["LANG=C.UTF-8", "TZ=Europe/Berlin"]);
    inspected["Config"]["Healthcheck"] = Value::Null;
    inspected["Config"]["Hostname"] = json!("c7ebcba560b0");
    inspected["HostConfig"]["Memory"] = json!(8_u64 << 30);
    inspected["HostConfig"]["ShmSize"] = json!(64 << 20);
    inspected["NetworkSettings"]["Networks"] = json!({"forge_default": {"NetworkID": "1"}});
    inspected["Mounts"].as_array_mut().unwrap().remove(0);
    inspected
}

/// What there is, and what is declared.
struct Case {
    spec: Value,
    inspected: Value,
    /// AutoGit's own file; `None`: as declared.
    file: Option<String>,
    gitlab_rb: String,
    secrets: BTreeMap<String, SecretString>,
    change: fn(&mut Sight),
    ledger: BTreeMap<Address, Entry>,
}

impl Default for Case {
    fn default() -> Self {
        Case {
            spec: json!({"docker": {"image": IMAGE}}),
            inspected: inspected(),
            file: None,
            gitlab_rb: String::new(),
            secrets: BTreeMap::new(),
            change: |_| (),
            ledger: BTreeMap::new(),
        }
    }
}

fn fingerprint(_: &Address, field: &str, value: &Value) -> String {
    format!("{field}={value}")
}

impl Case {
    fn spec(&self) -> Deploy {
        serde_json::from_value(self.spec.clone()).unwrap()
    }

    fn blueprint(&self) -> Blueprint {
        let place = Place::new("/srv/.autogit".as_ref(), "gitlab");
        Blueprint::new(
            &self.spec(),
            &"http://git.example.org:3000".parse().unwrap(),
            &place,
        )
    }

    fn live(&self) -> Live {
        let blueprint = self.blueprint();
        let inspected: ContainerInspectResponse = serde_json::from_value(self.inspected.clone()).unwrap();
        let image: ImageInspect = serde_json::from_value(json!({
            "Id": "sha256:da10adea8317",
            "RepoDigests": ["gitlab/gitlab-ce@sha256:0123"],
            "Config": {"Env": ["LANG=C.UTF-8"], "Labels": {"org.opencontainers.image.version": "18.8.4"}},
        }))
        .unwrap();
        let network: NetworkInspect = serde_json::from_value(json!({"Id": "080abbe5"})).unwrap();
        let file = self
            .file
            .clone()
            .unwrap_or_else(|| omnibus::render(&blueprint.settings));
        let reads_file = inspected
            .config
            .as_ref()
            .unwrap()
            .env
            .iter()
            .flatten()
            .any(|line| line.contains("from_file"));
        let mut sight = Sight {
            image: Some(image.clone()),
            made_from: Some(image),
            network: Some(network),
            included: reads_file.then_some(file),
            gitlab_rb: Some(self.gitlab_rb.clone()),
            kept: Kept {
                id: Some("7d2e".into()),
                secrets: self.secrets.clone(),
                is_applied: true,
                token_lacks: None,
            },
            ..Sight::new(inspected)
        };
        (self.change)(&mut sight);
        Live::Present(sight.present(&blueprint))
    }

    fn plan(&self) -> Plan {
        let known = Known {
            ledger: &self.ledger,
            fingerprint: &fingerprint,
            resolves: true,
        };
        let blueprint = self.blueprint();
        let print = |name: &String| {
            let field = secret_field(name);
            let print = fingerprint(&address(&self.spec()), &field, &"s3cret".into());
            (field, Some(print))
        };
        let secrets = blueprint.secrets.keys().map(print).collect();
        planned(&self.spec(), &blueprint, &self.live(), secrets, &known)
    }

    /// The ledger after everything was applied as declared.
    fn applied(mut self, origin: Ownership) -> Self {
        let address = address(&self.spec());
        let mut fingerprints = BTreeMap::new();
        for (field, value) in self.blueprint().fields() {
            let print = fingerprint(&address, &field, &value);
            fingerprints.insert(field, print);
        }
        let id = match self.live() {
            Live::Present(present) => present.id,
            _ => unreachable!(),
        };
        let entry = Entry {
            id,
            origin,
            fingerprints,
            guards: None,
        };
        self.ledger.insert(address, entry);
        self
    }

    /// The changes of the only step, as `field: before → after`.
    fn changes(&self) -> Vec<String> {
        let plan = self.plan();
        assert_eq!(plan.problems, [], "nothing stands in the way");
        let steps = plan.steps.iter();
        let changes = steps.flat_map(|step| &step.changes);
        let side = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        changes
            .map(|change| {
                format!(
                    "{}: {} → {}",
                    change.field,
                    side(&change.before),
                    side(&change.after)
                )
            })
            .collect()
    }
}

#[test]
fn what_is_as_declared_is_no_change() {
    let case = Case::default().applied(Ownership::Created);
    assert_eq!(case.changes(), Vec::<String>::new());
    assert_eq!(case.plan().unchanged, 1);
}

/// A change made to the container or its files, and what is to be seen of it.
type Drift = (fn(&mut Sight), &'static str, Way);

#[test]
fn every_drift_is_seen_by_its_field() {
    let drifts: [Drift; 16] = [
        (
            |sight| sight.is_running = false,
            "running: false → true",
            Way::Start,
        ),
        (
            |sight| sight.image_id = "sha256:feedfeedfeedfeed".into(),
            r#"image: "gitlab/gitlab-ce:18.8.4-ce.0 as feedfeedfeed" → "gitlab/gitlab-ce:18.8.4-ce.0""#,
            Way::Recreate,
        ),
        (
            |sight| {
                sight
                    .config
                    .env
                    .as_mut()
                    .unwrap()
                    .push("GITLAB_PASSWORD=hunter2".into())
            },
            r#"environment.GITLAB_PASSWORD: "(secret)" → null"#,
            Way::Recreate,
        ),
        (
            |sight| sight.config.env.as_mut().unwrap()[0] = "GITLAB_OMNIBUS_CONFIG=external_url 'x'".into(),
            r#"environment.GITLAB_OMNIBUS_CONFIG: "(settings)" → "from_file('/etc/autogit/gitlab.rb')""#,
            Way::Recreate,
        ),
        (
            |sight| sight.host.port_bindings.as_mut().unwrap().clear(),
            r#"ports.22/tcp: - → "0.0.0.0:2222""#,
            Way::Recreate,
        ),
        (
            |sight| sight.mounts[2].name = Some("elsewhere".into()),
            r#"mounts./var/log/gitlab: "elsewhere" → "gitlab-logs""#,
            Way::Recreate,
        ),
        (
            |sight| sight.network = None,
            r#"network: null → "gitlab""#,
            Way::Recreate,
        ),
        (
            |sight| sight.network.as_mut().unwrap().id = Some("made anew".into()),
            r#"network: null → "gitlab""#,
            Way::Recreate,
        ),
        (
            |sight| sight.config.hostname = Some("x".into()),
            r#"hostname: "x" → "git.example.org""#,
            Way::Recreate,
        ),
        (
            |sight| sight.host.memory = Some(4 << 30),
            r#"memory: "4GiB" → null"#,
            Way::Recreate,
        ),
        (
            |sight| sight.host.nano_cpus = Some(1_500_000_000),
            "cpus: 1.5 → null",
            Way::Recreate,
        ),
        (
            |sight| sight.host.shm_size = Some(64 << 20),
            r#"shm_size: "64MiB" → "256MiB""#,
            Way::Recreate,
        ),
        (
            |sight| sight.config.healthcheck = None,
            "healthcheck: null → \"/opt/gitlab/embedded/bin/curl --fail --silent --show-error --insecure --max-time 10 \
             http://127.0.0.1:80/-/readiness\"",
            Way::Recreate,
        ),
        (
            |sight| sight.kept.is_applied = false,
            "reconfigured: false → true",
            Way::Reconfigure,
        ),
        (
            |sight| sight.kept.token_lacks = Some("it expires on 2027-01-02".into()),
            r#"token: "it expires on 2027-01-02" → "valid""#,
            Way::Aside,
        ),
        (
            |sight| sight.replaced = Some("gitlab-previous".into()),
            r#"previous: "gitlab-previous" → null"#,
            Way::Aside,
        ),
    ];
    for (change, expected, takes) in drifts {
        let case = Case {
            change,
            ..Case::default().applied(Ownership::Created)
        };
        let plan = case.plan();
        let changes = case.changes();
        assert!(changes.contains(&expected.to_owned()), "{changes:?}");
        assert_eq!(plan.steps[0].reason, Reason::Drift, "{expected}");
        assert_eq!(
            plan.steps[0].changes.iter().map(way).max(),
            Some(takes),
            "{expected}"
        );
    }
}

#[test]
fn ulimits_and_the_restart_policy_are_compared() {
    let mut case = Case::default().applied(Ownership::Created);
    case.inspected["HostConfig"]["Ulimits"] = json!([{"Name": "nofile", "Soft": 1, "Hard": 2}]);
    case.inspected["HostConfig"]["RestartPolicy"]["Name"] = json!("no");
    assert_eq!(
        case.changes(),
        [
            r#"restart: "no" → "unless-stopped""#,
            r#"ulimits.nofile: {"hard":2,"soft":1} → null"#
        ]
    );
}

#[test]
fn a_pinned_digest_is_compared_with_the_images_own() {
    let mut case = Case {
        change: |sight| sight.image = None,
        ..Case::default()
    };
    case.spec["docker"]["image"] = json!("docker.io/gitlab/gitlab-ce:18.8.4-ce.0@sha256:0123");
    let case = case.applied(Ownership::Created);
    assert_eq!(case.changes(), Vec::<String>::new());
    let mut case = case;
    case.spec["docker"]["image"] = json!("gitlab/gitlab-ce@sha256:4567");
    assert_eq!(case.changes().len(), 1);
}

#[test]
fn what_autogits_own_file_sets_beside_goes() {
    let mut case = Case::default().applied(Ownership::Created);
    let rendered = omnibus::render(&case.blueprint().settings);
    case.file = Some(rendered + "nginx['worker_processes'] = 5\ngitlab_rails['smtp_password'] = 'hunter2'\n");
    case.secrets.insert("smtp_password".into(), "hunter2".into());
    let changes = case.changes();
    assert_eq!(
        changes,
        [
            r#"secrets/smtp_password: "(secret)" → null"#,
            r#"settings.gitlab_rails['smtp_password']: "(secret)" → null"#,
            "settings.nginx['worker_processes']: 5 → null",
        ]
    );
}

#[test]
fn a_line_of_the_containers_own_file_is_named_where_it_overrides() {
    let mut case = Case::default().applied(Ownership::Created);
    case.gitlab_rb = "# a comment\nexternal_url 'http://old'\ngitlab_rails['time_zone'] = 'UTC'\n".into();
    let plan = case.plan();
    assert_eq!(
        case.changes(),
        [r#"settings.external_url: "http://old" → "http://git.example.org:3000""#]
    );
    assert!(
        plan.steps[0].notes.iter().any(|note| note.starts_with("line 2 of the container's /etc/gitlab/gitlab.rb sets external_url")),
        "{:?}",
        plan.steps[0].notes
    );
}

#[test]
fn a_secret_is_compared_with_its_file() {
    let spec = json!({"docker": {"image": IMAGE}, "admin": {"password": {"env": "X"}}});
    let mut case = Case {
        spec,
        secrets: BTreeMap::from([("root_password".to_owned(), "s3cret".into())]),
        ..Case::default()
    };
    let secrets = BTreeMap::from([(
        "secrets/root_password".to_owned(),
        "secrets/root_password=\"s3cret\"".to_owned(),
    )]);
    case = case.applied(Ownership::Created);
    for entry in case.ledger.values_mut() {
        entry.fingerprints.extend(secrets.clone());
    }
    assert_eq!(case.changes(), Vec::<String>::new());
    for there in [None, Some(SecretString::from("changed"))] {
        case.secrets = there
            .into_iter()
            .map(|secret| ("root_password".to_owned(), secret))
            .collect();
        let plan = case.plan();
        assert_eq!(plan.steps[0].reason, Reason::Drift);
        assert_eq!(
            plan.steps[0].changes,
            [Change {
                cause: crate::core::Cause::Drift,
                ..Change::secret("secrets/root_password")
            }]
        );
    }
}

#[test]
fn what_a_killed_run_made_is_autogits() {
    let case = Case {
        change: |sight| sight.kept.token_lacks = Some("there is none yet".into()),
        ..Case::default()
    };
    let plan = case.plan();
    let step = &plan.steps[0];
    assert_eq!(
        (step.action, &step.reason, step.origin),
        (Action::Update, &Reason::LeftoverGuard, Ownership::Created)
    );
}

#[test]
fn another_container_in_the_place_of_ours_is_taken_over() {
    let mut case = Case::default().applied(Ownership::Created);
    case.inspected["Config"]["Labels"] = json!({});
    let plan = case.plan();
    let step = &plan.steps[0];
    assert_eq!((step.action, &step.reason), (Action::Adopt, &Reason::Replaced));
    assert_eq!(step.origin, Ownership::Adopted);
}

/// The settings that are asked for, as somebody wrote them into the container's own file.
fn own_file(case: &Case) -> String {
    omnibus::render(&case.blueprint().settings)
}

#[test]
fn what_somebody_else_made_is_taken_over_as_it_is() {
    let mut case = Case {
        inspected: foreign(),
        ..Case::default()
    };
    case.gitlab_rb = own_file(&case);
    let plan = case.plan();
    assert_eq!(plan.problems, []);
    assert!(plan.steps[0].takes_over_only(), "{:?}", plan.steps[0].changes);
    assert_eq!(plan.steps[0].origin, Ownership::Adopted);
    let case = case.applied(Ownership::Adopted);
    assert_eq!(case.plan().steps, [], "a second plan has nothing to do");
}

#[test]
fn a_setting_that_differs_takes_a_new_container_which_is_told_in_full() {
    let mut case = Case {
        inspected: foreign(),
        ..Case::default()
    };
    case.gitlab_rb = own_file(&case).replace(
        "external_url 'http://git.example.org:3000'",
        "external_url 'http://old'",
    );
    let plan = case.plan();
    let changes = case.changes();
    for expected in [
        r#"environment.GITLAB_OMNIBUS_CONFIG: - → "from_file('/etc/autogit/gitlab.rb')""#,
        r#"environment.TZ: "Europe/Berlin" → null"#,
        r#"labels.com.docker.compose.project: "forge" → null"#,
        r#"memory: "8GiB" → null"#,
        r#"mounts./etc/autogit: - → "/srv/.autogit/deploy/gitlab/etc""#,
        r#"network: "forge_default" → "gitlab""#,
        r#"settings.external_url: "http://old" → "http://git.example.org:3000""#,
    ] {
        assert!(
            changes.contains(&expected.to_owned()),
            "{expected} in {changes:#?}"
        );
    }
    assert!(
        plan.steps[0].notes[0].starts_with("makes a new container"),
        "{:?}",
        plan.steps[0].notes
    );
}

#[test]
fn what_is_declared_of_somebody_elses_container_is_compared() {
    let mut case = Case {
        inspected: foreign(),
        ..Case::default()
    };
    case.spec = json!({"docker": {"image": IMAGE, "limits": {"memory": "4GiB"}, "restart": "always"}});
    case.gitlab_rb = own_file(&case);
    assert_eq!(
        case.changes(),
        [
            r#"memory: "8GiB" → "4GiB""#,
            r#"restart: "unless-stopped" → "always""#
        ]
    );
    assert!(case.plan().steps[0].notes[0].contains("without a break"));
}

#[test]
fn data_that_would_be_left_behind_is_an_error_with_the_line_to_write() {
    let mut case = Case {
        inspected: foreign(),
        ..Case::default()
    };
    case.inspected["Mounts"] = json!([
        {"Type": "bind", "Source": "/srv/gitlab/config", "Destination": "/etc/gitlab"},
        {"Type": "volume", "Name": "3f5a", "Source": "/docker/2", "Destination": "/var/opt/gitlab"},
    ]);
    case.gitlab_rb = own_file(&case);
    let plan = case.plan();
    assert_eq!(plan.problems.len(), 1);
    assert_eq!(plan.problems[0].field.as_deref(), Some("docker.volumes"));
    assert!(
        plan.problems[0]
            .message
            .contains("write `volumes: {config: /srv/gitlab/config, data: 3f5a}`"),
        "{}",
        plan.problems[0].message
    );
    case.spec["docker"]["volumes"] = json!({"config": "/srv/gitlab/config", "data": "3f5a"});
    assert_eq!(case.plan().problems, []);
    case.spec["docker"]["volumes"]["data"] = json!("gitlab-data");
    assert_eq!(
        case.plan().problems[0].field.as_deref(),
        Some("docker.volumes.data")
    );
}

#[test]
fn data_within_the_container_is_told() {
    let mut case = Case {
        inspected: foreign(),
        ..Case::default()
    };
    case.inspected["Mounts"].as_array_mut().unwrap().pop();
    let problem = &case.plan().problems[0].message;
    assert!(
        problem.contains("docker cp -a gitlab:/var/opt/gitlab/."),
        "{problem}"
    );
}

#[test]
fn a_mount_within_the_data_is_told_where_it_would_be_lost() {
    let mut case = Case {
        inspected: foreign(),
        ..Case::default()
    };
    case.gitlab_rb = own_file(&case);
    let inner = json!({"Type": "bind", "Source": "/srv/ssl", "Destination": "/etc/gitlab/ssl"});
    case.inspected["Mounts"].as_array_mut().unwrap().push(inner);
    assert_eq!(case.plan().problems, [], "as long as the container stays");
    case.gitlab_rb = "external_url 'http://old'\n".into();
    assert!(case.plan().problems[0].message.contains("/etc/gitlab/ssl"));
}

#[test]
fn another_name_is_another_instance() {
    let mut case = Case::default().applied(Ownership::Created);
    case.spec["docker"]["name"] = json!("forge");
    let problem = &case.plan().problems;
    assert!(
        problem
            .iter()
            .any(|problem| problem.field.as_deref() == Some("docker.name")
                && problem.message.contains("write `name: gitlab`")),
        "{problem:?}"
    );
}

#[test]
fn what_is_made_is_shown_without_what_says_nothing() {
    let case = Case::default();
    let known = Known {
        ledger: &BTreeMap::new(),
        fingerprint: &fingerprint,
        resolves: true,
    };
    let plan = planned(
        &case.spec(),
        &case.blueprint(),
        &Live::Absent,
        Secrets::new(),
        &known,
    );
    let fields: Vec<_> = plan.steps[0]
        .changes
        .iter()
        .map(|change| change.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "hostname", "image", "mounts", "network", "ports", "restart", "settings", "shm_size"
        ]
    );
}
