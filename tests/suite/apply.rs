//! What an apply makes of a config, and that a plan afterwards is empty.

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::Forge;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        an_apply_leaves_nothing_to_plan,
        a_plan_needs_no_more_than_read_api_and_writes_nothing,
        a_report_is_one_document_and_lists_every_step,
        what_gitlab_changes_along_the_way_is_put_right_in_a_second_round,
        a_shrunken_config_stops_whatever_max_changes_says,
    ]
}

/// A bit of everything.
const SMALL: &str = r#"
groups:
  team: {visibility: internal, description: A team}
  team/tools: {}
repos:
  team/api:
    visibility: internal
    initialize_with_readme: true
    topics: [b, a]
    merge_method: ff
    container_expiration_policy: {enabled: true, keep_n: 10, cadence: 7d}
    protected_branches:
      "@default": {push_access_level: no_one, merge_access_level: maintainer}
      "release/*": {push_access_level: maintainer, merge_access_level: developer, allow_force_push: true}
  team/tools/deploy: {description: "Lines\nof text", archived: true}
"#;

fn an_apply_leaves_nothing_to_plan() {
    let forge = Forge::new();
    forge.config(SMALL);
    let applied = forge
        .run(&["apply", "--yes"])
        .exits(0)
        .shows("created repo.team/api");
    assert!(!applied.stderr.contains("error"), "{}", applied.all());
    forge.expect_converged();
    let again = forge.run(&["apply", "--yes"]).exits(0);
    assert!(again.stdout.contains("0 done"), "{}", again.all());
    assert!(again.stdout.contains("0 writes"), "{}", again.all());
    forge.expect_converged();
    let api = forge.admin.get("projects/team%2Fapi");
    assert_eq!(api["merge_method"], "ff");
    assert_eq!(api["topics"], json!(["a", "b"]));
    assert_eq!(api["container_expiration_policy"]["keep_n"], 10);
    assert_eq!(
        forge.admin.get("projects/team%2Ftools%2Fdeploy")["archived"],
        true
    );
}

fn a_plan_needs_no_more_than_read_api_and_writes_nothing() {
    let forge = Forge::new();
    let (_, token) = forge.user("rita", &["read_api"]);
    let group = forge
        .admin
        .post("groups", json!({"path": "team", "name": "team"}));
    let rita = forge.admin.get("users?username=rita");
    forge.member("team", rita[0]["id"].as_u64().unwrap(), 50);
    forge.config("groups: {team: {description: New}}\nrepos: {team/api: {}}\n");
    let writes = forge.writes();
    let plan = forge
        .run_as(&token, &["plan", "--detailed-exitcode"])
        .exits(2)
        .shows("repo.team/api");
    assert!(plan.stdout.contains("0 writes"), "{}", plan.all());
    assert_eq!(forge.writes(), writes);
    let group = forge.admin.get(&format!("groups/{}", group["id"]));
    assert_eq!(group["description"], "");
}

fn a_report_is_one_document_and_lists_every_step() {
    let forge = Forge::new();
    forge.config("groups: {team: {}}\nrepos: {team/api: {visibility: private}}\n");
    let report = forge.run(&["apply", "--yes", "--format", "json"]).exits(0).json();
    let step = |address: &str| json!({"address": address, "action": "create", "result": "done"});
    assert_eq!(
        report["steps"],
        json!([step("group.team"), step("repo.team/api")])
    );
    assert_eq!((&report["done"], &report["not_done"]), (&json!(2), &json!(0)));
}

fn what_gitlab_changes_along_the_way_is_put_right_in_a_second_round() {
    let config = |setting: &str| {
        format!(
            "groups: {{team: {{shared_runners_setting: {setting}}}}}\n\
             repos: {{team/api: {{shared_runners_enabled: true}}}}\n"
        )
    };
    let forge = Forge::applied(&config("enabled"));
    forge.config(&config("disabled_and_overridable"));
    forge
        .run(&["apply", "--yes"])
        .exits(0)
        .shows("changed group.team")
        .shows("changed repo.team/api");
    forge.expect_converged();
}

fn a_shrunken_config_stops_whatever_max_changes_says() {
    let forge = Forge::applied("groups: {red: {}, green: {}, blue: {}}\n");
    forge.config("groups: {red: {}, green: {}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.config("groups: {}\n");
    forge
        .run(&["apply", "--yes", "--max-changes", "100"])
        .exits(1)
        .says("2 of 2 managed resources are not declared any more");
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--max-changes", "0"])
        .exits(0);
    assert_eq!(forge.ledger(), []);
}
