//! Members of groups and repos: who is added, changed and removed, and who never is by mistake.

use libtest_mimic::Trial;
use reqwest::Method;
use serde_json::{Value, json};

use crate::lifecycle::steps;
use crate::support::Forge;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        members_come_change_and_go,
        who_is_unknown_is_told_with_the_line_before_anything_is_written,
        the_maker_of_a_group_gets_the_role_declared,
        an_exact_group_keeps_bots_the_acting_user_and_its_last_owner,
        at_least_removes_nobody,
        the_acting_user_is_locked_out_only_when_allowed,
        members_of_a_group_end_where_it_says_and_not_below,
        no_broken_list_of_members_removes_anybody,
        a_list_of_members_that_is_not_whole_is_told_or_read_again,
        members_of_many_repos_are_read_together,
        more_than_a_page_of_members_is_read_whole,
        without_graphql_members_are_read_by_rest,
        an_older_gitlab_is_told_ids,
    ]
}

const MEMBERS: &str = "groups/team/members";

/// The direct members at a path: name and level, by name.
fn members(forge: &Forge, at: &str) -> Vec<(String, u64)> {
    let list = forge.admin.get(&format!("{at}?per_page=100"));
    let one = |member: &Value| {
        let name = member["username"].as_str().unwrap().to_owned();
        (name, member["access_level"].as_u64().unwrap())
    };
    let mut members: Vec<_> = list.as_array().unwrap().iter().map(one).collect();
    members.sort();
    members
}

fn is(members: &[(String, u64)], expected: &[(&str, u64)]) -> bool {
    members
        .iter()
        .map(|(name, level)| (name.as_str(), *level))
        .eq(expected.iter().copied())
}

/// A forge with these users and a group that the administrator made.
fn forge(users: &[&str]) -> Forge {
    let forge = Forge::new();
    for user in users {
        forge.user(user, &["api"]);
    }
    forge
}

fn members_come_change_and_go() {
    let forge = forge(&["alice", "bob", "carol"]);
    forge.config(
        "groups: {team: {members: {alice: developer, Bob: {access_level: guest, expires_at: 2099-01-31}}}}\n\
         repos: {team/api: {members: {carol: maintainer}}}\n",
    );
    // Who joins what is made with them is no surprise to anybody.
    forge.run(&["apply", "--yes"]).exits(0);
    assert!(is(
        &members(&forge, MEMBERS),
        &[("alice", 30), ("bob", 10), ("root", 50)]
    ));
    assert!(is(
        &members(&forge, "projects/team%2Fapi/members"),
        &[("carol", 40)]
    ));
    forge.expect_converged();
    forge.config(
        "groups: {team: {members: {alice: maintainer, bob: {access_level: guest, expires_at: \"\"}, carol: reporter}}}\n\
         repos: {team/api: {members: {carol: developer}}}\n",
    );
    forge
        .run(&["apply", "--yes"])
        .exits(3)
        .shows("changed repo_member.team/api:carol")
        .says("group_member.team:alice")
        .says("group_member.team:carol");
    forge
        .run(&["apply", "--yes", "--allow", "weaken,expose"])
        .exits(0);
    assert!(is(
        &members(&forge, MEMBERS),
        &[("alice", 40), ("bob", 10), ("carol", 20), ("root", 50)]
    ));
    assert_eq!(forge.admin.get(MEMBERS)[2]["expires_at"], Value::Null);
    forge.expect_converged();
    forge.config(
        "groups: {team: {members: {alice: {absent: true}, nobody: {absent: true}}}}\nrepos: {team/api: {}}\n",
    );
    let run = forge.run(&["apply", "--yes", "--allow-shrink"]).exits(3);
    run.says("group_member.team:alice")
        .says("group_member.team:carol");
    forge
        .run(&["apply", "--yes", "--allow-shrink", "--allow", "lock-out"])
        .exits(0);
    assert!(is(&members(&forge, MEMBERS), &[("root", 50)]));
    // A collection that is not written is left, whoever filled it.
    assert!(is(&members(&forge, "projects/team%2Fapi/members"), &[]));
    forge.expect_converged();
}

fn who_is_unknown_is_told_with_the_line_before_anything_is_written() {
    let forge = forge(&["alice"]);
    forge.config("groups: {team: {members: {\n  alice: owner,\n  alicia: guest}}}\n");
    forge
        .run(&["plan"])
        .exits(1)
        .says("there is no user `alicia` on this GitLab")
        .says("autogit.yaml:5:3");
    forge.config("groups: {team: {members: {alice@example.com: owner}}}\n");
    forge
        .run(&["validate"])
        .exits(1)
        .shows("not valid")
        .says("as they sign in, without `@`");
    forge.config("groups: {team: {members: {alice: boss}}}\n");
    forge.run(&["validate"]).exits(1).says("allowed: ");
    forge.config("groups: {team: {members: {alice: {expires_at: 2099-01-31}}}}\n");
    forge
        .run(&["plan"])
        .exits(1)
        .says("no `access_level` says as what it is to be one");
}

fn the_maker_of_a_group_gets_the_role_declared() {
    let forge = forge(&["alice"]);
    forge.config(
        "groups: {team: {members: {alice: owner, root: maintainer}}, crew: {members: {root: owner}}}\n",
    );
    forge.run(&["apply", "--yes"]).exits(0);
    assert!(is(&members(&forge, MEMBERS), &[("alice", 50), ("root", 40)]));
    assert!(is(&members(&forge, "groups/crew/members"), &[("root", 50)]));
    forge.expect_converged();
}

fn an_exact_group_keeps_bots_the_acting_user_and_its_last_owner() {
    let forge = forge(&["alice", "bob", "carol"]);
    forge.config("groups: {team: {members: {alice: owner}}, team/sub: {}}\nrepos: {team/api: {}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    for (name, level) in [("bob", 50), ("carol", 30)] {
        let id = forge.admin.get(&format!("users?username={name}"))[0]["id"]
            .as_u64()
            .unwrap();
        forge.member("team", id, level);
    }
    let next_month = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 30);
    let bot = json!({"name": "ci", "scopes": ["read_api"], "access_level": 30, "expires_at": next_month.to_string()[..10]});
    forge.admin.post("groups/team/access_tokens", bot.clone());
    forge.admin.post("projects/team%2Fapi/access_tokens", bot);
    let exact = |members: &str| {
        forge.config(&format!(
            "groups: {{team: {{members_policy: exact, members: {members}}}, team/sub: {{members_policy: exact, members: {{}}}}}}\n\
             repos: {{team/api: {{members_policy: exact, members: {{}}}}}}\n"
        ));
    };
    exact("{alice: owner}");
    let removed: Vec<_> = steps(&forge, &[])
        .into_iter()
        .filter(|step| step.1 == "delete")
        .map(|step| step.0)
        .collect();
    assert_eq!(removed, ["group_member.team:bob", "group_member.team:carol"]);
    forge.run(&["apply", "--yes"]).exits(3).says("held back");
    forge.run(&["apply", "--yes", "--allow", "lock-out"]).exits(0);
    let left = members(&forge, MEMBERS);
    assert_eq!(left.len(), 3, "alice, root and the bot: {left:?}");
    assert_eq!(members(&forge, "projects/team%2Fapi/members").len(), 1);
    forge.expect_converged();
    // Nobody but the acting user would own it then: they may be demoted, the last owner not.
    exact("{alice: guest, root: guest}");
    forge
        .run(&["apply", "--yes", "--allow", "lock-out"])
        .exits(1)
        .says("left without an owner");
    assert!(members(&forge, MEMBERS).contains(&("alice".to_owned(), 50)));
}

fn at_least_removes_nobody() {
    let forge = forge(&["alice", "bob", "carol"]);
    forge.config("groups: {team: {members: {alice: owner}}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    let bob = forge.admin.get("users?username=bob")[0]["id"].as_u64().unwrap();
    forge.member("team", bob, 30);
    forge.config("prune: all\ngroups: {team: {members_policy: at_least, members: {alice: owner}}}\n");
    forge.expect_converged();
    // Not even whom AutoGit added: they are let go.
    forge.config("groups: {team: {members_policy: at_least, members: {alice: owner, carol: guest}}}\n");
    forge.run(&["apply", "--yes", "--allow", "expose"]).exits(0);
    forge.config("prune: all\ngroups: {team: {members_policy: at_least, members: {alice: owner}}}\n");
    forge
        .run(&["apply", "--yes"])
        .exits(0)
        .shows("released group_member.team:carol");
    assert!(members(&forge, MEMBERS).contains(&("carol".to_owned(), 10)));
    forge.config("prune: all\ngroups: {team: {members: {alice: owner}}}\n");
    assert_eq!(
        steps(&forge, &[]),
        ["bob", "carol"].map(|name| (
            format!("group_member.team:{name}"),
            "delete".to_owned(),
            "extra".to_owned()
        ))
    );
}

fn the_acting_user_is_locked_out_only_when_allowed() {
    let forge = forge(&["alice"]);
    forge.config("groups: {team: {members: {alice: owner, root: owner}}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    for config in ["root: developer", "root: {absent: true}"] {
        forge.config(&format!(
            "groups: {{team: {{members: {{alice: owner, {config}}}}}}}\n"
        ));
        let run = forge
            .run(&["apply", "--yes", "--allow", "weaken,expose,destroy"])
            .exits(3);
        run.says("group_member.team:root").shows("locks out");
        assert!(members(&forge, MEMBERS).contains(&("root".to_owned(), 50)));
    }
    forge.run(&["apply", "--yes", "--allow", "lock-out"]).exits(0);
    assert!(is(&members(&forge, MEMBERS), &[("alice", 50)]));
}

fn members_of_a_group_end_where_it_says_and_not_below() {
    let forge = forge(&["alice"]);
    forge.config("groups: {team: {members: {alice: guest}}, team/sub: {members: {alice: maintainer}}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    forge.config(
        "groups: {team: {members: {alice: {absent: true}}}, team/sub: {members: {alice: maintainer}}}\n",
    );
    forge.run(&["apply", "--yes", "--allow", "lock-out"]).exits(0);
    assert!(members(&forge, "groups/team%2Fsub/members").contains(&("alice".to_owned(), 40)));
    forge.expect_converged();
}

/// Lists cut short, refused or broken: at worst the run fails.
fn no_broken_list_of_members_removes_anybody() {
    let forge = forge(&["alice", "bob"]);
    let config = "prune: all\ngroups: {team: {members: {alice: owner, bob: guest, root: owner}}}\nrepos: {team/api: {members: {bob: developer}}}\n";
    forge.config(config);
    forge.run(&["apply", "--yes"]).exits(0);
    let world = || {
        (
            members(&forge, MEMBERS),
            members(&forge, "projects/team%2Fapi/members"),
            forge.ledger(),
        )
    };
    let before = world();
    for path in ["/members$", "^/api/graphql$"] {
        for fault in [
            json!({"truncate": {"keep": 0}}),
            json!({"truncate": {"keep": 1, "adjust_headers": true}}),
            json!({"status": 403}),
            json!({"status": 404}),
            json!({"status": 200, "body": []}),
            json!({"status": 200, "body": {"data": {"projects": {"nodes": []}, "groups": {"nodes": []}}}}),
        ] {
            let mut rule = fault;
            rule["path"] = path.into();
            rule["methods"] = "read".into();
            forge.arm(rule.clone());
            let run = forge.run(&["apply", "--yes", "--allow", "weaken,expose,lock-out,destroy"]);
            forge.disarm();
            assert_eq!(world(), before, "{rule}: {}", run.all());
        }
    }
}

fn a_list_of_members_that_is_not_whole_is_told_or_read_again() {
    let forge = forge(&["alice"]);
    forge.config("groups: {team: {members_policy: exact, members: {alice: owner}}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    let group = forge.admin.get("groups/team")["id"].as_u64().unwrap();
    let members = forge.admin.get(MEMBERS);
    let none = json!({"pageInfo": {"hasNextPage": false}, "nodes": null});
    let none = json!({"id": format!("gid://gitlab/Group/{group}"), "groupMembers": none});
    forge.arm(
        json!({"path": "^/api/graphql$", "status": 200, "body": {"data": {"groups": {"nodes": [none]}}}}),
    );
    forge.expect_converged();
    // One that comes twice moved between two pages, and another may be missing for it.
    forge.arm(
        json!({"methods": "read", "path": "/members$", "status": 200, "body": [members[0], members[0]]}),
    );
    let run = forge.run(&["apply", "--yes", "--allow", "lock-out"]).exits(1);
    run.says("the list of members changed while it was read");
    forge.disarm();
    assert_eq!(forge.admin.get(MEMBERS), members);
}

/// So many repos with a member each.
fn many(repos: usize) -> String {
    let repos: Vec<String> = (0..repos)
        .map(|n| format!("  team/repo-{n}: {{members: {{alice: developer}}}}\n"))
        .collect();
    format!("groups: {{team: {{}}}}\nrepos:\n{}", repos.concat())
}

fn members_of_many_repos_are_read_together() {
    let forge = forge(&["alice"]);
    forge.config(&many(120));
    forge.run(&["apply", "--yes"]).exits(0);
    forge
        .admin
        .send(Method::DELETE, "/-/sandbox/counters", None)
        .expect(204);
    forge.expect_converged();
    let reads = forge.admin.get("/-/sandbox/counters")["reads"].as_u64().unwrap();
    assert!(reads <= 15, "{reads} requests for the members of 120 repos");
}

fn more_than_a_page_of_members_is_read_whole() {
    let forge = forge(&["alice"]);
    forge.config("groups: {team: {members: {alice: owner}}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    for n in 0..110 {
        let (id, _) = forge.user(&format!("user-{n}"), &["api"]);
        forge.member("team", id, 10);
    }
    let all: Vec<String> = (0..110).map(|n| format!("user-{n}: guest")).collect();
    forge.config(&format!(
        "groups: {{team: {{members: {{alice: owner, {}}}}}}}\n",
        all.join(", ")
    ));
    let adopted = steps(&forge, &[]);
    assert!(adopted.len() == 110 && adopted.iter().all(|step| step.1 == "adopt"));
}

fn without_graphql_members_are_read_by_rest() {
    let forge = forge(&["alice"]);
    forge.config("groups: {team: {members: {alice: owner}}}\nrepos: {team/api: {members: {alice: owner}}}\n");
    forge.run(&["apply", "--yes"]).exits(0);
    let error = json!({"message": "Field 'projectMembers' doesn't exist on type 'Project'"});
    forge.arm(json!({"path": "^/api/graphql$", "status": 200, "body": {"errors": [error]}}));
    forge.expect_converged();
}

fn an_older_gitlab_is_told_ids() {
    let forge = forge(&["alice"]);
    forge.config("groups: {team: {members: {alice: owner}}}\n");
    let body = json!({"error": "user_id is missing"});
    forge.arm(json!({"methods": "write", "path": "/members$", "nth": 1, "status": 400, "body": body}));
    forge.run(&["apply", "--yes"]).exits(0);
    forge.expect_converged();
}
