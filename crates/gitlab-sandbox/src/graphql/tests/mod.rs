//! GraphQL as a client meets it.

use serde_json::{Value, json};

mod branch_rules;
mod variables;

use super::{Request, answer};
use crate::{
    app::Edition,
    auth::Identity,
    fixture::{self, Forge, PROJECT},
};

fn ask_as(forge: &Forge, identity: &Identity, query: &str, variables: Value) -> Value {
    let request = Request {
        query: query.to_owned(),
        variables,
        operation_name: None,
    };
    answer(&forge.app, identity, &request)
}

fn ask(forge: &Forge, user: &str, query: &str) -> Value {
    ask_as(forge, &forge.identity(user), query, json!({}))
}

fn messages(answer: &Value) -> Vec<&str> {
    let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors
        .iter()
        .filter_map(|error| error["message"].as_str())
        .collect()
}

#[tokio::test]
async fn aliases_fragments_variables_and_typenames() {
    let forge = Forge::new(Edition::Ce).await;
    let query = "query($path: ID!, $with: Boolean = false) {
        me: currentUser { __typename ...Name id }
        project(fullPath: $path) { __typename id group { fullPath } archived @include(if: $with) }
        metadata { version enterprise }
    }
    fragment Name on User { username }";
    let answer = ask_as(
        &forge,
        &forge.identity("guest"),
        query,
        json!({ "path": "ACME/app" }),
    );
    assert!(messages(&answer).is_empty(), "{answer}");
    assert_eq!(
        answer["data"]["me"],
        json!({ "__typename": "CurrentUser", "username": "guest", "id": "gid://gitlab/User/2" })
    );
    assert_eq!(
        answer["data"]["project"],
        json!({ "__typename": "Project", "id": "gid://gitlab/Project/1", "group": { "fullPath": "acme" } })
    );
    assert_eq!(answer["data"]["metadata"]["enterprise"], false);
}

#[tokio::test]
async fn a_hidden_project_is_null_without_an_error() {
    let forge = Forge::new(Edition::Ce).await;
    let query = "{ project(fullPath: \"acme/app\") { id } group(fullPath: \"acme\") { id } }";
    let nothing = json!({ "data": { "project": null, "group": null } });
    assert_eq!(ask(&forge, "stranger", query), nothing);
    assert_eq!(ask_as(&forge, &Identity::default(), query, json!({})), nothing);
}

#[tokio::test]
async fn users_are_found_by_name_without_case() {
    let forge = Forge::new(Edition::Ce).await;
    let query = "{ users(usernames: [\"GUEST\", \"nobody\", \"stranger\"]) { nodes { username } } }";
    let found =
        json!({ "data": { "users": { "nodes": [{ "username": "stranger" }, { "username": "guest" }] } } });
    assert_eq!(ask(&forge, "guest", query), found);
    let anonymous = ask_as(&forge, &Identity::default(), query, json!({}));
    assert_eq!(anonymous["data"]["users"], Value::Null);
    assert_eq!(messages(&anonymous).len(), 1);
}

#[tokio::test]
async fn settings_have_their_defaults_and_what_was_set() {
    let forge = Forge::new(Edition::Ce).await;
    let query =
        "{ project(fullPath: \"acme/app\") { lfsEnabled mergeRequestsFfOnlyEnabled mergeCommitTemplate } }";
    let settings = || ask(&forge, "guest", query)["data"]["project"].clone();
    let defaults =
        json!({ "lfsEnabled": true, "mergeRequestsFfOnlyEnabled": false, "mergeCommitTemplate": null });
    assert_eq!(settings(), defaults);
    forge
        .app
        .write(|store| {
            store.projects.update(PROJECT, |project| {
                project.settings.insert("lfs_enabled".to_owned(), json!(false));
                project.settings.insert("merge_method".to_owned(), json!("ff"));
            });
            Ok(())
        })
        .expect("a log");
    assert_eq!(
        settings(),
        json!({ "lfsEnabled": false, "mergeRequestsFfOnlyEnabled": true, "mergeCommitTemplate": null })
    );
}

#[tokio::test]
async fn errors_of_a_query_are_worded_as_gitlabs() {
    let forge = Forge::new(Edition::Ce).await;
    let cases = [
        (
            "{ project(fullPath: \"a\") { nope } }",
            "Field 'nope' doesn't exist on type 'Project'",
        ),
        (
            "{ project { id } }",
            "Field 'project' is missing required arguments: fullPath",
        ),
        (
            "{ project(fullPath: \"a\", x: 1) { id } }",
            "Field 'project' doesn't accept argument 'x'",
        ),
        (
            "{ project(fullPath: true) { id } }",
            "Argument 'fullPath' on Field 'project' has an invalid value (true). Expected type 'ID!'.",
        ),
        (
            "{ project(fullPath: $p) { id } }",
            "Variable $p is used by anonymous query but not declared",
        ),
        (
            "query Q($p: ID!) { currentUser { id } }",
            "Variable $p is declared by Q but not used",
        ),
        (
            "query($p: String!) { project(fullPath: $p) { id } }",
            "Type mismatch on variable $p and argument fullPath (String! / ID!)",
        ),
        (
            "query($p: ID) { project(fullPath: $p) { id } }",
            "Nullability mismatch on variable $p and argument fullPath (ID / ID!)",
        ),
        (
            "query($p: ID!) { project(fullPath: $p) { id } }",
            "Variable $p of type ID! was provided invalid value",
        ),
        (
            "{ currentUser { id { x } } }",
            "Selections can't be made on scalars (field 'id' returns UserID but has selections [\"x\"])",
        ),
        (
            "{ currentUser }",
            "Field must have selections (field 'currentUser' returns CurrentUser but has no selections. Did you mean 'currentUser { ... }'?)",
        ),
        ("{ currentUser { ...F } }", "Fragment F was used, but not defined"),
        (
            "mutation { branchRuleDelete(input: {id: \"gid://gitlab/User/1\"}) { errors } }",
            "\"gid://gitlab/User/1\" does not represent an instance of Projects::BranchRule",
        ),
        (
            "mutation { branchRuleDelete(input: {}) { errors } }",
            "Argument 'id' on InputObject 'BranchRuleDeleteInput' is required. Expected type ProjectsBranchRuleID!",
        ),
        (
            "query A { currentUser { id } } query B { currentUser { id } }",
            "An operation name is required",
        ),
        ("", "No query string was present"),
    ];
    for (query, message) in cases {
        let answer = ask(&forge, "guest", query);
        assert_eq!(messages(&answer), [message], "{query}");
        assert!(answer.get("data").is_none(), "{query}");
    }
}

#[tokio::test]
async fn an_error_says_where_it_is() {
    let forge = Forge::new(Edition::Ce).await;
    let answer = ask(
        &forge,
        "guest",
        "query Q {\n  project(fullPath: \"a\") { p: nope }\n}",
    );
    assert_eq!(
        answer["errors"][0],
        json!({
            "message": "Field 'nope' doesn't exist on type 'Project'",
            "locations": [{ "line": 2, "column": 28 }],
            "path": ["query Q", "project", "p"],
            "extensions": { "code": "undefinedField", "typeName": "Project", "fieldName": "nope" },
        })
    );
    let paths: Vec<_> = (0..51).map(|n| format!("acme/{n}")).collect();
    let query = "query($paths: [String!]) { projects(fullPaths: $paths) { nodes { id } } }";
    let answer = ask_as(&forge, &forge.identity("guest"), query, json!({ "paths": paths }));
    assert_eq!(
        answer,
        json!({
            "errors": [{
                "message": "You cannot provide more than 50 full_paths",
                "locations": [{ "line": 1, "column": 28 }],
                "path": ["projects"],
            }],
            "data": { "projects": null },
        })
    );
}

#[tokio::test]
async fn enterprise_fields_are_unknown_to_the_community_edition() {
    let query = "{ project(fullPath: \"acme/app\") { branchRules { nodes { branchProtection {
        codeOwnerApprovalRequired unprotectAccessLevels { nodes { accessLevel } } } } } } }";
    let forge = Forge::new(Edition::Ce).await;
    assert_eq!(
        messages(&ask(&forge, "maintainer", query)),
        [
            "Field 'codeOwnerApprovalRequired' doesn't exist on type 'BranchProtection'",
            "Field 'unprotectAccessLevels' doesn't exist on type 'BranchProtection'",
        ]
    );
    let forge = Forge::new(Edition::Ee).await;
    assert!(ask(&forge, "maintainer", query).get("errors").is_none());
}

#[tokio::test]
async fn complexity_depth_and_recursion_are_limited_by_user() {
    let forge = Forge::new(Edition::Ce).await;
    let score = "queryComplexity { score limit }";
    // rules: (1 + 1 + nodes 1 + name 1) + a hundredth for each of 100 = 8; project: 1 + 8; queryComplexity: 3.
    let query =
        format!("{{ {score} project(fullPath: \"acme/app\") {{ branchRules {{ nodes {{ name }} }} }} }}");
    let scored = |user: &str| ask(&forge, user, &query)["data"]["queryComplexity"].clone();
    assert_eq!(scored("guest"), json!({ "score": 12, "limit": 250 }));
    assert_eq!(scored("root"), json!({ "score": 12, "limit": 300 }));

    let many: String = (0..90)
        .map(|n| format!("u{n}: currentUser {{ id name }} "))
        .collect();
    let query = format!("{{ {many} }}");
    let over = |limit| format!("Query has complexity of 270, which exceeds max complexity of {limit}");
    assert_eq!(messages(&ask(&forge, "guest", &query)), [over(250)]);
    assert_eq!(
        messages(&ask_as(&forge, &Identity::default(), &query, json!({}))),
        [over(200)]
    );
    assert!(messages(&ask(&forge, "root", &query)).is_empty());

    let deep = format!(
        "{{ group(fullPath: \"acme\") {{ {} id {} }} }}",
        "parent { ".repeat(20),
        "} ".repeat(20)
    );
    let errors = ask(&forge, "guest", &deep);
    assert_eq!(
        messages(&errors),
        [
            "Recursive query - too many of fields '{\"parent\"=>20}' detected\nin single branch of the query\")\n",
            "Query has depth of 22, which exceeds max depth of 20",
        ]
    );
}

#[tokio::test]
async fn pages_are_cut_by_cursors() {
    let forge = Forge::new(Edition::Ce).await;
    forge
        .app
        .write(|store| {
            let group = store.group_by_path("acme").expect("the fixture's group").id;
            for path in ["b", "c", "a"] {
                fixture::add_project(store, group, path);
            }
            Ok(())
        })
        .expect("a log");
    let page = |arguments: &str| {
        let query = format!(
            "{{ projects({arguments}) {{ nodes {{ path }} count pageInfo {{ endCursor hasNextPage hasPreviousPage }} }} }}"
        );
        ask(&forge, "guest", &query)["data"]["projects"].clone()
    };
    let paths = |page: &Value| {
        let nodes = page["nodes"].as_array().cloned().unwrap_or_default();
        nodes
            .iter()
            .map(|node| node["path"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(&page("first: null")), ["a", "c", "b", "app"]);
    let first = page("first: 3, sort: \"name_asc\"");
    assert_eq!(paths(&first), ["a", "app", "b"]);
    assert_eq!(
        (&first["count"], &first["pageInfo"]["hasNextPage"]),
        (&json!(4), &json!(true))
    );
    let second = page(&format!(
        "first: 3, sort: \"name_asc\", after: {}",
        first["pageInfo"]["endCursor"]
    ));
    assert_eq!(paths(&second), ["c"]);
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
    assert_eq!(paths(&page("last: 1")), ["app"]);
    assert_eq!(paths(&page("search: \"C\"")), ["c"]);
}

#[tokio::test]
async fn introspection_shows_the_whole_schema_without_our_own_directive() {
    let forge = Forge::new(Edition::Ce).await;
    let answer = ask(&forge, "guest", "{ __schema { queryType { name } } }");
    let names = |list: &Value| {
        let items = list.as_array().cloned().unwrap_or_default();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let schema = &answer["data"]["__schema"];
    assert!(names(&schema["types"]).contains(&"BranchRule".to_owned()));
    assert!(!names(&schema["directives"]).contains(&"cost".to_owned()));
}
