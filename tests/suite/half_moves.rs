//! Moves: in one step or two, with what is inside and around, and what is there that must not be mistaken.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::Forge;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        a_move_stopped_half_way_goes_on_from_there,
        what_an_interrupted_move_may_have_left_is_not_made_anew,
        a_rename_within_a_group_that_is_renamed_too_exposes_nothing,
        what_stands_for_the_default_branch_follows_it,
        a_move_survives_lost_replies,
        a_rule_that_somebody_else_makes_meanwhile_is_not_taken_over,
        a_path_taken_by_something_unseen_is_not_made,
    ]
}

const ALLOW: [&str; 4] = ["apply", "--yes", "--allow", "weaken,expose,destroy"];

/// Applies the config, killed right after it moved something to another group.
fn killed_after_transfer(forge: &Forge) {
    let run = forge.start_when(&ALLOW, |pid| {
        forge.arm(json!({"methods": "write", "path": "/transfer$", "kill": {"pid": pid, "when": "after"}}));
    });
    assert_eq!(run.wait().code, None, "it was to be killed");
    forge.disarm();
}

/// The id of what is at a path.
fn id(forge: &Forge, path: &str) -> Value {
    forge.admin.get(path)["id"].clone()
}

fn a_move_stopped_half_way_goes_on_from_there() {
    let forge = Forge::applied(
        "groups: {one: {}, two: {}, one/in: {}}
repos: {one/aaa: {protected_branches: {v1: {push_access_level: no_one}}}, one/in/r: {protected_branches: {v1: {}}}}\n",
    );
    let (repo, inner) = (
        id(&forge, "projects/one%2Faaa"),
        id(&forge, "projects/one%2Fin%2Fr"),
    );
    let repos =
        "repos: {two/bbb: {moved_from: one/aaa, protected_branches: {v1: {push_access_level: no_one}}}";
    forge.config(&format!(
        "groups: {{one: {{}}, two: {{}}, one/in: {{}}}}\n{repos}, one/in/r: {{protected_branches: {{v1: {{}}}}}}}}\n"
    ));
    killed_after_transfer(&forge);
    forge.run(&["plan"]).exits(0).shows("two/aaa → two/bbb");
    forge.run(&ALLOW).exits(0);
    forge.expect_converged();
    assert_eq!(id(&forge, "projects/two%2Fbbb"), repo);

    forge.config(&format!(
        "groups: {{one: {{}}, two: {{}}, two/out: {{moved_from: one/in}}}}\n{repos}, two/out/r: {{protected_branches: {{v1: {{}}}}}}}}\n"
    ));
    killed_after_transfer(&forge);
    let plan = forge.run(&["plan"]).exits(0).shows("two/in → two/out");
    assert!(!plan.stdout.contains("protected_branch"), "{}", plan.all());
    forge.run(&ALLOW).exits(0);
    forge.expect_converged();
    assert_eq!(id(&forge, "projects/two%2Fout%2Fr"), inner);
}

fn a_move_survives_lost_replies() {
    for when in ["before", "after"] {
        let forge = Forge::applied("groups: {one: {}, two: {}, one/in: {}}\nrepos: {one/aaa: {}}\n");
        forge.config(
            "groups: {one: {}, two: {}, two/out: {moved_from: one/in}}\nrepos: {two/bbb: {moved_from: one/aaa}}\n",
        );
        forge.arm(json!({"methods": "write", "path": "/transfer$", "count": 2, "drop": when}));
        forge.run(&ALLOW).exits(0);
        forge.expect_converged();
    }
}

fn what_an_interrupted_move_may_have_left_is_not_made_anew() {
    let forge = Forge::applied("groups: {one: {}, two: {}}\n");
    let one = id(&forge, "groups/one");
    let repo = forge
        .admin
        .post("projects", json!({"path": "aaa", "namespace_id": one}));
    forge.config("groups: {one: {}, two: {}}\nrepos: {two/bbb: {moved_from: one/aaa}}\n");
    killed_after_transfer(&forge);
    forge.run(&ALLOW).exits(1).says("moved_from: two/aaa");
    assert!(!forge.admin.has("projects/two%2Fbbb"));
    forge.config("groups: {one: {}, two: {}}\nrepos: {two/bbb: {moved_from: two/aaa}}\n");
    forge.run(&ALLOW).exits(0);
    forge.expect_converged();
    assert_eq!(id(&forge, "projects/two%2Fbbb"), repo["id"]);
}

fn a_rename_within_a_group_that_is_renamed_too_exposes_nothing() {
    let forge = Forge::applied("groups: {team: {}}\nrepos: {team/r: {}, team/kept: {}}\n");
    forge.config(
        "groups: {crew: {moved_from: team}}
repos: {crew/s: {moved_from: team/r}, crew/kept: {moved_from: team/kept}}\n",
    );
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
    assert!(forge.admin.has("projects/crew%2Fs") && forge.admin.has("projects/crew%2Fkept"));
}

fn what_stands_for_the_default_branch_follows_it() {
    let repo = |branch: &str| {
        format!(
            "groups: {{team: {{}}}}
repos:
  team/r:
    initialize_with_readme: true
    default_branch: {branch}
    protected_branches: {{\"@default\": {{push_access_level: no_one, merge_access_level: maintainer}}}}\n"
        )
    };
    let forge = Forge::applied(&repo("main"));
    forge.admin.post(
        "projects/team%2Fr/repository/branches",
        json!({"branch": "trunk", "ref": "main"}),
    );
    forge.config(&repo("trunk"));
    forge.run(&ALLOW).exits(0);
    forge.expect_converged();
    let rule = forge.admin.get("projects/team%2Fr/protected_branches/trunk");
    assert_eq!(rule["push_access_levels"][0]["access_level"], 0);
}

fn a_rule_that_somebody_else_makes_meanwhile_is_not_taken_over() {
    let forge = Forge::applied("groups: {team: {}}\nrepos: {team/r: {}}\n");
    forge.config(
        "groups: {team: {}}\nrepos: {team/r: {protected_branches: {v1: {push_access_level: no_one}}}}\n",
    );
    let late = json!({"methods": "write", "path": "/protected_branches$", "count": 1, "latency_ms": 1000});
    let fault = forge.arm(late);
    let run = forge.start(&["apply", "--yes"]);
    forge.wait_for(fault);
    forge.admin.post(
        "projects/team%2Fr/protected_branches",
        json!({"name": "v1", "push_access_level": 30}),
    );
    run.wait().exits(1).says("v1");
    let rule = forge.admin.get("projects/team%2Fr/protected_branches/v1");
    assert_eq!(rule["push_access_levels"][0]["access_level"], 30);
}

fn a_path_taken_by_something_unseen_is_not_made() {
    let forge = Forge::new();
    let (_, token) = forge.user("rita", &["api"]);
    let hidden = json!({"path": "team", "name": "team", "visibility": "private"});
    forge.admin.post("groups", hidden);
    forge.config("groups: {team: {}, free: {}}\n");
    let plan = forge
        .run_as(&token, &["plan"])
        .exits(1)
        .says("taken by something that this token cannot see");
    assert!(plan.stdout.contains("group.free"), "{}", plan.all());
}
