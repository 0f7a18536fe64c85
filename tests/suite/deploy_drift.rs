//! What somebody does to a deployed instance outside AutoGit, on a real Docker Engine: seen, named, and put right.

use std::os::unix::fs::PermissionsExt;

use libtest_mimic::Trial;

use crate::docker::{self, Deployed, RELEASE, Wanted, docker};
use crate::process::Run;

pub fn trials() -> Vec<Trial> {
    docker::on_an_engine(crate::trials![
        what_changes_in_the_container_is_seen_field_by_field,
        limits_change_while_it_runs,
        what_is_done_to_autogits_files_is_seen,
        a_line_of_the_containers_own_file_is_seen_with_its_number,
        a_container_that_stopped_is_started,
        a_container_that_was_removed_comes_back_with_its_data,
        a_container_that_somebody_made_anew_is_taken_over,
        a_network_that_is_gone_is_seen,
        a_tag_that_was_moved_is_seen,
        what_the_config_no_longer_asks_for_goes,
        what_a_config_opens_has_to_be_allowed,
        an_engine_that_cannot_be_read_is_never_nothing,
        deploy_left_the_config,
    ])
}

/// What a user sees, without what differs from run to run.
pub fn shown(deployed: &Deployed, text: &str) -> String {
    let dir = deployed.dir.path().display().to_string();
    let text = text
        .replace(&dir, "DIR")
        .replace(&deployed.name, "NAME")
        .replace(&deployed.port.to_string(), "PORT")
        .replace(&deployed.ssh.to_string(), "SSH")
        .replace(&deployed.wanted().image, "IMAGE");
    let varying =
        regex::Regex::new(r"[0-9]+ requests?, [0-9]+ writes?, [0-9.]+ s|(?-u:\b)[0-9a-f]{12}(?-u:\b)")
            .unwrap();
    varying.replace_all(&text, "…").into_owned()
}

pub fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // What there is to say of the host that happens to run this.
    settings.add_filter(
        r"(?m)^    → (the host has little memory|\S+ GiB are free in|SELinux is on).*\n",
        "",
    );
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The plan, which has changes.
#[track_caller]
fn plan(deployed: &Deployed) -> Run {
    deployed.run(&["plan", "--detailed-exitcode"]).exits(2)
}

fn what_changes_in_the_container_is_seen_field_by_field() {
    let deployed = Deployed::new();
    snapshot("instance_create", &shown(&deployed, &plan(&deployed).stdout));
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    let before = deployed.inspect(".Id");
    let ports = format!(
        "http: '127.0.0.1:{}', ssh: '127.0.0.1:{}'",
        deployed.port, deployed.ssh
    );
    deployed.config(Wanted {
        docker: "profile: minimal, shm_size: 128MiB, limits: {memory: 4GiB, cpus: 1.5, pids: 4000}, restart: always, \
                 ulimits: {nofile: {soft: 1000, hard: 1024}}, labels: {team: forge}",
        ports,
        ..deployed.wanted()
    });
    let plan = plan(&deployed);
    snapshot("instance_recreate", &shown(&deployed, &plan.stdout));
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    assert_ne!(deployed.inspect(".Id"), before);
}

fn limits_change_while_it_runs() {
    let deployed = Deployed::without_config();
    let with = |docker: &str| {
        deployed.config(Wanted {
            docker,
            ..deployed.wanted()
        });
    };
    with("profile: minimal, limits: {memory: 4GiB, cpus: 1}");
    deployed.run(&["apply", "--yes"]).exits(0);
    let before = deployed.inspect(".Id");
    docker(&[
        "update",
        "--memory",
        "3g",
        "--memory-swap",
        "6g",
        "--cpus",
        "2",
        "--restart",
        "no",
        &deployed.name,
    ]);
    let drift = plan(&deployed);
    snapshot("instance_drift", &shown(&deployed, &drift.stdout));
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    assert_eq!(deployed.inspect(".HostConfig.Memory"), (4_u64 << 30).to_string());
    assert_eq!(deployed.inspect(".Id"), before, "it is the same container");
}

fn what_is_done_to_autogits_files_is_seen() {
    let mut deployed = Deployed::without_config();
    deployed
        .environment
        .insert("PASSWORD".into(), "canary-3141".into());
    deployed.config(Wanted {
        deploy: "admin: {password: {env: PASSWORD}}",
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    let file = deployed.place("etc/gitlab.rb");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = format!(
        "{}nginx['worker_processes'] = 7\ngitlab_rails['db_password'] = 'canary-2718'\n",
        text.replace("external_url '", "external_url 'http://elsewhere' # '")
    );
    std::fs::write(&file, changed).unwrap();
    plan(&deployed)
        .changes("settings.external_url", "http://elsewhere →")
        .changes("settings.nginx['worker_processes']", "7 → (none)")
        .changes("settings.gitlab_rails['db_password']", "\"(secret)\" → (none)")
        .shows("changed outside AutoGit")
        .hides("canary");
    deployed.run(&["apply", "--yes"]).exits(0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    deployed.expect_converged();

    let secret = deployed.place("etc/secrets/root_password");
    std::fs::write(&secret, "canary-1618").unwrap();
    plan(&deployed)
        .changes("secrets/root_password", "(secret)")
        .shows("changed outside AutoGit")
        .hides("canary");
    std::fs::remove_file(&secret).unwrap();
    plan(&deployed)
        .changes("secrets/root_password", "(secret)")
        .shows("changed outside AutoGit");
    deployed.run(&["apply", "--yes"]).exits(0);
    let mode = std::fs::metadata(&secret).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    deployed.expect_converged();
}

fn a_line_of_the_containers_own_file_is_seen_with_its_number() {
    let deployed = Deployed::up("");
    let add = "printf '%s\\n' \"external_url 'http://elsewhere'\" \"gitlab_rails['time_zone'] = 'UTC'\" \
               \"gitlab_rails['db_password'] = 'canary-2718'\" >> /etc/gitlab/gitlab.rb; wc -l < /etc/gitlab/gitlab.rb";
    let lines: usize = deployed.exec(&["sh", "-c", add]).parse().unwrap();
    let named = format!(
        "line {} of the container's /etc/gitlab/gitlab.rb sets external_url",
        lines - 2
    );
    plan(&deployed)
        .changes("settings.external_url", "http://elsewhere →")
        .shows(&named)
        .hides("time_zone")
        .hides("canary");
    // Seen in a container that is stopped as well.
    docker(&["stop", &deployed.name]);
    plan(&deployed).shows(&named).shows("running");
}

fn a_container_that_stopped_is_started() {
    let deployed = Deployed::up("");
    let before = deployed.inspect(".Id");
    docker(&["stop", &deployed.name]);
    plan(&deployed)
        .changes("running", "false → true")
        .shows("starts the container")
        .shows("the instance does not answer");
    deployed.run(&["apply", "--yes"]).exits(0);
    assert_eq!(deployed.inspect(".Id"), before);
    deployed.expect_converged();
}

const CONTENTS: &str = "groups: {team: {}}\n";

fn a_container_that_was_removed_comes_back_with_its_data() {
    let deployed = Deployed::up(CONTENTS);
    docker(&["rm", "-f", &deployed.name]);
    plan(&deployed).shows(&format!(
        "+ instance.{} [was removed outside AutoGit]",
        deployed.name
    ));
    deployed.run(&["apply", "--yes"]).exits(0);
    assert!(deployed.admin().has("groups/team"));
    deployed.expect_converged();
}

fn a_container_that_somebody_made_anew_is_taken_over() {
    let deployed = Deployed::up(CONTENTS);
    docker(&["rm", "-f", &deployed.name]);
    let (name, port) = (&deployed.name, deployed.port);
    let (data, config) = (
        format!("{name}-data:/var/opt/gitlab"),
        format!("{name}-config:/etc/gitlab"),
    );
    let (http, image) = (format!("127.0.0.1:{port}:80"), deployed.wanted().image);
    docker(&[
        "run",
        "-d",
        "--name",
        name,
        "--network",
        name,
        "-v",
        &data,
        "-v",
        &config,
        "-p",
        &http,
        &image,
    ]);
    plan(&deployed)
        .shows(&format!(
            "~ (adopt) instance.{name} [another one stands where the managed one was]"
        ))
        .shows("mounts./etc/autogit")
        .shows("makes a new container");
    deployed.run(&["apply", "--yes"]).exits(0);
    assert!(deployed.admin().has("groups/team"));
    deployed.expect_converged();
    // It was taken over once, so it is never AutoGit's to remove.
    deployed.run(&["ledger", "list"]).exits(0).shows("adopted");
}

fn a_network_that_is_gone_is_seen() {
    let deployed = Deployed::up("");
    docker(&["stop", &deployed.name]);
    docker(&["network", "rm", &deployed.name]);
    plan(&deployed).changes("network", &format!("(none) → {}", deployed.name));
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
}

fn a_tag_that_was_moved_is_seen() {
    let deployed = Deployed::without_config();
    let image = format!("{}:{RELEASE}", deployed.name);
    docker(&["tag", &deployed.wanted().image, &image]);
    deployed.config(Wanted {
        image: image.clone(),
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    // The same files as another image.
    let made = docker(&["commit", &deployed.name, &image]);
    plan(&deployed).changes("image", &format!(" → {image}"));
    docker(&["rm", "-f", &deployed.name]);
    docker(&["image", "rm", &image]);
    assert!(made.starts_with("sha256:"));
}

fn what_the_config_no_longer_asks_for_goes() {
    let mut deployed = Deployed::without_config();
    deployed
        .environment
        .insert("PASSWORD".into(), "canary-3141".into());
    deployed.config(Wanted {
        docker: "profile: minimal, labels: {team: forge}, limits: {memory: 4GiB}",
        deploy: "omnibus: {\"gitlab_rails['time_zone']\": Europe/Berlin}, admin: {password: {env: PASSWORD}}",
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.config(deployed.wanted());
    plan(&deployed)
        .changes("labels.team", "forge → (none)")
        .changes("memory", "4GiB → (none)")
        .changes("settings.gitlab_rails['time_zone']", "Europe/Berlin → (none)")
        .changes("secrets/root_password", "\"(secret)\" → (none)")
        .hides("canary");
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    assert!(!deployed.place("etc/secrets/root_password").exists());
    assert_eq!(deployed.inspect(".HostConfig.Memory"), "0");
}

fn what_a_config_opens_has_to_be_allowed() {
    let deployed = Deployed::up("");
    deployed.config(Wanted {
        ports: format!(
            "http: '0.0.0.0:{}', ssh: '127.0.0.1:{}'",
            deployed.port, deployed.ssh
        ),
        ..deployed.wanted()
    });
    plan(&deployed).shows("! exposes");
    let before = deployed.inspect(".Id");
    deployed.run(&["apply", "--yes"]).exits(3).says("--allow expose");
    assert_eq!(deployed.inspect(".Id"), before);
    let elsewhere = format!("profile: minimal, volumes: {{data: {}-elsewhere}}", deployed.name);
    deployed.config(Wanted {
        docker: &elsewhere,
        ..deployed.wanted()
    });
    let refused = deployed.run(&["plan"]).exits(1);
    refused.says("would stay behind there").says("volumes: {config: ");
    deployed.run(&["apply", "--yes"]).exits(1);
    assert_eq!(deployed.inspect(".Id"), before);
}

fn an_engine_that_cannot_be_read_is_never_nothing() {
    let mut deployed = Deployed::up("");
    let socket = deployed.dir.path().join("none.sock");
    deployed
        .environment
        .insert("DOCKER_HOST".into(), format!("unix://{}", socket.display()));
    deployed
        .run(&["plan"])
        .exits(1)
        .says("failed to reach the Docker Engine")
        .says("gitlab.deploy.docker.host");
}

fn deploy_left_the_config() {
    let deployed = Deployed::up(CONTENTS);
    let config = format!(
        "autogit: 1\ngitlab: {{url: 'http://127.0.0.1:{}'}}\n",
        deployed.port
    );
    deployed.write("autogit.yaml", &config);
    let plan = deployed.run(&["plan", "--detailed-exitcode"]).exits(2);
    snapshot("instance_removed", &shown(&deployed, &plan.stdout));
    deployed.run(&["apply", "--yes"]).exits(3).says("held back");
    assert!(deployed.is_there(), "nobody allowed it");
    deployed.run(&["apply", "--yes", "--allow", "lock-out"]).exits(0);
    assert!(!deployed.is_there());
    let kept = docker(&[
        "volume",
        "ls",
        "-q",
        "--filter",
        &format!("name={}", deployed.name),
    ]);
    assert_eq!(kept.lines().count(), 3, "{kept}");
    assert!(deployed.place("token").exists());
    // Deployed again, it is what it was.
    deployed.config(Wanted {
        rest: CONTENTS,
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    assert!(deployed.admin().has("groups/team"));
    deployed.expect_converged();
}
