//! CI/CD variables over REST: who may, what is refused, what is shown.

mod common;

use common::Lab;
use gitlab_sandbox::Edition;
use serde_json::{Value, json};

#[tokio::test]
async fn a_variable_is_made_with_gitlabs_defaults_changed_and_removed() {
    let lab = Lab::start().await;
    let group = lab.group("acme", json!({})).await;
    let project = lab.project(group, "app", json!({})).await;
    let path = format!("projects/{project}/variables");
    let made = lab
        .client
        .post(&path, json!({ "key": " KEY ", "value": "v" }))
        .await;
    let expected = json!({
        "variable_type": "env_var", "key": "KEY", "value": "v", "hidden": false, "protected": false, "masked": false,
        "raw": false, "environment_scope": "*", "description": null,
    });
    assert_eq!(made.expect(201), expected);
    assert_eq!(lab.client.get(&format!("{path}/KEY")).await.expect(200), expected);

    let change = json!({ "key": "OTHER", "value": "a b", "variable_type": "file", "protected": true, "raw": true,
        "masked_and_hidden": true, "description": "why" });
    let changed = lab.client.put(&format!("{path}/KEY"), change).await.expect(200);
    assert_eq!(changed["key"], "KEY", "a key never changes");
    assert_eq!(changed["hidden"], false, "nothing is hidden later");
    assert_eq!(
        (&changed["value"], &changed["variable_type"]),
        (&json!("a b"), &json!("file"))
    );
    assert_eq!(
        (&changed["protected"], &changed["raw"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(changed["description"], "why");

    lab.client.delete(&format!("{path}/KEY")).await.expect(204);
    for missing in [
        lab.client.get(&format!("{path}/KEY")).await,
        lab.client.delete(&format!("{path}/KEY")).await,
    ] {
        assert_eq!(
            missing.expect(404),
            json!({ "message": "404 Variable Not Found" })
        );
    }
    let missing = lab
        .client
        .put(&format!("groups/{group}/variables/KEY"), json!({}))
        .await;
    assert_eq!(
        missing.expect(404),
        json!({ "message": "404 GroupVariable Not Found" })
    );
    let missing = lab.client.get("admin/ci/variables/KEY").await;
    assert_eq!(
        missing.expect(404),
        json!({ "message": "404 InstanceVariable Not Found" })
    );
}

#[tokio::test]
async fn a_key_may_stand_in_several_scopes_and_is_then_named_with_one() {
    let lab = Lab::start().await;
    let group = lab.group("acme", json!({})).await;
    let project = lab.project(group, "app", json!({})).await;
    for owner in [format!("projects/{project}"), format!("groups/{group}")] {
        let path = format!("{owner}/variables");
        for scope in ["*", "production", "review/*"] {
            let variable = json!({ "key": "KEY", "value": scope, "environment_scope": scope });
            let made = lab.client.post(&path, variable).await.expect(201);
            assert_eq!(made["environment_scope"], scope);
        }
        let taken = json!({ "key": "KEY", "value": "x", "environment_scope": "production" });
        assert_eq!(
            lab.client.post(&path, taken).await.expect(400),
            json!({ "message": { "key": ["(KEY) has already been taken"] } })
        );
        let one = lab
            .client
            .get(&format!("{path}/KEY?filter[environment_scope]=review/*"))
            .await;
        assert_eq!(one.expect(200)["value"], "review/*");
        let none = lab
            .client
            .get(&format!("{path}/KEY?filter[environment_scope]=test"))
            .await;
        none.expect(404);
        let several =
            "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'";
        let ambiguous = lab.client.delete(&format!("{path}/KEY")).await.expect(409);
        assert_eq!(ambiguous, json!({ "message": several }));

        let change = json!({ "value": "new", "filter": { "environment_scope": "production" } });
        let changed = lab.client.put(&format!("{path}/KEY"), change).await.expect(200);
        assert_eq!(
            (&changed["value"], &changed["environment_scope"]),
            (&json!("new"), &json!("production"))
        );
        let moved = json!({ "environment_scope": "*", "filter": { "environment_scope": "production" } });
        lab.client.put(&format!("{path}/KEY"), moved).await.expect(400);
        lab.client
            .delete(&format!("{path}/KEY?filter[environment_scope]=production"))
            .await
            .expect(204);
        let page = lab.client.get(&format!("{path}?per_page=1&page=2")).await;
        assert_eq!(page.header("x-total"), Some("2"));
        assert_eq!(page.expect(200)[0]["value"], "review/*");
    }
    // Without a filter a group's first is changed; a project's is refused.
    let change = json!({ "value": "any" });
    let changed = lab
        .client
        .put(&format!("groups/{group}/variables/KEY"), change.clone())
        .await;
    assert_eq!(changed.expect(200)["environment_scope"], "*");
    lab.client
        .put(&format!("projects/{project}/variables/KEY"), change)
        .await
        .expect(409);
}

#[tokio::test]
async fn what_the_model_refuses_is_refused_in_its_words() {
    let lab = Lab::start().await;
    let group = lab.group("acme", json!({})).await;
    let path = format!("groups/{group}/variables");
    let taken = |attribute: &str, problems: &[&str]| json!({ "message": { attribute: problems } });
    let too_long = "is too long (maximum is 255 characters)";
    let characters = "can contain only letters, digits and '_'.";
    let scope = "can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', '*' and spaces";
    let long = "x".repeat(256);
    let cases = [
        (
            json!({ "key": "", "value": "v" }),
            taken("key", &["can't be blank", characters]),
        ),
        (json!({ "key": "A-B", "value": "v" }), taken("key", &[characters])),
        (json!({ "key": long, "value": "v" }), taken("key", &[too_long])),
        (
            json!({ "key": "A", "value": "v", "description": long }),
            taken("description", &[too_long]),
        ),
        (
            json!({ "key": "A", "value": "v", "environment_scope": "a,b" }),
            taken("environment_scope", &[scope]),
        ),
        (
            json!({ "key": "A", "value": "v", "environment_scope": "" }),
            taken("environment_scope", &["can't be blank", scope]),
        ),
        (
            json!({ "key": "A", "value": "short", "masked": true }),
            taken("value", &["is invalid"]),
        ),
        (
            json!({ "key": "A", "value": "two\nlines of it", "masked": true }),
            taken("value", &["is invalid"]),
        ),
        (
            json!({ "key": "A", "value": "with$sign", "masked": true }),
            taken("value", &["is invalid"]),
        ),
        (
            json!({ "key": "A", "value": "with a space", "masked_and_hidden": true, "raw": true }),
            taken("value", &["is invalid"]),
        ),
        (json!({ "key": "A" }), json!({ "error": "value is missing" })),
        (
            json!({ "key": "A", "value": "v", "variable_type": "secret" }),
            json!({ "error": "variable_type does not have a valid value" }),
        ),
        (
            json!({ "key": "A", "value": "v", "protected": "perhaps" }),
            json!({ "error": "protected is invalid" }),
        ),
    ];
    for (variable, answer) in cases {
        assert_eq!(
            lab.client.post(&path, variable.clone()).await.expect(400),
            answer,
            "{variable}"
        );
    }
    let raw = json!({ "key": "RAW", "value": "with$sign", "masked": true, "raw": true });
    lab.client.post(&path, raw).await.expect(201);
    // What is masked stays maskable.
    let expanded = lab
        .client
        .put(&format!("{path}/RAW"), json!({ "raw": false }))
        .await;
    assert_eq!(expanded.expect(400), taken("value", &["is invalid"]));
    let listed = lab.client.get(&path).await.expect(200);
    assert_eq!(
        listed.as_array().map(Vec::len),
        Some(1),
        "nothing refused was stored"
    );
}

#[tokio::test]
async fn a_hidden_value_is_never_shown_again() {
    let lab = Lab::start().await;
    let group = lab.group("acme", json!({})).await;
    let project = lab.project(group, "app", json!({})).await;
    let path = format!("projects/{project}/variables");
    let hidden =
        json!({ "key": "KEY", "value": "correct-horse", "masked_and_hidden": true, "masked": false });
    let made = lab.client.post(&path, hidden).await.expect(201);
    assert_eq!(
        (&made["masked"], &made["hidden"], &made["value"]),
        (&json!(true), &json!(true), &Value::Null)
    );
    assert_eq!(lab.client.get(&path).await.expect(200)[0]["value"], Value::Null);
    let shown = lab
        .client
        .put(&format!("{path}/KEY"), json!({ "masked": false }))
        .await;
    let problem = "The visibility setting cannot be changed for masked and hidden variables.";
    assert_eq!(shown.expect(400), json!({ "message": { "base": [problem] } }));
    let changed = lab
        .client
        .put(&format!("{path}/KEY"), json!({ "value": "battery-staple" }))
        .await;
    assert_eq!(changed.expect(200)["value"], Value::Null);
    lab.client
        .put(&format!("{path}/KEY"), json!({ "value": "short" }))
        .await
        .expect(400);
}

#[tokio::test]
async fn variables_of_the_instance_have_no_scope_and_are_few() {
    let lab = Lab::start().await;
    let path = "admin/ci/variables";
    let variable = json!({ "key": "KEY", "value": "longer than 8", "masked_and_hidden": true, "environment_scope": "x" });
    let made = lab.client.post(path, variable).await.expect(201);
    assert_eq!(
        made,
        json!({ "variable_type": "env_var", "key": "KEY", "value": "longer than 8", "protected": false,
            "masked": false, "raw": false, "description": null })
    );
    let long = json!({ "key": "LONG", "value": "x".repeat(10_001) });
    assert_eq!(
        lab.client.post(path, long).await.expect(400),
        json!({ "message": { "value": ["The value of the provided variable exceeds the 10000 character limit"] } })
    );
    for number in 1..25 {
        lab.client
            .post(path, json!({ "key": format!("K{number}"), "value": "" }))
            .await
            .expect(201);
    }
    assert_eq!(
        lab.client
            .post(path, json!({ "key": "MORE", "value": "v" }))
            .await
            .expect(400),
        json!({ "message": { "base": ["Maximum number of ci instance level variables (25) exceeded"] } })
    );
    lab.client
        .put("admin/ci/variables/KEY", json!({ "protected": true }))
        .await
        .expect(200);
    lab.client.delete("admin/ci/variables/KEY").await.expect(204);
}

#[tokio::test]
async fn variables_are_for_maintainers_owners_and_administrators() {
    for edition in [Edition::Ce, Edition::Ee] {
        let lab = Lab::start_with(|options| options.edition = edition).await;
        let group = lab.group("acme", json!({ "visibility": "public" })).await;
        let project = lab
            .project(group, "app", json!({ "visibility": "private" }))
            .await;
        let (of_project, of_group) = (
            format!("projects/{project}/variables"),
            format!("groups/{group}/variables"),
        );
        let (id, user) = lab.user("ria", &["api"]).await;
        user.get(&of_project).await.expect(404);
        user.get(&of_group).await.expect(403);
        user.get("admin/ci/variables").await.expect(403);
        lab.client.anonymous().get(&of_group).await.expect(401);
        let member = json!({ "user_id": id, "access_level": 30 });
        lab.client
            .post(&format!("groups/{group}/members"), member)
            .await
            .expect(201);
        user.post(&of_project, json!({})).await.expect(403);
        let members = format!("groups/{group}/members/{id}");
        lab.client
            .put(&members, json!({ "access_level": 40 }))
            .await
            .expect(200);
        user.get(&of_project).await.expect(200);
        user.get(&of_group).await.expect(403);
        lab.client
            .put(&members, json!({ "access_level": 50 }))
            .await
            .expect(200);
        user.get(&of_group).await.expect(200);
        // Where CI is off, nobody reads or changes them.
        let off = json!({ "builds_access_level": "disabled" });
        lab.client
            .put(&format!("projects/{project}"), off)
            .await
            .expect(200);
        lab.client.get(&of_project).await.expect(403);
    }
}

#[tokio::test]
async fn the_record_holds_no_value() {
    let files = tempfile::TempDir::new().unwrap();
    let file = files.path().join("exchanges.jsonl");
    let lab = Lab::start_with(|options| options.record = Some(file.clone())).await;
    let group = lab.group("acme", json!({})).await;
    let path = format!("groups/{group}/variables");
    lab.client
        .post(&path, json!({ "key": "KEY", "value": "tr0ub4dor" }))
        .await
        .expect(201);
    lab.client
        .put(&format!("{path}/KEY?value=tr0ub4dor"), json!({}))
        .await
        .expect(200);
    lab.client.get(&path).await.expect(200);
    let query = "{ group(fullPath: \"acme\") { ciVariables { nodes { key value renamed: value } } } }";
    let answer = lab
        .client
        .post("/api/graphql", json!({ "query": query }))
        .await
        .expect(200);
    let shown = &answer["data"]["group"]["ciVariables"]["nodes"][0];
    assert_eq!(
        (&shown["value"], &shown["renamed"]),
        (&json!("tr0ub4dor"), &json!("tr0ub4dor"))
    );
    lab.sandbox.shutdown().await.unwrap();
    let record = std::fs::read_to_string(file).unwrap();
    assert!(
        record.contains("KEY") && !record.contains("tr0ub4dor"),
        "{record}"
    );
}
