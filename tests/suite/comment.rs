//! A plan as a merge request's comment: written once, kept up to date, and nobody else's touched.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::process::{Run, Running};
use crate::support::{Forge, in_parallel};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_comment_is_written_once_and_then_updated,
        somebody_elses_comment_is_left_alone,
        a_lost_reply_makes_no_second_comment,
        what_is_missing_is_named,
        a_token_that_may_not_is_told_so,
        a_plan_for_widgets_and_comment_comes_from_one_run,
    ]
}

/// A merge request, and whoever comments on it.
pub struct Review {
    pub forge: Forge,
    pub token: String,
    pub notes: &'static str,
}

impl Review {
    pub fn new() -> Self {
        let forge = Forge::new();
        forge.config("groups: {team: {}}\n");
        open(&forge);
        let (bot, token) = forge.user("bot", &["api"]);
        let member = json!({"user_id": bot, "access_level": 20});
        forge.admin.post("projects/ops%2Fforge/members", member);
        Review {
            forge,
            token,
            notes: "projects/ops%2Fforge/merge_requests/1/notes",
        }
    }

    /// Comments as a job of the merge request's pipeline does.
    pub fn comment(&self, text: &str) -> Run {
        self.comment_as(&self.token, text)
    }

    fn comment_as(&self, token: &str, text: &str) -> Run {
        std::fs::write(self.forge.dir.path().join("plan.md"), text).unwrap();
        let mut command = self.forge.autogit(&["comment", "plan.md"]);
        command
            .env("CI_SERVER_URL", self.forge.url())
            .env("CI_PROJECT_ID", "0")
            .env("CI_MERGE_REQUEST_PROJECT_ID", "ops/forge")
            .env("CI_MERGE_REQUEST_IID", "1")
            .env("AUTOGIT_COMMENT_TOKEN", token);
        Running::new(command.spawn().unwrap()).wait()
    }

    /// What the comments say, oldest first.
    pub fn said(&self) -> Vec<String> {
        let notes = self
            .forge
            .admin
            .get(&format!("{}?sort=asc&activity_filter=only_comments", self.notes));
        let body = |note: &Value| note["body"].as_str().unwrap().to_owned();
        notes.as_array().unwrap().iter().map(body).collect()
    }
}

/// The project `ops/forge` with a merge request.
pub fn open(forge: &Forge) {
    let admin = &forge.admin;
    let group = admin.post(
        "groups",
        json!({"name": "ops", "path": "ops", "visibility": "private"}),
    );
    let forge = json!({"name": "forge", "namespace_id": group["id"], "initialize_with_readme": true});
    admin.post("projects", forge);
    let branch = json!({"branch": "change", "ref": "main"});
    admin.post("projects/ops%2Fforge/repository/branches", branch);
    let request = json!({"source_branch": "change", "target_branch": "main", "title": "Change"});
    admin.post("projects/ops%2Fforge/merge_requests", request);
}

fn a_comment_is_written_once_and_then_updated() {
    let review = Review::new();
    review
        .comment("### One\n")
        .exits(0)
        .shows("Wrote the comment on !1");
    let said = review.said();
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("<!-- autogit plan autogit.yaml http://") && said[0].contains("### One"));
    let writes = review.forge.writes();
    review.comment("### One\n").exits(0).shows("Nothing new");
    assert_eq!(review.forge.writes(), writes, "an unchanged comment was written");
    review.comment("### Two\n").exits(0).shows("Updated");
    let said = review.said();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("### Two") && !said[0].contains("One"),
        "{said:?}"
    );
    // Another config in the same repo has a comment of its own.
    let from = review.forge.dir.path().join("autogit.yaml");
    std::fs::copy(from, review.forge.dir.path().join("other.yaml")).unwrap();
    let mut command = review.forge.autogit(&["comment", "-", "--config", "other.yaml"]);
    command
        .args([
            "--url",
            review.forge.url(),
            "--project",
            "ops/forge",
            "--merge-request",
            "1",
        ])
        .args(["--token-env", "BOT"])
        .env("BOT", &review.token)
        .stdin(std::fs::File::open(review.forge.dir.path().join("plan.md")).unwrap());
    Running::new(command.spawn().unwrap())
        .wait()
        .exits(0)
        .shows("Wrote");
    assert_eq!(review.said().len(), 2);
}

/// Also when it looks like ours, and when there are more than fit on a page.
fn somebody_elses_comment_is_left_alone() {
    let review = Review::new();
    review.comment("### One\n").exits(0);
    let copy = review.said().remove(0);
    let notes = format!(
        "{}/{}",
        review.notes,
        review.forge.admin.get(review.notes)[0]["id"]
    );
    review
        .forge
        .admin
        .send(reqwest::Method::DELETE, &notes, None)
        .expect(204);
    let numbers: Vec<usize> = (0..101).collect();
    review.forge.admin.post(review.notes, json!({"body": copy}));
    in_parallel(&numbers, |n| {
        review
            .forge
            .admin
            .post(review.notes, json!({"body": format!("Comment {n}")}));
    });
    review.comment("### Two\n").exits(0).shows("Wrote");
    review.comment("### Three\n").exits(0).shows("Updated");
    let said: Vec<_> = review.said_all();
    assert_eq!(said.len(), 103);
    assert_eq!(said[0], copy);
    assert!(said[102].contains("### Three"));
}

impl Review {
    fn said_all(&self) -> Vec<String> {
        let pages = [1, 2].map(|page| {
            let query = format!("{}?sort=asc&per_page=100&page={page}", self.notes);
            self.forge.admin.get(&query)
        });
        let notes = pages.iter().flat_map(|page| page.as_array().unwrap());
        notes
            .map(|note| note["body"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn a_lost_reply_makes_no_second_comment() {
    for when in ["before", "after"] {
        let review = Review::new();
        review
            .forge
            .arm(json!({"methods": "write", "path": "/notes$", "nth": 1, "drop": when}));
        let run = review.comment("### One\n");
        let written = usize::from(when == "after");
        assert_eq!(run.code, Some(1 - written as i32), "{}", run.all());
        assert_eq!(review.said().len(), written, "{when}");
        review.comment("### One\n").exits(0);
        assert_eq!(review.said().len(), 1, "{when}");
    }
}

fn what_is_missing_is_named() {
    let forge = Forge::new();
    forge.config("groups: {team: {}}\n");
    std::fs::write(forge.dir.path().join("plan.md"), "### One\n").unwrap();
    std::fs::write(forge.dir.path().join("empty.md"), "\n").unwrap();
    let url = ["--url", forge.url()];
    let project = [&url[..], &["--project", "ops/forge"]].concat();
    let all = [&project[..], &["--merge-request", "1"]].concat();
    for (args, says) in [
        (&[][..], "CI_SERVER_URL"),
        (&url[..], "CI_MERGE_REQUEST_PROJECT_ID"),
        (&project[..], "CI_MERGE_REQUEST_IID"),
        (&all[..], "{env: AUTOGIT_COMMENT_TOKEN}: the variable is not set"),
    ] {
        forge
            .run(&[&["comment", "plan.md"], args].concat())
            .exits(1)
            .says(says);
    }
    forge
        .run(&[&["comment", "empty.md"], &all[..]].concat())
        .exits(1)
        .says("empty.md is empty");
    forge
        .run(&[&["comment", "none.md"], &all[..]].concat())
        .exits(1)
        .says("none.md");
    assert_eq!(forge.writes(), 0);
}

fn a_token_that_may_not_is_told_so() {
    let review = Review::new();
    let (id, reads) = review.forge.user("rita", &["read_api"]);
    let member = json!({"user_id": id, "access_level": 40});
    review.forge.admin.post("projects/ops%2Fforge/members", member);
    review
        .comment_as(&reads, "### One\n")
        .exits(1)
        .says("scope")
        .says("`api`");
    let (_, stranger) = review.forge.user("sam", &["api"]);
    let run = review
        .comment_as(&stranger, "### One\n")
        .exits(1)
        .says("Reporter of the project");
    assert!(!run.all().contains(&stranger));
    assert!(review.said().is_empty());
}

fn a_plan_for_widgets_and_comment_comes_from_one_run() {
    let review = Review::new();
    let reports = [
        "--terraform-report",
        "terraform.json",
        "--junit-report",
        "junit.xml",
    ];
    let plan = review
        .forge
        .run(&[&["plan", "--format", "markdown"], &reports[..]].concat())
        .exits(0);
    let read = |name: &str| std::fs::read_to_string(review.forge.dir.path().join(name)).unwrap();
    let counts: Value = serde_json::from_str(&read("terraform.json")).unwrap();
    assert_eq!(counts, json!({"create": 1, "update": 0, "delete": 0}));
    assert!(read("junit.xml").contains("<testcase classname=\"group\" name=\"create group.team\"/>"));
    review.comment(&plan.stdout).exits(0);
    assert!(review.said()[0].contains("Plan: 1 to create"));
}
