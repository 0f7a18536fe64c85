//! What stands in the way of deploying, found by a plan on a real host and Docker Engine, before anything is changed.

use std::net::TcpListener;

use libtest_mimic::Trial;

use crate::docker::{self, Deployed, Wanted, docker};

pub fn trials() -> Vec<Trial> {
    docker::on_an_engine(crate::trials![
        a_port_that_a_program_holds_is_refused,
        a_port_that_a_container_holds_is_refused_with_its_name,
        an_address_of_another_host_is_refused,
        what_cannot_hold_data_is_refused,
        too_little_memory_is_refused,
        an_image_that_is_not_there_is_told,
    ])
}

/// Expects the plan to refuse with these words, at this field's line, and to leave nothing behind.
#[track_caller]
fn refused(deployed: &Deployed, words: &[&str]) {
    let plan = deployed.run(&["plan"]).exits(1);
    for word in words {
        assert!(plan.all().contains(word), "no `{word}` in:\n{}", plan.all());
    }
    // Where it is written.
    assert!(plan.all().contains("autogit.yaml:"), "{}", plan.all());
    assert!(!deployed.is_there());
}

fn a_port_that_a_program_holds_is_refused() {
    let deployed = Deployed::new();
    let held = TcpListener::bind(("127.0.0.1", deployed.port)).unwrap();
    let port = format!("port {} of the host is held by another program", deployed.port);
    refused(&deployed, &[&port, "ports: {http: …}"]);
    let apply = deployed.run(&["apply", "--yes"]).exits(1);
    assert!(
        apply.all().contains(&port) && !deployed.is_there(),
        "{}",
        apply.all()
    );
    drop(held);
    deployed.run(&["plan"]).exits(0);
}

fn a_port_that_a_container_holds_is_refused_with_its_name() {
    let deployed = Deployed::new();
    let other = format!("{}-other", deployed.name);
    let publish = format!("0.0.0.0:{}:22", deployed.ssh);
    let image = deployed.wanted().image;
    docker(&[
        "run",
        "-d",
        "--name",
        &other,
        "-p",
        &publish,
        "--entrypoint",
        "sleep",
        &image,
        "600",
    ]);
    let words = format!(
        "port {} of the host is held by the container {other}",
        deployed.ssh
    );
    refused(&deployed, &[&words, "ports: {ssh: …}"]);
    docker(&["rm", "-f", &other]);
    deployed.run(&["plan"]).exits(0);
}

fn an_address_of_another_host_is_refused() {
    let deployed = Deployed::new();
    deployed.config(Wanted {
        // Set aside for documentation: no host has it.
        ports: format!("http: '192.0.2.1:{}', ssh: {}", deployed.port, deployed.ssh),
        ..deployed.wanted()
    });
    refused(&deployed, &["192.0.2.1 is no address of this host"]);
}

fn what_cannot_hold_data_is_refused() {
    let deployed = Deployed::new();
    deployed.write("file", "");
    let file = deployed.dir.path().join("file");
    let docker = format!("profile: minimal, volumes: {{data: '{}'}}", file.display());
    deployed.config(Wanted {
        docker: &docker,
        ..deployed.wanted()
    });
    refused(&deployed, &["is not a directory"]);
}

fn too_little_memory_is_refused() {
    let deployed = Deployed::new();
    deployed.config(Wanted {
        docker: "profile: team, limits: {memory: 8GiB}",
        ..deployed.wanted()
    });
    refused(
        &deployed,
        &["8 GiB of memory are too little", "`team` takes 16 GiB"],
    );
}

fn an_image_that_is_not_there_is_told() {
    let deployed = Deployed::new();
    deployed.config(Wanted {
        image: "autogit-nowhere.invalid/gitlab-ce:18.8.4-ce.0".into(),
        ..deployed.wanted()
    });
    let plan = deployed.run(&["plan"]).exits(0);
    assert!(plan.stdout.contains("it is pulled first"), "{}", plan.all());
}
