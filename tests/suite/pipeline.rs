//! The example pipeline, run as GitLab's runner would: its jobs' commands in their order, each job in a checkout of its own with
//! the variables it is given. And what a merge request can make of it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::comment;
use crate::process::{Run, Running};
use crate::support::{Forge, files};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_merge_request_shows_its_plan_and_the_default_branch_applies_it,
        a_schedule_finds_drift,
        the_plan_of_a_merge_request_is_refused_once_it_is_stale,
        a_config_runs_no_program,
        a_config_sends_the_token_nowhere_else,
        a_saved_plan_sends_the_token_nowhere_else,
        a_config_makes_no_token_a_value,
        a_config_shows_no_file_of_the_runner,
    ]
}

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ci");

/// A project whose pipelines are run.
struct Project {
    forge: Forge,
    /// What its repo holds.
    repo: TempDir,
    pipeline: Value,
    reads: String,
    comments: String,
}

/// A job that was run: what it said, and its files.
struct Job {
    run: Run,
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let forge = Forge::new();
        comment::open(&forge);
        let repo = TempDir::new().unwrap();
        for file in files(Path::new(EXAMPLE)) {
            std::fs::copy(&file, repo.path().join(file.file_name().unwrap())).unwrap();
        }
        let (_, reads) = forge.user("planner", &["read_api"]);
        let (bot, comments) = forge.user("commenter", &["api"]);
        let member = json!({"user_id": bot, "access_level": 20});
        forge.admin.post("projects/ops%2Fforge/members", member);
        let (dev, _) = forge.user("dev", &["api"]);
        forge.admin.post(
            "projects/ops%2Fforge/members",
            json!({"user_id": dev, "access_level": 30}),
        );
        let project = Project {
            pipeline: crate::openapi::yaml(&Path::new(EXAMPLE).join(".gitlab-ci.yml")),
            forge,
            repo,
            reads,
            comments,
        };
        project.edit("https://git.example.org", project.forge.url());
        project
    }

    /// Changes the config.
    fn edit(&self, from: &str, to: &str) {
        let path = self.repo.path().join("autogit.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in:\n{text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// The jobs that a pipeline of this source has, in the order of their stages. `by_hand`: whether somebody starts those
    /// that wait for it.
    fn jobs(&self, source: &str, by_hand: bool) -> Vec<String> {
        let jobs = self.pipeline.as_object().unwrap().iter();
        let mut jobs: Vec<_> = jobs
            .filter(|(_, job)| job.get("script").is_some())
            .filter(|(_, job)| match when(job, source) {
                Some("manual") => by_hand,
                Some(when) => when != "never",
                None => false,
            })
            .collect();
        let stages = self.pipeline["stages"].as_array().unwrap();
        jobs.sort_by_key(|(_, job)| stages.iter().position(|stage| *stage == job["stage"]));
        jobs.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Runs a job in a fresh checkout, with the artifacts of what it needs.
    fn run(&self, name: &str, source: &str, needed: &[(&str, &Job)]) -> Job {
        let job = &self.pipeline[name];
        let folder = TempDir::new().unwrap();
        // Links stay links, as git has them.
        let copy = Command::new("cp")
            .arg("-a")
            .arg(self.repo.path().join("."))
            .arg(folder.path())
            .status();
        assert!(copy.unwrap().success());
        for need in job["needs"].as_array().into_iter().flatten() {
            let (name, from) = needed.iter().find(|(name, _)| need == name).unwrap();
            for artifact in self.pipeline[*name]["artifacts"]["paths"].as_array().unwrap() {
                let artifact = artifact.as_str().unwrap();
                std::fs::copy(from.folder.path().join(artifact), folder.path().join(artifact)).unwrap();
            }
        }
        let script: Vec<_> = job["script"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", &script.join("\n")])
            .current_dir(folder.path())
            .env_clear()
            .env("PATH", path())
            .envs(self.variables(job, source))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let run = Running::new(shell.spawn().unwrap()).wait();
        Job { run, folder }
    }

    /// GitLab's predefined variables, and the project's, as their environment scopes give them to a job.
    fn variables(&self, job: &Value, source: &str) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("CI", "true".to_owned()),
            ("CI_SERVER_URL", self.forge.url().to_owned()),
            (
                "CI_PROJECT_ID",
                self.forge.admin.get("projects/ops%2Fforge")["id"].to_string(),
            ),
            ("CI_PIPELINE_SOURCE", source.to_owned()),
            ("AUTOGIT_URL", self.forge.url().to_owned()),
            ("AUTOGIT_COMMENT_TOKEN", self.comments.clone()),
        ];
        if source == "merge_request_event" {
            variables.push(("CI_MERGE_REQUEST_IID", "1".into()));
            variables.push(("CI_MERGE_REQUEST_PROJECT_ID", variables[2].1.clone()));
        }
        // Whoever opened the merge request is a developer of the project, whoever merges it its owner.
        let user = if source == MERGE_REQUEST { "dev" } else { "root" };
        variables.push(("CI_JOB_TOKEN", self.job_token(user)));
        match job["environment"]["name"].as_str() {
            Some("autogit-plan") => variables.push(("AUTOGIT_TOKEN", self.reads.clone())),
            // It is protected: a merge request's branch is not given it.
            Some("autogit-apply") if source != "merge_request_event" => {
                variables.push(("AUTOGIT_TOKEN", self.forge.token().to_owned()));
            }
            _ => {}
        }
        variables
    }

    /// The token of a job that this user started.
    fn job_token(&self, user: &str) -> String {
        let job = json!({"project": "ops/forge", "user": user});
        let job = self.forge.admin.send(Method::POST, "/-/sandbox/jobs", Some(job));
        job.expect(201)["token"].as_str().unwrap().to_owned()
    }

    fn review(&self) -> Job {
        self.run("review", MERGE_REQUEST, &[])
    }

    /// Makes the user whose token only reads a member of what is declared.
    fn let_planner_see(&self) {
        let planner = self.forge.admin.get("users?username=planner")[0]["id"].as_u64();
        self.forge.member("shop", planner.unwrap(), 40);
    }

    fn comments(&self) -> Vec<String> {
        let notes = "projects/ops%2Fforge/merge_requests/1/notes?sort=asc&activity_filter=only_comments";
        let notes = self.forge.admin.get(notes);
        let body = |note: &Value| note["body"].as_str().unwrap().to_owned();
        notes.as_array().unwrap().iter().map(body).collect()
    }

    /// Merges and applies what the repo holds.
    fn apply(&self) {
        let plan = self.run("plan", "push", &[]);
        assert_eq!(plan.run.code, Some(0), "{}", plan.run.all());
        let apply = self.run("apply", "push", &[("plan", &plan)]);
        assert_eq!(apply.run.code, Some(0), "{}", apply.run.all());
    }
}

const MERGE_REQUEST: &str = "merge_request_event";

/// When a job is run in a pipeline of this source, by its first rule that holds; `None`: not at all.
fn when<'a>(job: &'a Value, source: &str) -> Option<&'a str> {
    let rules = job["rules"].as_array().unwrap().iter();
    let mut holding = rules.filter(|rule| match rule["if"].as_str().unwrap() {
        "$CI_PIPELINE_SOURCE == \"merge_request_event\"" => source == MERGE_REQUEST,
        "$CI_PIPELINE_SOURCE == \"schedule\"" => source == "schedule",
        "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH" => source != MERGE_REQUEST,
        other => panic!("the test does not know the rule `{other}`"),
    });
    holding
        .next()
        .map(|rule| rule["when"].as_str().unwrap_or("on_success"))
}

/// Where programs are found: AutoGit first.
fn path() -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_autogit"));
    let rest = std::env::var("PATH").unwrap_or_default();
    format!("{}:{rest}", program.parent().unwrap().display())
}

fn a_merge_request_shows_its_plan_and_the_default_branch_applies_it() {
    let project = Project::new();
    assert_eq!(project.jobs(MERGE_REQUEST, true), ["review", "comment"]);
    let writes = project.forge.writes();
    let review = project.review();
    assert_eq!(review.run.code, Some(0), "{}", review.run.all());
    assert_eq!(project.forge.writes(), writes, "a plan wrote");
    let mode = std::fs::metadata(review.folder.path().join("plan.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for file in files(review.folder.path()) {
        let text = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(
            !text.contains(&project.reads),
            "the token is in {}",
            file.display()
        );
    }
    let comment = project.run("comment", MERGE_REQUEST, &[("review", &review)]);
    assert_eq!(comment.run.code, Some(0), "{}", comment.run.all());
    // A second push: the plan is another, and the comment with it.
    project.edit("Takes orders", "Takes all orders");
    let review = project.review();
    project
        .run("comment", MERGE_REQUEST, &[("review", &review)])
        .run
        .exits(0);
    let comments = project.comments();
    assert_eq!(comments.len(), 1);
    assert!(comments[0].contains("Takes all orders"), "{comments:?}");
    // Merged.
    assert_eq!(project.jobs("push", false), ["plan"]);
    assert_eq!(project.jobs("push", true), ["plan", "apply"]);
    project.apply();
    let orders = project.forge.admin.get("projects/shop%2Forders");
    assert_eq!(orders["description"], "Takes all orders");
    project.let_planner_see();
    project
        .run("drift", "schedule", &[])
        .run
        .exits(0)
        .shows("No changes");
}

/// A project on which the example was applied, and whose planner sees all of it.
fn applied() -> Project {
    let project = Project::new();
    project.apply();
    project.let_planner_see();
    project
}

fn a_schedule_finds_drift() {
    let project = applied();
    assert_eq!(project.jobs("schedule", true), ["drift"]);
    project.run("drift", "schedule", &[]).run.exits(0);
    project
        .forge
        .admin
        .put("projects/shop%2Fstock", json!({"description": "By hand"}));
    project
        .run("drift", "schedule", &[])
        .run
        .exits(2)
        .shows("By hand");
}

/// Applied on the default branch, where that is how it is done.
fn the_plan_of_a_merge_request_is_refused_once_it_is_stale() {
    let project = applied();
    project.edit("Takes orders", "Takes all orders");
    let review = project.review();
    review.run.exits(0);
    let review = project.review();
    project
        .forge
        .admin
        .put("projects/shop%2Forders", json!({"description": "By hand"}));
    let stale = project
        .run("apply", "push", &[("plan", &review)])
        .run
        .exits(1)
        .says("the plan is stale");
    assert!(stale.stderr.contains("repo.shop/orders"), "{}", stale.all());
    let review = project.review();
    project.run("apply", "push", &[("plan", &review)]).run.exits(0);
    let orders = project.forge.admin.get("projects/shop%2Forders");
    assert_eq!(orders["description"], "Takes all orders");
}

fn a_config_runs_no_program() {
    let project = applied();
    project.edit(
        "token: {env: AUTOGIT_TOKEN}",
        "token: {exec: [sh, -c, 'touch ran; printenv AUTOGIT_TOKEN']}",
    );
    for job in ["review", "drift", "plan"] {
        let Job { run, folder } = project.run(job, if job == "review" { MERGE_REQUEST } else { "push" }, &[]);
        run.exits(1).says("--allow-exec");
        assert!(!folder.path().join("ran").exists(), "{job}");
    }
}

fn a_config_sends_the_token_nowhere_else() {
    let project = applied();
    let other = Forge::new();
    project.edit(project.forge.url(), other.url());
    let asked = || other.admin.get("/-/sandbox/counters")["reads"].as_u64().unwrap();
    let before = asked();
    for job in ["review", "plan"] {
        let Job { run, .. } = project.run(job, if job == "review" { MERGE_REQUEST } else { "push" }, &[]);
        run.exits(1).says("the token goes only there");
    }
    assert_eq!(asked(), before, "it was asked");
}

/// It names the instance and the token's variable, too.
fn a_saved_plan_sends_the_token_nowhere_else() {
    let project = applied();
    let other = Forge::new();
    project.edit("Takes orders", "Takes all orders");
    let review = project.review();
    let plan = review.folder.path().join("plan.json");
    let text = std::fs::read_to_string(&plan).unwrap();
    std::fs::write(&plan, text.replace(project.forge.url(), other.url())).unwrap();
    let before = other.admin.get("/-/sandbox/counters")["reads"].clone();
    let apply = project.run("apply", "push", &[("plan", &review)]);
    apply.run.exits(1).says("the token goes only there");
    assert_eq!(other.admin.get("/-/sandbox/counters")["reads"], before);
    let by_program = text.replace(r#""env": "AUTOGIT_TOKEN""#, r#""exec": ["touch", "ran"]"#);
    assert_ne!(by_program, text);
    std::fs::write(&plan, by_program).unwrap();
    let Job { run, folder } = project.run("apply", "push", &[("plan", &review)]);
    run.exits(1).says("--allow-exec");
    assert!(!folder.path().join("ran").exists());
}

/// Where whoever wrote the config could read it: as a variable of a repo of theirs.
fn a_config_makes_no_token_a_value() {
    let project = applied();
    let mut was = "{preset: [service], description: Takes orders}".to_owned();
    for value in [
        "env: AUTOGIT_TOKEN",
        "env: AUTOGIT_COMMENT_TOKEN",
        "env: CI_JOB_TOKEN",
        "file: /proc/self/environ",
    ] {
        let stolen = format!("{{variables: {{STOLEN: {{value: {{{value}}}}}}}}}");
        project.edit(&was, &stolen);
        was = stolen;
        let review = project.review();
        assert_eq!(review.run.code, Some(0), "{}", review.run.all());
        let plan = std::fs::read_to_string(review.folder.path().join("plan.json")).unwrap();
        assert!(
            plan.contains("STOLEN") && !plan.contains(&project.reads),
            "{plan}"
        );
        let says = "which is never a value of anything";
        project.run("plan", "push", &[]).run.exits(1).says(says);
        // Not by way of the plan that the merge request's own pipeline made, either.
        let apply = project.run("apply", "push", &[("plan", &review)]);
        apply.run.exits(1).says(says);
        let variables = project.forge.admin.get("projects/shop%2Forders/variables");
        assert_eq!(variables, json!([]), "{value}");
    }
    // Nor one that the config does not name as its own.
    let stolen = "{variables: {STOLEN: {value: {env: AUTOGIT_TOKEN}}}}";
    project.edit(&was, stolen);
    project.edit(
        "  token: {env: AUTOGIT_TOKEN}",
        "  token: {env: AUTOGIT_COMMENT_TOKEN}",
    );
    let plan = project.run("plan", "push", &[]).run;
    plan.exits(1).says("which is never a value of anything");
}

fn a_config_shows_no_file_of_the_runner() {
    let project = applied();
    for include in [
        "/proc/self/environ",
        "../../../../../../../../proc/self/environ",
        "link.yaml",
    ] {
        let link = project.repo.path().join("link.yaml");
        let _ = std::fs::remove_file(&link);
        project.edit("autogit: 1\n", &format!("autogit: 1\ninclude: [\"{include}\"]\n"));
        if include == "link.yaml" {
            std::os::unix::fs::symlink("/proc/self/environ", link).unwrap();
        }
        let Job { run, .. } = project.review();
        let run = run.exits(1);
        assert!(
            !run.all().contains(&project.reads) && !run.all().contains("PATH="),
            "{}",
            run.all()
        );
        project.edit(&format!("include: [\"{include}\"]\n"), "");
    }
    for shown in [
        "gitlab:\n  ca_file: /proc/self/environ",
        "gitlab:\n  ca_file: /etc/passwd",
    ] {
        project.edit("gitlab:", shown);
        let Job { run, .. } = project.review();
        assert!(
            !run.all().contains(&project.reads)
                && !run.all().contains("PATH=")
                && !run.all().contains("root:"),
            "{}",
            run.all()
        );
        project.edit(shown, "gitlab:");
    }
}
