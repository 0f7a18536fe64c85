//! What comes, goes, moves and stays: pruning, absence, release, adoption, renames, and the order of it all.

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Forge;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        what_autogit_made_is_pruned_and_what_it_adopted_is_released,
        prune_none_leaves_everything,
        prune_all_holds_declared_collections_complete,
        groups_and_repos_are_never_pruned,
        absent_removes_only_when_allowed,
        what_is_more_visible_than_its_group_is_told_before_anything_is_written,
        drift_and_a_config_change_are_told_apart,
        a_target_brings_what_it_needs_and_prunes_nothing,
        archiving_waits_and_unarchiving_comes_first,
        visibility_rises_from_the_top_and_falls_from_the_bottom,
    ]
}

const API: &str = "projects/team%2Fapi";

/// A repo with these protections.
fn api(rules: &str) -> String {
    format!("groups: {{team: {{}}}}\nrepos: {{team/api: {{protected_branches: {{{rules}}}}}}}\n")
}

/// The names of the repo's rules.
fn rules(forge: &Forge) -> Vec<String> {
    let rules = forge.admin.get(&format!("{API}/protected_branches"));
    let mut names: Vec<_> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// The steps of a plan: address, action, reason.
pub fn steps(forge: &Forge, args: &[&str]) -> Vec<(String, String, String)> {
    let args = [&["plan", "--format", "json"], args].concat();
    let plan = forge.run(&args).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let steps = plan["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            (
                text(&step["address"]),
                text(&step["action"]),
                text(&step["reason"]),
            )
        })
        .collect()
}

fn step(address: &str, action: &str, reason: &str) -> (String, String, String) {
    (address.to_owned(), action.to_owned(), reason.to_owned())
}

fn what_autogit_made_is_pruned_and_what_it_adopted_is_released() {
    let forge = Forge::applied(&api("main: {}, ours: {}"));
    forge
        .admin
        .post(&format!("{API}/protected_branches"), json!({"name": "theirs"}));
    forge
        .admin
        .post(&format!("{API}/protected_branches"), json!({"name": "unknown"}));
    forge.config(&api("main: {}, ours: {}, theirs: {}"));
    forge
        .run(&["apply", "--yes", "--allow-shrink"])
        .exits(0)
        .shows("adopted protected_branch.team/api:theirs");
    forge.config(&api("main: {}"));
    assert_eq!(
        steps(&forge, &[]),
        [
            step("protected_branch.team/api:theirs", "release", "left_the_file"),
            step("protected_branch.team/api:ours", "delete", "undeclared"),
        ]
    );
    forge
        .run(&["apply", "--yes", "--allow-shrink"])
        .exits(3)
        .says("held back")
        .says("protected_branch.team/api:ours");
    assert_eq!(rules(&forge), ["main", "ours", "theirs", "unknown"]);
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--allow", "weaken"])
        .exits(0);
    assert_eq!(rules(&forge), ["main", "theirs", "unknown"]);
    forge.expect_converged();
}

fn prune_none_leaves_everything() {
    let forge = Forge::applied(&api("main: {}, ours: {}"));
    forge.config(&format!("prune: none\n{}", api("main: {}")));
    forge
        .run(&["apply", "--yes", "--allow-shrink"])
        .exits(0)
        .shows("released protected_branch.team/api:ours");
    assert_eq!(rules(&forge), ["main", "ours"]);
    forge.expect_converged();
}

fn prune_all_holds_declared_collections_complete() {
    let forge = Forge::applied(&api("main: {}, ours: {}"));
    forge
        .admin
        .post(&format!("{API}/protected_branches"), json!({"name": "theirs"}));
    forge.config(&format!("prune: all\n{}", api("main: {}")));
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--allow", "weaken"])
        .exits(0);
    assert_eq!(rules(&forge), ["main"]);
    // A collection that is not declared is nobody's business.
    forge
        .admin
        .post(&format!("{API}/protected_branches"), json!({"name": "theirs"}));
    forge.config("prune: all\ngroups: {team: {}}\nrepos: {team/api: {}}\n");
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--allow", "weaken"])
        .exits(0);
    assert!(rules(&forge).contains(&"theirs".to_owned()));
}

fn groups_and_repos_are_never_pruned() {
    let forge =
        Forge::applied("groups: {team: {}, crew: {}}\nrepos: {team/api: {protected_branches: {main: {}}}}\n");
    for prune in ["owned", "all"] {
        forge.config(&format!("prune: {prune}\ngroups: {{team: {{}}}}\nrepos: {{}}\n"));
        let gone = steps(&forge, &[])
            .into_iter()
            .filter(|step| step.1 == "delete")
            .count();
        assert_eq!(gone, 0, "{prune}");
    }
    forge.run(&["apply", "--yes", "--allow-shrink"]).exits(0);
    assert!(forge.admin.has(API) && forge.admin.has("groups/crew"));
    assert_eq!(rules(&forge), ["main"]);
    assert_eq!(forge.ledger().len(), 1);
    forge.expect_converged();
}

fn absent_removes_only_when_allowed() {
    let forge = Forge::applied(&api("main: {}"));
    forge.config("groups: {team: {}}\nrepos: {team/api: {absent: true}, team/never: {absent: true}}\n");
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--allow", "weaken"])
        .exits(3)
        .says("held back");
    assert!(forge.admin.has(API));
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--allow", "destroy"])
        .exits(0)
        .shows("deleted repo.team/api");
    assert!(!forge.admin.has(API));
    forge.expect_converged();
    assert_eq!(forge.ledger().len(), 1);
    forge.config("groups: {team: {absent: true}}\nrepos: {team/api: {}}\n");
    forge
        .run(&["plan"])
        .exits(1)
        .says("`team`, which holds it, is declared absent");
}

fn what_is_more_visible_than_its_group_is_told_before_anything_is_written() {
    let forge = Forge::new();
    forge.config("groups: {team: {visibility: private}}\nrepos: {team/api: {visibility: public}}\n");
    let plan = forge.run(&["plan"]).exits(1);
    plan.says("its visibility `public` is more than the `private` of group.team");
}

fn drift_and_a_config_change_are_told_apart() {
    let forge =
        Forge::applied("groups: {team: {}}\nrepos: {team/api: {description: One, merge_method: merge}}\n");
    forge.admin.put(API, json!({"description": "Mine"}));
    assert_eq!(steps(&forge, &[]), [step("repo.team/api", "update", "drift")]);
    forge.run(&["plan"]).exits(0).shows("changed outside AutoGit");
    forge.config("groups: {team: {}}\nrepos: {team/api: {description: One, merge_method: ff}}\n");
    assert_eq!(
        steps(&forge, &[]),
        [step("repo.team/api", "update", "config_changed")]
    );
    forge.run(&["apply", "--yes", "--allow-shrink"]).exits(0);
    forge.expect_converged();
    forge.admin.send(Method::DELETE, API, None).expect(202);
    assert_eq!(steps(&forge, &[]), [step("repo.team/api", "create", "vanished")]);
}

fn a_target_brings_what_it_needs_and_prunes_nothing() {
    let forge = Forge::applied(&api("main: {}, ours: {}"));
    forge.config(
        "groups: {team: {}, team/sub: {}, crew: {}}\nrepos: {team/api: {protected_branches: {main: {}}}, team/sub/web: {}, crew/web: {}}\n",
    );
    let run = forge.run(&[
        "apply",
        "--yes",
        "--allow-shrink",
        "--allow",
        "weaken",
        "--target",
        "repo.team/*",
    ]);
    run.exits(0)
        .shows("created group.team/sub")
        .shows("created repo.team/sub/web");
    assert!(!forge.admin.has("groups/crew"));
    assert_eq!(rules(&forge), ["main", "ours"]);
    forge
        .run(&["plan", "--target", "repo.nothing/*"])
        .exits(1)
        .says("matches nothing");
    forge
        .run(&["plan", "--target", "repo.team/*", "--format", "json"])
        .exits(0)
        .shows("\"partial\": true");
}

fn archiving_waits_and_unarchiving_comes_first() {
    let config = |archived: bool, level: &str| {
        format!(
            "groups: {{team: {{}}}}\nrepos: {{team/api: {{archived: {archived}, protected_branches: {{main: {{push_access_level: {level}}}}}}}}}\n"
        )
    };
    let forge = Forge::applied(&config(true, "no_one"));
    assert_eq!(forge.admin.get(API)["archived"], true);
    forge.expect_converged();
    // GitLab takes no change to what is in an archived repo.
    forge.config(&config(true, "maintainer"));
    forge.run(&["plan"]).exits(1).says("is archived");
    forge.config(&config(false, "maintainer"));
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--allow", "weaken"])
        .exits(0);
    forge.expect_converged();
    forge.config(&config(true, "no_one"));
    forge.run(&["apply", "--yes", "--allow-shrink"]).exits(0);
    forge.expect_converged();
}

fn visibility_rises_from_the_top_and_falls_from_the_bottom() {
    let config = |visibility: &str| {
        format!(
            "groups: {{team: {{visibility: {visibility}}}, team/sub: {{visibility: {visibility}}}}}\nrepos: {{team/sub/api: {{visibility: {visibility}}}}}\n"
        )
    };
    let forge = Forge::applied(&config("private"));
    forge.config(&config("public"));
    forge
        .run(&["apply", "--yes", "--allow-shrink"])
        .exits(3)
        .says("held back");
    assert_eq!(forge.admin.get("groups/team")["visibility"], "private");
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--allow", "expose"])
        .exits(0);
    forge.expect_converged();
    forge.config(&config("private"));
    forge.run(&["apply", "--yes", "--allow-shrink"]).exits(0);
    forge.expect_converged();
}
