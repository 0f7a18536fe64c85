//! The container as Docker is asked to make it: everything follows from the blueprint.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, HealthConfig, HostConfig, PortBinding, PortMap,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::place::MOUNT;
use super::{Blueprint, Endpoints};
use crate::config::deploy::Restart;
use crate::live::docker::Engine;

/// The label by which AutoGit knows what it made.
pub const LABEL: &str = "io.autogit.instance";

/// Seconds that GitLab is given to end by itself: its parts are stopped one after the other, the database among them.
pub(super) const STOP_WITHIN: i32 = 120;

/// The program that asks GitLab how it is, inside the container.
const CURL: &str = "/opt/gitlab/embedded/bin/curl";

/// Labels of what AutoGit makes for the instance of this id.
pub(super) fn labels(id: &str) -> HashMap<String, String> {
    HashMap::from([(LABEL.to_owned(), id.to_owned())])
}

/// The container that is to be made.
pub(super) fn body(
    blueprint: &Blueprint,
    engine: &Engine,
    id: &str,
    ready_within: Duration,
) -> ContainerCreateBody {
    let environment = blueprint.environment.iter();
    let mut labels = labels(id);
    labels.extend(blueprint.labels.clone());
    ContainerCreateBody {
        image: Some(blueprint.image.clone()),
        hostname: Some(blueprint.hostname.clone()),
        env: Some(
            environment
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        labels: Some(labels),
        exposed_ports: Some(blueprint.endpoints.published.keys().cloned().collect()),
        stop_timeout: Some(STOP_WITHIN.into()),
        healthcheck: Some(healthcheck(&blueprint.endpoints, ready_within)),
        host_config: Some(HostConfig {
            binds: Some(binds(blueprint, engine)),
            network_mode: Some(blueprint.network.clone()),
            port_bindings: Some(port_bindings(&blueprint.endpoints)),
            restart_policy: Some(restart_policy(blueprint.restart)),
            memory: blueprint.memory.and_then(|bytes| bytes.try_into().ok()),
            nano_cpus: blueprint.nano_cpus,
            pids_limit: blueprint.pids,
            shm_size: blueprint.shm_size.try_into().ok(),
            ulimits: Some(ulimits(blueprint)),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The limits that Docker changes while the container runs.
pub(super) fn update(blueprint: &Blueprint) -> ContainerUpdateBody {
    let memory: Option<i64> = blueprint.memory.and_then(|bytes| bytes.try_into().ok());
    ContainerUpdateBody {
        memory,
        // What Docker makes of a limit of memory alone when a container is made; a lower one than before is refused without it.
        memory_swap: memory.map(|bytes| bytes.saturating_mul(2)),
        nano_cpus: blueprint.nano_cpus,
        pids_limit: blueprint.pids,
        restart_policy: Some(restart_policy(blueprint.restart)),
        ..ContainerUpdateBody::default()
    }
}

/// What Docker does when the container ends, and nothing else.
pub(super) fn update_restart(restart: Restart) -> ContainerUpdateBody {
    ContainerUpdateBody {
        restart_policy: Some(restart_policy(restart)),
        ..ContainerUpdateBody::default()
    }
}

/// The command that asks GitLab in the container whether it is ready, and prints its answer and the HTTP status in a line of its own.
pub(super) fn readiness(endpoints: &Endpoints) -> [String; 9] {
    let url = local_url(endpoints, "/-/readiness?all=1");
    // The certificate is for the name that users know, not for this address.
    [
        CURL,
        "--silent",
        "--show-error",
        "--insecure",
        "--max-time",
        "10",
        "--write-out",
        "\n%{http_code}",
        &url,
    ]
    .map(str::to_owned)
}

/// A URL at which GitLab in the container is asked from within. Monitoring is open to this address unless settings close it.
fn local_url(endpoints: &Endpoints, path: &str) -> String {
    let scheme = if endpoints.https { "https" } else { "http" };
    let base = endpoints.url.path().trim_end_matches('/');
    format!("{scheme}://127.0.0.1:{}{base}{path}", endpoints.listen)
}

/// How Docker judges whether it is well. The image's own check knows nothing of our ports, and from 19.1 on passes too early.
pub(super) fn healthcheck(endpoints: &Endpoints, ready_within: Duration) -> HealthConfig {
    let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).ok();
    let url = local_url(endpoints, "/-/readiness");
    let test = [
        "CMD",
        CURL,
        "--fail",
        "--silent",
        "--show-error",
        "--insecure",
        "--max-time",
        "10",
        &url,
    ];
    HealthConfig {
        test: Some(test.map(str::to_owned).to_vec()),
        interval: nanos(Duration::from_secs(30)),
        timeout: nanos(Duration::from_secs(15)),
        retries: Some(5),
        start_period: nanos(ready_within),
        ..HealthConfig::default()
    }
}

/// The command by which Docker judges whether it is well; `None`: it does not.
pub(super) fn judged_by(check: &HealthConfig) -> Option<String> {
    match check.test.as_deref() {
        Some([kind, command @ ..]) if kind.starts_with("CMD") => Some(command.join(" ")),
        _ => None,
    }
}

/// What is mounted. The settings are only read, and SELinux is told of directories that are not Docker's own.
fn binds(blueprint: &Blueprint, engine: &Engine) -> Vec<String> {
    let bind = |(inside, source): (&String, &String)| {
        let access = if inside == MOUNT { "ro" } else { "rw" };
        let label = if engine.selinux && source.starts_with('/') {
            ",Z"
        } else {
            ""
        };
        format!("{source}:{inside}:{access}{label}")
    };
    blueprint.mounts.iter().map(bind).collect()
}

fn port_bindings(endpoints: &Endpoints) -> PortMap {
    let binding = |(inside, published): (&String, &String)| {
        let (address, port) = published.rsplit_once(':').unwrap_or(("", published));
        let binding = PortBinding {
            host_ip: Some(address.trim_matches(['[', ']']).to_owned()),
            host_port: Some(port.to_owned()),
        };
        (inside.clone(), Some(vec![binding]))
    };
    endpoints.published.iter().map(binding).collect()
}

fn restart_policy(restart: Restart) -> RestartPolicy {
    RestartPolicy {
        name: Some(match restart {
            Restart::No => RestartPolicyNameEnum::NO,
            Restart::Always => RestartPolicyNameEnum::ALWAYS,
            Restart::UnlessStopped => RestartPolicyNameEnum::UNLESS_STOPPED,
            Restart::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
        }),
        maximum_retry_count: None,
    }
}

fn ulimits(blueprint: &Blueprint) -> Vec<ResourcesUlimits> {
    let ulimits = blueprint.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    });
    ulimits.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::deploy::Deploy;
    use crate::instance::Place;

    fn blueprint(url: &str, spec: serde_json::Value) -> Blueprint {
        let spec: Deploy = serde_json::from_value(spec).unwrap();
        let place = Place::new("/srv/.autogit".as_ref(), "gitlab");
        Blueprint::new(&spec, &url.parse().unwrap(), &place)
    }

    fn made(blueprint: &Blueprint, engine: &Engine) -> serde_json::Value {
        serde_json::to_value(body(blueprint, engine, "0123", Duration::from_secs(60))).unwrap()
    }

    #[test]
    fn everything_that_is_declared_reaches_the_container() {
        let blueprint = blueprint(
            "http://git.example.org:3000/forge",
            json!({"docker": {
                "image": "gitlab/gitlab-ce:18.8.4-ce.0",
                "ports": {"http": "[::1]:3000", "ssh": 2222},
                "volumes": {"data": "/srv/data"},
                "limits": {"memory": "8GiB", "cpus": 2.5, "pids": 5000},
                "ulimits": {"nofile": {"soft": 1, "hard": 2}},
                "restart": "always",
                "labels": {"team": "forge"},
            }}),
        );
        let body = made(&blueprint, &Engine::default());
        assert_eq!(body["Hostname"], "git.example.org");
        assert_eq!(body["Labels"], json!({LABEL: "0123", "team": "forge"}));
        assert_eq!(
            body["Healthcheck"]["Test"].as_array().unwrap().last().unwrap(),
            &json!(format!(
                "http://127.0.0.1:{}/forge/-/readiness",
                blueprint.endpoints.listen
            )),
        );
        let host = &body["HostConfig"];
        assert_eq!(
            host["Binds"],
            json!([
                "/srv/.autogit/deploy/gitlab/etc:/etc/autogit:ro",
                "gitlab-config:/etc/gitlab:rw",
                "gitlab-logs:/var/log/gitlab:rw",
                "/srv/data:/var/opt/gitlab:rw"
            ])
        );
        let http = format!("{}/tcp", blueprint.endpoints.listen);
        assert_eq!(
            host["PortBindings"][http],
            json!([{"HostIp": "::1", "HostPort": "3000"}])
        );
        assert_eq!(host["PortBindings"]["22/tcp"][0]["HostPort"], "2222");
        assert_eq!(host["Memory"], 8_u64 << 30);
        assert_eq!(
            (&host["NanoCpus"], &host["PidsLimit"]),
            (&json!(2_500_000_000_u64), &json!(5000))
        );
        assert_eq!(host["ShmSize"], 256 << 20);
        assert_eq!(host["Ulimits"], json!([{"Name": "nofile", "Soft": 1, "Hard": 2}]));
        assert_eq!(host["RestartPolicy"]["Name"], "always");
        assert_eq!(host["NetworkMode"], "gitlab");
    }

    #[test]
    fn selinux_is_told_of_directories_of_the_host_alone() {
        let blueprint = blueprint(
            "http://x",
            json!({"docker": {"image": "i:1", "volumes": {"data": "/srv/data"}}}),
        );
        let engine = Engine {
            selinux: true,
            ..Engine::default()
        };
        let body = made(&blueprint, &engine);
        let binds = body["HostConfig"]["Binds"].as_array().unwrap();
        let labelled: Vec<_> = binds
            .iter()
            .filter(|bind| bind.as_str().unwrap().ends_with(",Z"))
            .collect();
        assert_eq!(labelled.len(), 2, "{binds:?}");
    }

    #[test]
    fn secrets_are_nowhere_in_it() {
        let spec = json!({"docker": {"image": "i:1"}, "admin": {"password": {"env": "CANARY"}}});
        let blueprint = blueprint("http://x", spec);
        assert!(!blueprint.secrets.is_empty());
        let body = made(&blueprint, &Engine::default()).to_string();
        assert!(!body.contains("CANARY") && !body.contains("password"), "{body}");
    }
}
