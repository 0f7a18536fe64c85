//! Renames and transfers by `moved_from`, and what only GitLab can say is wrong.

use libtest_mimic::Trial;
use serde_json::json;

use crate::lifecycle::steps;
use crate::support::Forge;
use crate::variables::set;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_group_moves_with_all_that_is_in_it,
        members_and_variables_move_along,
        a_repo_is_renamed_and_transferred_in_one_go,
        both_paths_existing_is_an_error,
        a_path_that_only_redirects_is_free,
        once_moved_the_former_path_need_not_be_told,
        paths_compare_without_case,
        a_missing_parent_is_named_with_its_line,
        enterprise_fields_are_refused_with_their_line,
        more_changes_than_allowed_are_refused,
        nothing_is_asked_without_a_terminal,
    ]
}

const RULE: &str = "protected_branches: {main: {push_access_level: no_one}}";

fn a_group_moves_with_all_that_is_in_it() {
    let forge = Forge::applied(&format!(
        "groups: {{team: {{}}, team/sub: {{}}, crew: {{}}}}\nrepos: {{team/sub/api: {{{RULE}}}, team/web: {{}}}}\n"
    ));
    let id = forge.admin.get("projects/team%2Fsub%2Fapi")["id"].clone();
    forge.config(&format!(
        "groups: {{club: {{moved_from: team}}, club/sub: {{}}, crew: {{}}}}\nrepos: {{club/sub/api: {{{RULE}}}, club/web: {{}}}}\n"
    ));
    let moved = (
        "group.club".to_owned(),
        "update".to_owned(),
        "config_changed".to_owned(),
    );
    assert_eq!(steps(&forge, &[]), [moved]);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
    assert_eq!(forge.admin.get("projects/club%2Fsub%2Fapi")["id"], id);
    assert!(forge.ledger().iter().all(|(_, origin)| origin == "created"));
    assert_eq!(forge.ledger().len(), 6);
    // Into another group: what is in it gets other members.
    forge.config(&format!(
        "groups: {{club: {{}}, crew: {{}}, crew/inner: {{moved_from: club/sub}}}}\nrepos: {{crew/inner/api: {{{RULE}}}, club/web: {{}}}}\n"
    ));
    forge.run(&["apply", "--yes"]).exits(3).says("held back");
    forge.run(&["apply", "--yes", "--allow", "expose"]).exits(0);
    forge.expect_converged();
    assert_eq!(forge.admin.get("projects/crew%2Finner%2Fapi")["id"], id);
}

fn members_and_variables_move_along() {
    let forge = Forge::new();
    forge.user("alice", &["api"]);
    set(&forge, "one", "some-value");
    let within = "members: {alice: owner}, variables: {K: {value: {file: one}}, \"K:production\": {value: {file: one}}}";
    let exact = format!("members_policy: exact, {within}");
    forge.config(&format!(
        "prune: all\ngroups: {{team: {{{exact}}}, team/sub: {{{exact}}}}}\nrepos: {{team/sub/api: {{{exact}}}, team/web: {{{exact}}}}}\n"
    ));
    forge.run(&["apply", "--yes"]).exits(0);
    let before = forge.ledger().len();
    // Spelt in another case, a user is the same user.
    let exact = exact.replace("alice", "Alice");
    forge.config(&format!(
        "prune: all\ngroups: {{club: {{moved_from: team, {exact}}}, club/sub: {{{exact}}}}}\n\
         repos: {{club/sub/api: {{{exact}}}, club/site: {{moved_from: team/web, {exact}}}}}\n"
    ));
    let moved = |address: &str| {
        let reason = "config_changed".to_owned();
        (address.to_owned(), "update".to_owned(), reason)
    };
    assert_eq!(steps(&forge, &[]), [moved("group.club"), moved("repo.club/site")]);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
    let ledger = forge.ledger();
    assert_eq!(ledger.len(), before, "{ledger:?}");
    assert!(
        ledger
            .iter()
            .all(|(address, origin)| origin == "created" && address.contains("club")),
        "{ledger:?}"
    );
    for at in [
        "groups/club",
        "groups/club%2Fsub",
        "projects/club%2Fsub%2Fapi",
        "projects/club%2Fsite",
    ] {
        let list = forge.admin.get(&format!("{at}/variables"));
        assert_eq!(list.as_array().unwrap().len(), 2, "{at}");
    }
}

fn a_repo_is_renamed_and_transferred_in_one_go() {
    let forge = Forge::applied(&format!(
        "groups: {{team: {{}}, crew: {{}}}}\nrepos: {{team/old: {{{RULE}}}}}\n"
    ));
    let id = forge.admin.get("projects/team%2Fold")["id"].clone();
    // The rule goes with the move: it is pruned where it is then.
    forge.config(
        "groups: {team: {}, crew: {}}\nrepos: {crew/young: {moved_from: team/old, description: Moved}}\n",
    );
    forge
        .run(&["apply", "--yes", "--allow", "expose,weaken"])
        .exits(0);
    forge.expect_converged();
    let moved = forge.admin.get("projects/crew%2Fyoung");
    assert_eq!((&moved["id"], &moved["description"]), (&id, &json!("Moved")));
    let rules = forge.admin.get("projects/crew%2Fyoung/protected_branches");
    assert_eq!(rules, json!([]));
}

fn both_paths_existing_is_an_error() {
    let forge = Forge::applied("groups: {team: {}}\nrepos: {team/old: {}, team/young: {}}\n");
    let writes = forge.writes();
    forge.config("groups: {team: {}}\nrepos:\n  team/young: {moved_from: team/old}\n");
    forge
        .run(&["apply", "--yes"])
        .exits(1)
        .says("both `team/young` and `team/old`")
        .says("autogit.yaml:5:3");
    assert_eq!(forge.writes(), writes);
}

fn a_path_that_only_redirects_is_free() {
    let forge = Forge::applied("groups: {team: {}}\nrepos: {team/old: {}}\n");
    // Repos of one group have different display names, too.
    forge.config("groups: {team: {}}\nrepos: {team/young: {moved_from: team/old, name: Young}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.config("groups: {team: {}}\nrepos: {team/young: {}, team/old: {}}\n");
    let made = (
        "repo.team/old".to_owned(),
        "create".to_owned(),
        "missing".to_owned(),
    );
    assert_eq!(steps(&forge, &[]), [made]);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}

fn once_moved_the_former_path_need_not_be_told() {
    let forge = Forge::applied(&format!(
        "groups: {{team: {{}}}}\nrepos: {{team/old: {{{RULE}}}}}\n"
    ));
    forge.config(&format!(
        "groups: {{team: {{}}}}\nrepos: {{team/young: {{moved_from: team/old, {RULE}}}}}\n"
    ));
    forge.run(&["plan", "--out", "plan.json"]).exits(0);
    forge.run(&["apply", "plan.json"]).exits(0);
    forge.expect_converged();
    forge.config(&format!(
        "groups: {{team: {{}}}}\nrepos: {{team/young: {{{RULE}}}}}\n"
    ));
    forge.expect_converged();
}

fn paths_compare_without_case() {
    let forge = Forge::new();
    let group = forge
        .admin
        .post("groups", json!({"path": "Team", "name": "Team"}));
    forge
        .admin
        .post("projects", json!({"path": "API", "namespace_id": group["id"]}));
    forge.config("groups: {team: {}}\nrepos: {team/api: {}}\n");
    let actions: Vec<_> = steps(&forge, &[]).into_iter().map(|step| step.1).collect();
    assert_eq!(actions, ["adopt", "adopt"]);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}

fn a_missing_parent_is_named_with_its_line() {
    let forge = Forge::new();
    forge.config("groups: {team: {}}\nrepos:\n  team/api: {}\n  nowhere/api: {}\n");
    forge
        .run(&["plan"])
        .exits(1)
        .says("group.nowhere is neither declared nor there")
        .says("autogit.yaml:6:3")
        .says("nowhere/api: {}");
    forge
        .run(&["apply", "--yes"])
        .exits(1)
        .shows("created repo.team/api");
}

fn enterprise_fields_are_refused_with_their_line() {
    let config = "groups: {team: {}}\nrepos:\n  team/api:\n    protected_branches:\n      main:\n        code_owner_approval_required: true\n";
    let forge = Forge::new();
    forge.config(config);
    forge.run(&["validate"]).exits(0);
    forge
        .run(&["plan"])
        .exits(1)
        .says("only the Enterprise Edition knows `code_owner_approval_required`")
        .says("autogit.yaml:8:");
    let forge = Forge::with(|options| options.edition = gitlab_sandbox::Edition::Ee);
    forge.config(config);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}

fn more_changes_than_allowed_are_refused() {
    let forge = Forge::new();
    forge.config("groups: {team: {}}\nrepos: {team/api: {}}\n");
    let writes = forge.writes();
    let refused = forge.run(&["apply", "--yes", "--max-changes", "1"]);
    refused.exits(1).says("--max-changes is 1");
    assert_eq!(forge.writes(), writes);
    forge.run(&["apply", "--yes", "--max-changes", "2"]).exits(0);
}

fn nothing_is_asked_without_a_terminal() {
    let forge = Forge::new();
    forge.config("groups: {team: {}}\n");
    let writes = forge.writes();
    let run = forge.run(&["apply"]);
    assert!(run.code == Some(1) || run.code == Some(3), "{}", run.all());
    run.says("no terminal").says("--yes");
    assert_eq!(forge.writes(), writes);
}
