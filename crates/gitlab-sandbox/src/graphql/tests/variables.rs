//! CI/CD variables.

use serde_json::{Value, json};

use super::{ask, messages};
use crate::{
    app::Edition,
    fixture::{Forge, PROJECT},
    graphql::RESOURCE_NOT_AVAILABLE,
    store::{Source, Variable},
};

/// A forge with three variables in the project, one in its group, and one in the instance.
async fn forge() -> Forge {
    let forge = Forge::new(Edition::Ce).await;
    forge
        .app
        .write(|store| {
            let group = store.group_by_path("acme").expect("the fixture's group").id;
            let project = Some(Source::Project(PROJECT));
            let owners = [project, project, project, Some(Source::Group(group)), None];
            for (source, key) in owners.into_iter().zip(["B", "A", "C", "G", "I"]) {
                let id = store.variables.next_id();
                store.variables.insert(Variable {
                    id,
                    source,
                    key: key.to_owned(),
                    value: Some(format!("value of {key}")),
                    file: key == "B",
                    protected: key == "A",
                    masked: key == "C",
                    hidden: key == "C",
                    raw: key == "G",
                    environment_scope: "*".to_owned(),
                    description: None,
                });
            }
            Ok(())
        })
        .expect("a log");
    forge
}

const FIELDS: &str =
    "id key value variableType protected masked hidden raw environmentScope description __typename";

#[tokio::test]
async fn variables_of_projects_groups_and_the_instance() {
    let forge = forge().await;
    let query = format!(
        "{{ project(fullPath: \"acme/app\") {{ ciVariables(sort: KEY_DESC) {{ limit nodes {{ {FIELDS} }} }} }}
            group(fullPath: \"acme\") {{ ciVariables {{ limit nodes {{ {FIELDS} }} }} }}
            ciVariables {{ nodes {{ id key value environmentScope __typename }} }} }}"
    );
    let data = ask(&forge, "root", &query)["data"].clone();
    let of_project = &data["project"]["ciVariables"];
    let keys: Vec<_> = (0..3).map(|n| &of_project["nodes"][n]["key"]).collect();
    assert_eq!(
        (keys, &of_project["limit"]),
        (vec![&json!("C"), &json!("B"), &json!("A")], &json!(8_000))
    );
    assert_eq!(
        of_project["nodes"][0],
        json!({
            "id": "gid://gitlab/Ci::Variable/3", "key": "C", "value": null, "variableType": "ENV_VAR",
            "protected": false, "masked": true, "hidden": true, "raw": false, "environmentScope": "*",
            "description": null, "__typename": "CiProjectVariable",
        })
    );
    assert_eq!(of_project["nodes"][1]["variableType"], "FILE");
    let of_group = &data["group"]["ciVariables"];
    assert_eq!(of_group["limit"], 30_000);
    assert_eq!(of_group["nodes"][0]["id"], "gid://gitlab/Ci::GroupVariable/4");
    assert_eq!(of_group["nodes"][0]["raw"], true);
    assert_eq!(
        data["ciVariables"]["nodes"],
        json!([{
            "id": "gid://gitlab/Ci::InstanceVariable/5", "key": "I", "value": "value of I",
            "environmentScope": null, "__typename": "CiInstanceVariable",
        }])
    );
    let unknown = ask(&forge, "root", "{ ciVariables { limit nodes { hidden } } }");
    assert_eq!(
        messages(&unknown),
        [
            "Field 'limit' doesn't exist on type 'CiInstanceVariableConnection'",
            "Field 'hidden' doesn't exist on type 'CiInstanceVariable'",
        ]
    );
}

#[tokio::test]
async fn variables_are_for_those_who_may_administer_them() {
    let forge = forge().await;
    let query = "{ project(fullPath: \"acme/app\") { ciVariables { nodes { key } } }
        group(fullPath: \"acme\") { ciVariables { nodes { key } } } ciVariables { nodes { key } } }";
    let answer = ask(&forge, "maintainer", query);
    assert_eq!(
        answer["data"]["project"]["ciVariables"]["nodes"],
        json!([{ "key": "C" }, { "key": "A" }, { "key": "B" }]),
        "the newest first"
    );
    assert_eq!(answer["data"]["group"], json!({ "ciVariables": null }));
    assert_eq!(answer["data"]["ciVariables"], Value::Null);
    assert_eq!(messages(&answer), [RESOURCE_NOT_AVAILABLE]);
    assert_eq!(answer["errors"][0]["path"], json!(["group", "ciVariables"]));

    let answer = ask(&forge, "developer", query);
    assert_eq!(answer["data"]["project"], json!({ "ciVariables": null }));
    assert_eq!(messages(&answer), [RESOURCE_NOT_AVAILABLE; 2]);

    // Where CI is off, an administrator cannot read them either.
    forge
        .app
        .write(|store| {
            store.projects.update(PROJECT, |project| {
                project
                    .settings
                    .insert("builds_access_level".to_owned(), json!("disabled"))
            });
            Ok(())
        })
        .expect("a log");
    let answer = ask(&forge, "root", query);
    assert_eq!(answer["data"]["project"], json!({ "ciVariables": null }));
    assert_eq!(messages(&answer), [RESOURCE_NOT_AVAILABLE]);
}

#[tokio::test]
async fn variables_come_in_pages_and_cost_by_page_size() {
    let forge = forge().await;
    let page = |arguments: &str| {
        let query = format!(
            "{{ queryComplexity {{ score }} project(fullPath: \"acme/app\") {{ ciVariables({arguments}) {{
                nodes {{ key }} pageInfo {{ endCursor hasNextPage }} }} }} }}"
        );
        ask(&forge, "maintainer", &query)["data"].clone()
    };
    let first = page("first: 2, sort: KEY_ASC");
    let variables = &first["project"]["ciVariables"];
    assert_eq!(variables["nodes"], json!([{ "key": "A" }, { "key": "B" }]));
    assert_eq!(variables["pageInfo"]["hasNextPage"], true);
    let after = variables["pageInfo"]["endCursor"].as_str().expect("a cursor");
    let second = page(&format!("first: 2, sort: KEY_ASC, after: \"{after}\""));
    assert_eq!(second["project"]["ciVariables"]["nodes"], json!([{ "key": "C" }]));
    // (nodes 2 + pageInfo 3 + the field 1 + its sort 1) + a hundredth for each of 2, cut; project 1; score 2.
    assert_eq!(first["queryComplexity"]["score"], 10);
    // The same without a sort, doubled for a hundred.
    assert_eq!(page("first: 100")["queryComplexity"]["score"], 15);
}
