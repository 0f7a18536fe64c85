//! Branch rules: who sees them, in which order, and how mutations change them.

use serde_json::{Value, json};

use super::{ask, ask_as, messages};
use crate::{
    app::Edition,
    auth::Identity,
    fixture::{Forge, PROJECT},
    graphql::RESOURCE_NOT_AVAILABLE as NOT_AVAILABLE,
    store::Grantee,
};

const MAINTAINERS: Grantee = Grantee::Role(40);

const RULES: &str = "query($path: ID!) { project(fullPath: $path) { branchRules { nodes {
    id name isDefault isProtected matchingBranchesCount branchProtection { allowForcePush
        pushAccessLevels { nodes { accessLevel accessLevelDescription deployKey { id title user { username } } } }
        mergeAccessLevels { nodes { accessLevel } } } } } } }";

fn rules(forge: &Forge, user: &str) -> Value {
    let answer = ask_as(forge, &forge.identity(user), RULES, json!({ "path": "acme/app" }));
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["project"]["branchRules"]["nodes"].clone()
}

#[tokio::test]
async fn rules_are_listed_for_maintainers_and_empty_below() {
    let forge = Forge::new(Edition::Ce).await;
    let id = forge.protect("main", &[MAINTAINERS], &[Grantee::Role(30)], false);
    assert_eq!(rules(&forge, "developer"), json!([]));
    assert_eq!(
        rules(&forge, "maintainer"),
        json!([
            {
                "id": "gid://gitlab/Projects::AllBranchesRule/1", "name": "All branches", "isDefault": false,
                "isProtected": false, "matchingBranchesCount": 0, "branchProtection": null,
            },
            {
                "id": format!("gid://gitlab/Projects::BranchRule/{id}"), "name": "main", "isDefault": false,
                "isProtected": true, "matchingBranchesCount": 0, "branchProtection": {
                    "allowForcePush": false,
                    "pushAccessLevels": { "nodes": [
                        { "accessLevel": 40, "accessLevelDescription": "Maintainers", "deployKey": null },
                    ] },
                    "mergeAccessLevels": { "nodes": [{ "accessLevel": 30 }] },
                },
            },
        ])
    );
}

#[tokio::test]
async fn rules_are_paged_with_the_default_branch_first() {
    let forge = Forge::new(Edition::Ce).await;
    for name in ["zeta", "main", "alpha"] {
        forge.protect(name, &[MAINTAINERS], &[MAINTAINERS], false);
    }
    forge
        .app
        .write(|store| {
            store.projects.update(PROJECT, |project| {
                project.default_branch = Some("main".to_owned())
            });
            Ok(())
        })
        .expect("a log");
    let page = |arguments: &str| {
        let query = format!(
            "{{ project(fullPath: \"acme/app\") {{ branchRules({arguments}) {{ nodes {{ name }} pageInfo {{ endCursor hasNextPage }} }} }} }}"
        );
        let page = ask(&forge, "maintainer", &query)["data"]["project"]["branchRules"].clone();
        let nodes = page["nodes"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = nodes
            .iter()
            .map(|node| node["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        (names, page["pageInfo"].clone())
    };
    assert_eq!(page("first: 100").0, ["All branches", "main", "alpha", "zeta"]);
    let (names, info) = page("first: 3");
    assert_eq!(
        (names, &info["hasNextPage"]),
        (
            vec!["All branches".into(), "main".into(), "alpha".into()],
            &json!(true)
        )
    );
    assert_eq!(
        page(&format!("first: 3, after: {}", info["endCursor"])).0,
        ["zeta"]
    );
}

const UPDATE: &str = "mutation($input: BranchRuleUpdateInput!) { branchRuleUpdate(input: $input) {
    errors branchRule { name branchProtection { allowForcePush
        pushAccessLevels { nodes { accessLevel deployKey { id } } } mergeAccessLevels { nodes { accessLevel } } } } } }";

fn update(forge: &Forge, user: &str, input: Value) -> Value {
    ask_as(forge, &forge.identity(user), UPDATE, json!({ "input": input }))
}

#[tokio::test]
async fn an_update_resets_what_it_leaves_out_and_keeps_what_it_names() {
    let forge = Forge::new(Edition::Ce).await;
    let key = forge.deploy_key(5);
    let id = forge.protect(
        "main",
        &[MAINTAINERS, Grantee::DeployKey(key)],
        &[MAINTAINERS],
        true,
    );
    let rule = format!("gid://gitlab/Projects::BranchRule/{id}");
    let key_gid = format!("gid://gitlab/DeployKey/{key}");

    let levels = || {
        forge
            .app
            .read()
            .protected_branches
            .get(id)
            .expect("the rule")
            .push_access_levels
            .clone()
    };
    let before = levels();
    let answer = update(
        &forge,
        "maintainer",
        json!({ "id": rule, "name": "main", "branchProtection": {
        "pushAccessLevels": [{ "accessLevel": 40 }, { "deployKeyId": key_gid }],
    } }),
    );
    assert_eq!(
        answer["data"]["branchRuleUpdate"],
        json!({ "errors": [], "branchRule": { "name": "main", "branchProtection": {
            "allowForcePush": false,
            "pushAccessLevels": { "nodes": [
                { "accessLevel": 40, "deployKey": null },
                { "accessLevel": 40, "deployKey": { "id": key_gid } },
            ] },
            "mergeAccessLevels": { "nodes": [] },
        } } })
    );
    assert_eq!(levels(), before, "levels that are named again keep their ids");

    update(
        &forge,
        "maintainer",
        json!({ "id": rule, "name": "main", "branchProtection": {
        "pushAccessLevels": [{ "accessLevel": 0 }],
    } }),
    );
    assert_eq!(
        levels().iter().map(|level| level.who).collect::<Vec<_>>(),
        [Grantee::Role(0)]
    );

    update(&forge, "maintainer", json!({ "id": rule, "name": "stable" }));
    assert_eq!(
        levels().len(),
        1,
        "without branchProtection only the name changes"
    );
    assert_eq!(
        forge
            .app
            .read()
            .protected_branches
            .get(id)
            .expect("the rule")
            .name,
        "stable"
    );
}

#[tokio::test]
async fn an_update_that_is_refused_changes_nothing() {
    let forge = Forge::new(Edition::Ce).await;
    let stranger_key = forge.deploy_key(6);
    forge.protect("other", &[MAINTAINERS], &[MAINTAINERS], false);
    let id = forge.protect("main", &[MAINTAINERS], &[MAINTAINERS], false);
    let rule = format!("gid://gitlab/Projects::BranchRule/{id}");
    let with = |protection: Value| json!({ "id": rule, "name": "main", "branchProtection": protection });
    let cases = [
        (
            with(json!({ "mergeAccessLevels": [{ "accessLevel": 35 }] })),
            "Merge access levels access level is not included in the list",
        ),
        (
            with(
                json!({ "pushAccessLevels": [{ "deployKeyId": format!("gid://gitlab/DeployKey/{stranger_key}") }] }),
            ),
            "Push access levels deploy key owner is not a project member",
        ),
        (
            with(json!({ "pushAccessLevels": [{ "deployKeyId": "gid://gitlab/DeployKey/99" }] })),
            "Push access levels deploy key can't be blank",
        ),
        (
            json!({ "id": rule, "name": "other" }),
            "Name has already been taken",
        ),
        (json!({ "id": rule, "name": "" }), "Name can't be blank"),
        (
            json!({ "id": "gid://gitlab/Projects::AllBranchesRule/1", "name": "x" }),
            "Unknown branch rule type.",
        ),
    ];
    let before = serde_json::to_value(forge.app.read().protected_branches.get(id)).expect("JSON");
    for (input, error) in cases {
        let answer = update(&forge, "maintainer", input);
        assert_eq!(
            answer["data"]["branchRuleUpdate"],
            json!({ "errors": [error], "branchRule": null })
        );
    }
    let refused = [
        ("developer", rule.as_str()),
        ("stranger", &rule),
        ("maintainer", "gid://gitlab/Projects::BranchRule/99"),
    ];
    for (user, id) in refused {
        let answer = update(&forge, user, json!({ "id": id, "name": "x" }));
        assert_eq!(messages(&answer), [NOT_AVAILABLE], "{user}");
        assert_eq!(answer["data"], json!({ "branchRuleUpdate": null }));
    }
    let after = serde_json::to_value(forge.app.read().protected_branches.get(id)).expect("JSON");
    assert_eq!(before, after);
}

#[tokio::test]
async fn rules_are_created_with_defaults_and_deleted() {
    let forge = Forge::new(Edition::Ce).await;
    let create = "mutation { branchRuleCreate(input: { projectPath: \"acme/app\", name: \"release/*\", clientMutationId: \"7\" }) {
        clientMutationId errors branchRule { id branchProtection { allowForcePush pushAccessLevels { nodes { accessLevel } } } } } }";
    let created = ask(&forge, "maintainer", create)["data"]["branchRuleCreate"].clone();
    assert_eq!(created["clientMutationId"], "7");
    assert_eq!(
        created["branchRule"]["branchProtection"],
        json!({ "allowForcePush": false, "pushAccessLevels": { "nodes": [{ "accessLevel": 40 }] } })
    );
    let again = ask(&forge, "maintainer", create)["data"]["branchRuleCreate"].clone();
    assert_eq!(
        (&again["errors"], &again["branchRule"]),
        (&json!(["Name has already been taken"]), &Value::Null)
    );

    let delete = "mutation($id: ProjectsBranchRuleID!) { branchRuleDelete(input: { id: $id }) { errors branchRule { id } } }";
    let variables = json!({ "id": created["branchRule"]["id"] });
    let read_only = Identity {
        scopes: vec!["read_api".to_owned()],
        ..forge.identity("maintainer")
    };
    let refused = ask_as(&forge, &read_only, delete, variables.clone());
    assert_eq!(messages(&refused), [NOT_AVAILABLE]);
    let deleted = ask_as(&forge, &forge.identity("maintainer"), delete, variables);
    assert_eq!(
        deleted["data"]["branchRuleDelete"],
        json!({ "errors": [], "branchRule": null })
    );
    assert_eq!(rules(&forge, "maintainer").as_array().map(Vec::len), Some(1));
}
