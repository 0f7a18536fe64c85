//! Export: what is there becomes a config that changes nothing, and says what it leaves out.

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::Run;
use crate::support::{Forge, files};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        what_is_exported_changes_nothing,
        an_export_reads_well,
        a_reading_token_suffices_and_nothing_is_left_behind,
        a_developer_gets_what_a_developer_sees,
        a_guest_is_told_what_cannot_be_read,
        many_repos_take_few_requests,
        what_many_share_is_told_once,
        what_is_pending_deletion_is_not_revived,
        a_group_is_exported_with_what_is_below_it,
        peoples_own_repos_are_exported_too,
        files_that_are_there_are_never_replaced,
        no_secret_is_written,
        where_gitlab_is_comes_from_the_arguments_or_the_config,
    ]
}

/// A GitLab that grew by hand.
fn grown() -> Forge {
    // GitLab's own protection of a default branch is there at once, for the same result each time.
    let forge = Forge::with(|options| options.protection_delay = std::time::Duration::ZERO);
    let admin = &forge.admin;
    let group = |path: &str, fields: Value| {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut body = json!({"name": name, "path": name});
        if !parent.is_empty() {
            let parent = admin.get(&format!("groups/{}", parent.replace('/', "%2F")));
            body["parent_id"] = parent["id"].clone();
        }
        merge(&mut body, fields);
        admin.post("groups", body)
    };
    group(
        "platform",
        json!({"visibility": "internal", "description": "Runs it all"}),
    );
    group("platform/backend", json!({}));
    group("data", json!({"name": "Data (lake)"}));
    repo(
        &forge,
        "platform/api",
        json!({"visibility": "internal", "initialize_with_readme": true,
        "description": "The API: v2\n\n  - fast\n  - small\n", "topics": ["Service", "rust"]}),
    );
    repo(
        &forge,
        "platform/backend/orders",
        json!({"initialize_with_readme": true, "merge_method": "ff"}),
    );
    repo(
        &forge,
        "platform/backend/1",
        json!({"name": "yes", "description": " #odd: \"one\" \u{feff}\r\nand two"}),
    );
    repo(
        &forge,
        "data/lake",
        json!({"initialize_with_readme": true, "default_branch": "trunk",
        "container_expiration_policy_attributes": {"enabled": true, "cadence": "7d", "name_regex": ".*"}}),
    );
    for (repo, name, body) in [
        (
            "platform%2Fapi",
            "release/*",
            json!({"push_access_level": 0, "merge_access_level": 40}),
        ),
        (
            "platform%2Fapi",
            "yes",
            json!({"push_access_level": 30, "allow_force_push": true}),
        ),
        (
            "platform%2Fapi",
            "nobody",
            json!({"push_access_level": 0, "merge_access_level": 0, "allow_force_push": true}),
        ),
    ] {
        let mut body = body;
        body["name"] = name.into();
        admin.post(&format!("projects/{repo}/protected_branches"), body);
    }
    admin
        .send(Method::POST, "projects/data%2Flake/archive", None)
        .expect(201);
    forge
}

fn merge(body: &mut Value, more: Value) {
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
}

/// Makes a repo by hand.
fn repo(forge: &Forge, path: &str, fields: Value) -> Value {
    let (group, name) = path.rsplit_once('/').unwrap();
    let namespace = forge.admin.get(&format!("groups/{}", group.replace('/', "%2F")));
    let mut body = json!({"path": name, "name": name, "namespace_id": namespace["id"]});
    merge(&mut body, fields);
    forge.admin.post("projects", body)
}

/// Exports with these arguments, to standard output.
fn export(forge: &Forge, args: &[&str]) -> Run {
    let url = forge.url().to_owned();
    let reach = ["export", "--url", &url, "--token-env", "AUTOGIT_TOKEN"];
    forge.run(&[&reach, args].concat()).exits(0)
}

/// Exports into the folder of the config.
fn export_here(forge: &Forge, args: &[&str]) -> Run {
    export(forge, &[&["--out", "."], args].concat())
}

/// Asserts that what was exported changes nothing, and that finding out writes nothing to GitLab.
#[track_caller]
fn expect_no_change(forge: &Forge) {
    let writes = forge.writes();
    let plan = forge.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert!(plan.stdout.contains("No changes"), "{}", plan.all());
    forge.run(&["apply", "--yes"]).exits(0);
    forge.run(&["plan", "--detailed-exitcode"]).exits(0);
    assert_eq!(forge.writes(), writes, "something was written");
}

fn what_is_exported_changes_nothing() {
    for (layout, count) in [
        (&[][..], 1),
        (&["--split-by", "group"], 4),
        (&["--factor"], 1),
        (&["--factor", "--split-by", "group"], 4),
    ] {
        let forge = grown();
        export_here(&forge, layout);
        forge.run(&["validate"]).exits(0).shows("0 warnings");
        let names = files(forge.dir.path());
        assert_eq!(names.len(), count, "{names:?}");
        expect_no_change(&forge);
    }
    let forge = grown();
    for layout in [&[][..], &["--factor"]] {
        let once = export(&forge, layout);
        let again = export(&forge, &[&["--parallelism", "1"], layout].concat());
        assert_eq!(once.stdout, again.stdout);
    }
}

/// Text with each comment on one line, however long.
fn unwrapped(text: &str) -> String {
    let broken = regex::Regex::new(r"\n *#   ([^-])").unwrap();
    broken.replace_all(text, " $1").into_owned()
}

/// Asserts that a comment says this.
#[track_caller]
fn comments(text: &str, words: &str) {
    let unwrapped = unwrapped(text);
    assert!(unwrapped.contains(words), "no comment says `{words}`:\n{text}");
}

/// An export without what differs from run to run.
fn steady(forge: &Forge, text: &str) -> String {
    text.replace(forge.url(), "https://git.example.org")
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn an_export_reads_well() {
    let forge = grown();
    snapshot("export_plain", &steady(&forge, &export(&forge, &[]).stdout));
    snapshot(
        "export_factored",
        &steady(&forge, &export(&forge, &["--factor"]).stdout),
    );
    export_here(&forge, &["--split-by", "group"]);
    let mut written = files(forge.dir.path());
    written.sort();
    let mut text = String::new();
    for path in written {
        let name = path.strip_prefix(forge.dir.path()).unwrap().display();
        text += &format!("## {name}\n{}\n", std::fs::read_to_string(&path).unwrap());
    }
    snapshot("export_by_group", &steady(&forge, &text));
}

fn a_reading_token_suffices_and_nothing_is_left_behind() {
    let forge = grown();
    let (id, token) = forge.user("rita", &["read_api"]);
    forge.member("platform", id, 50);
    let (writes, before) = (forge.writes(), files(forge.dir.path()));
    let url = forge.url().to_owned();
    let run = forge.run_as(&token, &["export", "--url", &url, "--token-env", "AUTOGIT_TOKEN"]);
    let run = run.exits(0).shows("platform/backend/orders:");
    comments(&run.stdout, "as rita sees it, who is no administrator");
    assert!(!run.stdout.contains("data/lake"), "{}", run.all());
    assert!(!run.all().contains(&token));
    assert_eq!((forge.writes(), files(forge.dir.path())), (writes, before));
    std::fs::write(forge.dir.path().join("autogit.yaml"), &run.stdout).unwrap();
    forge.run_as(&token, &["plan", "--detailed-exitcode"]).exits(0);
}

fn a_developer_gets_what_a_developer_sees() {
    let forge = grown();
    let (id, token) = forge.user("dev", &["read_api"]);
    forge.member("platform", id, 30);
    let url = forge.url().to_owned();
    let run = forge.run_as(&token, &["export", "--url", &url, "--token-env", "AUTOGIT_TOKEN"]);
    let run = run.exits(0);
    comments(
        &run.stdout,
        "resource_group_default_process_mode: GitLab shows it only from Maintainer up",
    );
    assert!(!run.stdout.contains("build_timeout: "), "{}", run.all());
    std::fs::write(forge.dir.path().join("autogit.yaml"), &run.stdout).unwrap();
    forge.run_as(&token, &["plan", "--detailed-exitcode"]).exits(0);
}

fn a_guest_is_told_what_cannot_be_read() {
    let forge = grown();
    let (id, token) = forge.user("guest", &["read_api"]);
    forge.member("data", id, 10);
    let url = forge.url().to_owned();
    let run = forge.run_as(&token, &["export", "--url", &url, "--token-env", "AUTOGIT_TOKEN"]);
    let run = run.exits(0).shows("\n  data/lake:\n");
    comments(
        &run.stdout,
        "# left out: protected_branches: GitLab shows protected branches only to who can read the code",
    );
    std::fs::write(forge.dir.path().join("autogit.yaml"), &run.stdout).unwrap();
    forge.run_as(&token, &["plan", "--detailed-exitcode"]).exits(0);
}

fn many_repos_take_few_requests() {
    let forge = Forge::new();
    let group = forge
        .admin
        .post("groups", json!({"name": "many", "path": "many"}));
    for number in 0..300 {
        let name = format!("repo-{number:03}");
        let body = json!({"name": name, "path": name, "namespace_id": group["id"]});
        forge.admin.post("projects", body);
    }
    for args in [&[][..], &["--group", "many"]] {
        let before = forge.admin.get("/-/sandbox/counters")["reads"].as_u64().unwrap();
        let run = export(&forge, args).shows("many/repo-299:");
        let after = forge.admin.get("/-/sandbox/counters")["reads"].as_u64().unwrap();
        assert!(
            after - before <= 40,
            "{} requests for {} lines",
            after - before,
            run.stdout.lines().count()
        );
    }
}

fn what_many_share_is_told_once() {
    let forge = Forge::new();
    let group = |name: &str| forge.admin.post("groups", json!({"name": name, "path": name}))["id"].clone();
    let groups = ["web", "data", "legacy"].map(group);
    for number in 0..300 {
        let name = format!("repo-{number:03}");
        let mut body = json!({"name": name, "path": name, "namespace_id": groups[number % 3], "initialize_with_readme": true});
        match number {
            _ if number % 3 == 1 => merge(
                &mut body,
                json!({"merge_method": "ff", "topics": ["data"], "build_timeout": 7200}),
            ),
            _ if number % 50 == 0 => merge(
                &mut body,
                json!({"squash_option": "always", "issues_access_level": "disabled",
                "wiki_access_level": "disabled", "snippets_access_level": "disabled"}),
            ),
            _ if number % 7 == 0 => body["description"] = format!("Number {number}").into(),
            _ => {}
        }
        forge.admin.post("projects", body);
    }
    let lines = |run: &Run| run.stdout.lines().count();
    let (plain, factored) = (export(&forge, &[]), export(&forge, &["--factor"]));
    assert!(
        lines(&factored) * 10 < lines(&plain),
        "{} of {}",
        lines(&factored),
        lines(&plain)
    );
    factored
        .shows("\nrules:\n  baseline:\n    match: {path: [data/**, legacy/**, web/**]}\n")
        .shows("\n  data:\n")
        .shows("\n  shared-1:\n");
    export_here(&forge, &["--factor"]);
    expect_no_change(&forge);
}

fn what_is_pending_deletion_is_not_revived() {
    for layout in [&[][..], &["--factor"]] {
        not_revived(&grown(), layout);
    }
}

fn not_revived(forge: &Forge, layout: &[&str]) {
    forge
        .admin
        .send(Method::DELETE, "projects/platform%2Fapi", None)
        .expect(202);
    forge
        .admin
        .send(Method::DELETE, "groups/platform%2Fbackend", None)
        .expect(202);
    let pending = |what: &str| {
        let found = forge.admin.get(what);
        (found["marked_for_deletion_on"].clone(), found["path"].clone())
    };
    let before = ["projects/1", "groups/3"].map(&pending);
    assert!(before.iter().all(|(since, _)| since.is_string()), "{before:?}");
    export_here(forge, layout);
    let text = std::fs::read_to_string(forge.dir.path().join("autogit.yaml")).unwrap();
    for (what, why) in [
        ("repo.platform/api", "it is pending deletion since 20"),
        ("group.platform/backend", "it is pending deletion since 20"),
        ("repo.platform/backend", "pending deletion since 20"),
    ] {
        let note = format!("# left out: {what}[^ ]*: .*{why}");
        assert!(
            regex::Regex::new(&note).unwrap().is_match(&unwrapped(&text)),
            "{note}\n{text}"
        );
    }
    assert!(
        !text.contains("\n  platform/backend") && !text.contains("\n  platform/api"),
        "{text}"
    );
    expect_no_change(forge);
    assert_eq!(["projects/1", "groups/3"].map(&pending), before);
}

fn a_group_is_exported_with_what_is_below_it() {
    let forge = grown();
    let run = export_here(&forge, &["--group", "platform/backend", "--group", "data"]);
    run.says("Wrote ./autogit.yaml: ").says(" resources in 1 file.");
    let text = std::fs::read_to_string(forge.dir.path().join("autogit.yaml")).unwrap();
    assert!(text.contains("holds in data, platform/backend, as"), "{text}");
    assert!(
        text.contains("\n  platform/backend/1:\n") && text.contains("\n  data/lake:\n"),
        "{text}"
    );
    assert!(!text.contains("platform/api"), "{text}");
    expect_no_change(&forge);
    let url = forge.url().to_owned();
    let args = [
        "export",
        "--url",
        &url,
        "--token-env",
        "AUTOGIT_TOKEN",
        "--group",
        "nothing/here",
    ];
    forge.run(&args).exits(1).says("nothing");
}

fn peoples_own_repos_are_exported_too() {
    let forge = grown();
    let (id, _) = forge.user("rita", &["api"]);
    let body = json!({"name": "dots", "path": "dots", "initialize_with_readme": true});
    forge.admin.post(&format!("projects/user/{id}"), body);
    export_here(&forge, &["--split-by", "group"]);
    let text = std::fs::read_to_string(forge.dir.path().join("groups/rita.yaml")).unwrap();
    assert!(text.starts_with("repos:\n  rita/dots:\n"), "{text}");
    expect_no_change(&forge);
}

fn files_that_are_there_are_never_replaced() {
    let forge = grown();
    let there = forge.dir.path().join("out/groups/platform.backend.yaml");
    std::fs::create_dir_all(there.parent().unwrap()).unwrap();
    std::fs::write(&there, "mine").unwrap();
    let url = forge.url().to_owned();
    let args = [
        "export",
        "--url",
        &url,
        "--token-env",
        "AUTOGIT_TOKEN",
        "--out",
        "out",
        "--split-by",
        "group",
    ];
    let run = forge.run(&args).exits(1);
    run.says("out/groups/platform.backend.yaml: it is there already")
        .says("nothing was written");
    assert_eq!(files(forge.dir.path()), std::slice::from_ref(&there));
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "mine");
    std::fs::rename(&there, there.with_file_name("other.yaml")).unwrap();
    forge
        .run(&args)
        .exits(1)
        .says("the config would include out/groups/other.yaml");
    assert_eq!(files(forge.dir.path()), [there.with_file_name("other.yaml")]);
}

fn no_secret_is_written() {
    let forge = grown();
    let secret = "s3cr3t-and-not-to-be-seen";
    let value = json!({"key": "TOKEN", "value": secret, "masked": true, "description": "Opens the door"});
    for holder in ["projects/platform%2Fapi", "groups/platform", "admin/ci"] {
        forge.admin.post(&format!("{holder}/variables"), value.clone());
    }
    for number in 0..40 {
        let value = json!({"key": format!("V{number}"), "value": secret});
        forge.admin.post("projects/platform%2Fapi/variables", value);
    }
    for layout in [&[][..], &["--factor"]] {
        let run = export(&forge, &[&["-vvv"], layout].concat());
        assert!(!run.all().contains(secret), "{}", run.all());
        comments(&run.stdout, "# To do: 43 secrets are left out");
        comments(
            &run.stdout,
            "#   - repo_variable.platform/api:TOKEN: value: {env: PLATFORM_API_TOKEN}",
        );
        comments(&run.stdout, "\n        # value: {env: PLATFORM_API_TOKEN}\n");
    }
    export_here(&forge, &[]);
    expect_no_change(&forge);
}

fn where_gitlab_is_comes_from_the_arguments_or_the_config() {
    let forge = grown();
    forge.run(&["export"]).exits(1).says("--url");
    forge.config("");
    let token = forge.dir.path().join("token");
    std::fs::write(&token, forge.token()).unwrap();
    let text = format!(
        "autogit: 1\ngitlab: {{url: {}, token: {{file: token}}}}\n",
        forge.url()
    );
    std::fs::write(forge.dir.path().join("autogit.yaml"), text).unwrap();
    let run = forge.run(&["export"]).exits(0);
    run.shows("gitlab: {url: http")
        .shows("token: {file: token}}")
        .shows("\n  platform/api:\n");
    forge.run(&["export", "--out", "elsewhere/deep"]).exits(0);
    forge
        .run(&[
            "plan",
            "--detailed-exitcode",
            "--config",
            "elsewhere/deep/autogit.yaml",
        ])
        .exits(0);
    let run = forge
        .run(&["export", "--sandbox"])
        .exits(0)
        .shows("What the sandbox (");
    assert!(!run.stdout.contains("gitlab:"), "{}", run.all());
}
