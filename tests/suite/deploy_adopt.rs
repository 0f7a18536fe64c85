//! A GitLab that runs in a container already, taken over as it is, on a real Docker Engine.

use libtest_mimic::Trial;

use crate::deploy_drift::{shown, snapshot};
use crate::docker::{self, Deployed, Wanted, docker};
use crate::support::eventually;

pub fn trials() -> Vec<Trial> {
    docker::on_an_engine(crate::trials![
        what_runs_as_declared_is_taken_over_and_stays,
        what_differs_is_told_with_what_it_costs,
        data_in_a_directory_has_to_be_named,
        data_in_a_volume_without_a_name_has_to_be_named,
        what_was_taken_over_is_let_go,
    ])
}

/// Somebody's own container, as `docker compose` makes them: settings in the environment, a network and labels of its own.
fn run(deployed: &Deployed, omnibus: &str, mounts: &[&str]) {
    let name = &deployed.name;
    docker(&["network", "create", &format!("{name}-default")]);
    let (http, ssh) = (
        format!("127.0.0.1:{}:80", deployed.port),
        format!("127.0.0.1:{}:22", deployed.ssh),
    );
    let environment = format!("GITLAB_OMNIBUS_CONFIG={omnibus}");
    let network = format!("{name}-default");
    let image = deployed.wanted().image;
    let mut command = vec![
        "run",
        "-d",
        "--name",
        name,
        "--network",
        &network,
        "-p",
        &http,
        "-p",
        &ssh,
    ];
    command.extend([
        "--label",
        "com.docker.compose.project=forge",
        "-e",
        "TZ=Europe/Berlin",
        "-e",
        &environment,
    ]);
    for mount in mounts {
        command.extend(["-v", mount]);
    }
    command.push(&image);
    docker(&command);
    eventually("it is ready", || {
        let ready = [
            "exec",
            name,
            "/opt/gitlab/embedded/bin/curl",
            "-fs",
            "http://127.0.0.1:80/-/readiness",
        ];
        let ready = std::process::Command::new("docker").args(ready).output().unwrap();
        ready.status.success().then_some(())
    });
}

/// Volumes by the names that AutoGit would give them.
fn volumes(deployed: &Deployed) -> Vec<String> {
    let name = &deployed.name;
    let of = |what: &str, path: &str| format!("{name}-{what}:{path}");
    vec![
        of("config", "/etc/gitlab"),
        of("logs", "/var/log/gitlab"),
        of("data", "/var/opt/gitlab"),
    ]
}

/// All that AutoGit would tell GitLab, on lines of its own: as somebody has it who comes from AutoGit, or copied what its docs say.
fn as_declared(deployed: &Deployed) -> String {
    let plan = deployed.run(&["plan", "--format", "json"]).exits(0).json();
    let steps = plan["steps"].as_array().unwrap();
    let changes = steps[0]["changes"].as_array().unwrap();
    let settings = changes
        .iter()
        .find(|change| change["field"] == "settings")
        .unwrap();
    let lines = settings["after"].as_object().unwrap().iter().map(|(key, value)| {
        let joint = if key.contains('[') { " = " } else { " " };
        format!("{key}{joint}{}", ruby(value))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn ruby(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "nil".into(),
        serde_json::Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("'{key}' => {}", ruby(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(ruby).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn what_runs_as_declared_is_taken_over_and_stays() {
    let deployed = Deployed::new();
    let omnibus = as_declared(&deployed);
    let volumes = volumes(&deployed);
    run(
        &deployed,
        &omnibus,
        &volumes.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let before = (deployed.inspect(".Id"), deployed.inspect(".State.StartedAt"));
    let plan = deployed.run(&["plan"]).exits(0);
    snapshot("instance_adopt", &shown(&deployed, &plan.stdout));
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    let after = (deployed.inspect(".Id"), deployed.inspect(".State.StartedAt"));
    assert_eq!(before, after, "it was neither restarted nor made anew");
    assert!(!deployed.token().is_empty());
}

fn what_differs_is_told_with_what_it_costs() {
    let deployed = Deployed::new();
    let volumes = volumes(&deployed);
    let omnibus = format!(
        "external_url 'http://127.0.0.1:{}'\nnginx['listen_port'] = 80\ngitlab_rails['time_zone'] = 'UTC'\n\
         gitlab_rails['smtp_password'] = 'canary-2718'",
        deployed.port
    );
    run(
        &deployed,
        &omnibus,
        &volumes.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let before = deployed.inspect(".Id");
    deployed
        .run(&["plan"])
        .exits(0)
        .changes("environment.GITLAB_OMNIBUS_CONFIG", "\"(settings)\" → ")
        .changes("environment.TZ", "Europe/Berlin → (none)")
        .changes("settings.gitlab_rails['time_zone']", "UTC → (none)")
        .changes("settings.gitlab_rails['smtp_password']", "\"(secret)\" → (none)")
        .changes("network", &format!("{0}-default → {0}", deployed.name))
        .shows("makes a new container")
        .hides("canary");
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    assert_ne!(deployed.inspect(".Id"), before);
    let environment = deployed.inspect(".Config.Env");
    assert!(!environment.contains("canary"), "{environment}");
}

fn data_in_a_directory_has_to_be_named() {
    let deployed = Deployed::new();
    let folder = |name: &str| deployed.dir.path().join(name).display().to_string();
    let (config, data) = (folder("config"), folder("data"));
    let mounts = [format!("{config}:/etc/gitlab"), format!("{data}:/var/opt/gitlab")];
    run(
        &deployed,
        "external_url 'http://localhost'",
        &mounts.each_ref().map(String::as_str),
    );
    let line = format!("volumes: {{config: {config}, logs: ");
    let before = deployed.inspect(".Id");
    deployed
        .run(&["plan"])
        .exits(1)
        .says(&line)
        .says(&format!("data: {data}"));
    deployed.run(&["apply", "--yes"]).exits(1);
    assert_eq!(deployed.inspect(".Id"), before);
    let docker = format!("profile: minimal, volumes: {{config: {config}, data: {data}}}");
    deployed.config(Wanted {
        docker: &docker,
        ..deployed.wanted()
    });
    deployed.run(&["apply", "--yes"]).exits(0);
    deployed.expect_converged();
    assert!(deployed.inspect(".HostConfig.Binds").contains(&data));
}

fn data_in_a_volume_without_a_name_has_to_be_named() {
    let deployed = Deployed::new();
    run(
        &deployed,
        "external_url 'http://localhost'",
        &["/etc/gitlab", "/var/opt/gitlab"],
    );
    let volume = docker(&[
        "inspect",
        "--format",
        "{{range .Mounts}}{{if eq .Destination \"/var/opt/gitlab\"}}{{.Name}}{{end}}{{end}}",
        &deployed.name,
    ]);
    assert_eq!(volume.len(), 64, "{volume}");
    deployed.run(&["plan"]).exits(1).says(&format!("data: {volume}"));
}

fn what_was_taken_over_is_let_go() {
    let deployed = Deployed::new();
    let omnibus = as_declared(&deployed);
    let volumes = volumes(&deployed);
    run(
        &deployed,
        &omnibus,
        &volumes.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    deployed.run(&["apply", "--yes"]).exits(0);
    let config = format!(
        "autogit: 1\ngitlab: {{url: 'http://127.0.0.1:{}'}}\n",
        deployed.port
    );
    deployed.write("autogit.yaml", &config);
    let plan = deployed.run(&["plan"]).exits(0);
    snapshot("instance_released", &shown(&deployed, &plan.stdout));
    deployed.run(&["apply", "--yes"]).exits(0);
    assert_eq!(deployed.inspect(".State.Running"), "true");
    deployed.run(&["ledger", "list"]).exits(0).hides("instance.");
}
