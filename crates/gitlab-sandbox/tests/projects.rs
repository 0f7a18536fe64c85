//! Projects: creation, settings, visibility, moves, deletion, lists.

mod common;

use common::{Lab, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_project_has_gitlabs_defaults_and_is_found_by_path_in_any_case() {
    let lab = Lab::start().await;
    let group = lab.group("Platform", json!({})).await;
    let id = lab.project(group, "Api", json!({ "topics": ["b", "a"] })).await;
    let project = lab.client.get("projects/platform%2FAPI").await.expect(200);
    assert_eq!(project["id"], id);
    assert_eq!(project["path_with_namespace"], "Platform/Api");
    assert_eq!(project["visibility"], "private");
    assert_eq!(project["merge_method"], "merge");
    assert_eq!(project["topics"], json!(["a", "b"]));
    assert_eq!(project["default_branch"], "main");
    assert_eq!(project["empty_repo"], true);
    assert_eq!(project["ci_default_git_depth"], 20);
    assert_eq!(project["permissions"]["group_access"]["access_level"], 50);
    assert_eq!(project["marked_for_deletion_on"], Value::Null);
    assert!(project.get("approvals_before_merge").is_none(), "that is EE's");
}

#[tokio::test]
async fn settings_are_coerced_validated_and_undeclared_ones_ignored() {
    let lab = Lab::start().await;
    let group = lab.group("g1", json!({})).await;
    let id = lab
        .project(group, "p", json!({ "ci_default_git_depth": 7 }))
        .await;
    let path = format!("projects/{id}");
    let project = lab.client.get(&path).await.expect(200);
    assert_eq!(
        project["ci_default_git_depth"], 20,
        "a creation does not declare it"
    );

    let changes = json!({
        "issues_enabled": "false", "squash_option": "always", "lfs_enabled": "0", "build_timeout": "7200",
        "ci_default_git_depth": 7, "approvals_before_merge": 2, "no_such_thing": 1, "description": null,
    });
    let project = lab.client.put(&path, changes).await.expect(200);
    assert_eq!(project["issues_access_level"], "disabled");
    assert_eq!(project["issues_enabled"], false);
    assert_eq!(project["squash_option"], "always");
    assert_eq!(project["lfs_enabled"], false);
    assert_eq!(project["build_timeout"], 7200);
    assert_eq!(project["ci_default_git_depth"], 7);

    let refused = lab
        .client
        .put(
            &path,
            json!({ "merge_method": "octopus", "lfs_enabled": "maybe" }),
        )
        .await
        .expect(400);
    assert_eq!(
        refused["error"],
        "lfs_enabled is invalid, merge_method does not have a valid value"
    );
    let refused = lab
        .client
        .put(&path, json!({ "build_timeout": 5 }))
        .await
        .expect(400);
    assert_eq!(
        refused["message"]["build_timeout"],
        json!(["needs to be between 10 minutes and 1 month"])
    );
    let refused = lab
        .client
        .put(&path, json!({ "repository_access_level": "disabled" }))
        .await
        .expect(400);
    assert!(
        refused["message"]["project_feature.builds_access_level"].is_array(),
        "{refused}"
    );
    lab.client
        .put(&path, json!({ "no_such_thing": 1 }))
        .await
        .expect(400);
}

#[tokio::test]
async fn names_and_paths_are_validated() {
    let lab = Lab::start().await;
    let group = lab.group("g1", json!({})).await;
    lab.project(group, "taken", json!({ "name": "Taken" })).await;
    let create = |body: Value| lab.client.post("projects", body);
    let refused = create(json!({})).await.expect(400);
    assert_eq!(
        refused["error"],
        "name, path are missing, at least one parameter must be provided"
    );
    let refused = create(json!({ "path": "TAKEN", "name": "Taken", "namespace_id": group }))
        .await
        .expect(400);
    assert_eq!(refused["message"]["path"], json!(["has already been taken"]));
    assert_eq!(refused["message"]["name"], json!(["has already been taken"]));
    let refused = create(json!({ "path": "tree", "namespace_id": group }))
        .await
        .expect(400);
    assert_eq!(refused["message"]["path"], json!(["tree is a reserved name"]));
    let refused = create(json!({ "path": "x.git", "namespace_id": group }))
        .await
        .expect(400);
    assert!(
        refused["message"]["path"][0]
            .as_str()
            .unwrap()
            .contains("end in '.git'")
    );
    let refused = create(json!({ "path": "x", "namespace_id": 999 }))
        .await
        .expect(400);
    assert_eq!(refused["message"]["namespace"], json!(["is not valid"]));
    let project = create(json!({ "name": "My Project!" , "path": "ok1" })).await;
    project.expect(400);
    let project = create(json!({ "name": "My Project" })).await.expect(201);
    assert_eq!(project["path"], "my-project");
    assert_eq!(project["owner"]["username"], "root");
}

#[tokio::test]
async fn a_readme_makes_a_commit_and_the_default_branch_is_protected_a_moment_later() {
    let lab = Lab::start().await;
    let defaults = json!({
        "allowed_to_push": [{ "access_level": 30 }], "allowed_to_merge": [{ "access_level": 40 }], "allow_force_push": false,
    });
    let group = lab
        .group("g1", json!({ "default_branch_protection_defaults": defaults }))
        .await;
    let id = lab
        .project(group, "p", json!({ "initialize_with_readme": true }))
        .await;
    let project = lab.client.get(&format!("projects/{id}")).await.expect(200);
    assert_eq!(project["empty_repo"], false);
    assert!(
        project["readme_url"]
            .as_str()
            .unwrap()
            .ends_with("/g1/p/-/blob/main/README.md")
    );
    let branches = format!("projects/{id}/protected_branches");
    let branches = eventually(&lab.client, &branches, |body| body[0]["name"] == "main").await;
    assert_eq!(branches[0]["push_access_levels"][0]["access_level"], 30);
    assert_eq!(branches[0]["merge_access_levels"][0]["access_level"], 40);

    let unknown = json!({ "default_branch": "nope" });
    let refused = lab
        .client
        .put(&format!("projects/{id}"), unknown)
        .await
        .expect(400);
    assert_eq!(
        refused["message"]["base"],
        json!(["Could not change HEAD: branch 'nope' does not exist"])
    );
    let repository = lab.dir.path().join(format!("repositories/{id}.git"));
    let log = std::process::Command::new("git")
        .args(["log", "--format=%s"])
        .current_dir(repository)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(log.stdout).unwrap(), "Initial commit\n");
}

#[tokio::test]
async fn a_project_is_never_more_open_than_its_group() {
    let lab = Lab::start().await;
    let group = lab.group("g1", json!({ "visibility": "internal" })).await;
    let id = lab.project(group, "p", json!({ "visibility": "public" })).await;
    let path = format!("projects/{id}");
    assert_eq!(
        lab.client.get(&path).await.expect(200)["visibility"],
        "internal",
        "lowered on creation"
    );
    let refused = lab
        .client
        .put(&path, json!({ "visibility": "public" }))
        .await
        .expect(400);
    let problem = "public is not allowed in a internal namespace.";
    assert_eq!(refused["message"]["visibility_level"], json!([problem]));
    let refused = lab
        .client
        .put(&format!("groups/{group}"), json!({ "visibility": "private" }))
        .await
        .expect(400);
    let problem = "private is not allowed since this group contains projects with higher visibility.";
    assert_eq!(refused["message"]["visibility_level"], json!([problem]));
}

#[tokio::test]
async fn a_moved_project_redirects_reads_and_refuses_writes() {
    let lab = Lab::start().await;
    let (one, two) = (lab.group("g1", json!({})).await, lab.group("g2", json!({})).await);
    let id = lab.project(one, "p", json!({})).await;
    let moved = lab
        .client
        .put(&format!("projects/{id}/transfer"), json!({ "namespace": "g2" }))
        .await
        .expect(200);
    assert_eq!(moved["path_with_namespace"], "g2/p");
    let reply = lab.client.get("projects/g1%2Fp?statistics=true").await;
    assert_eq!(reply.status, 301);
    let location = format!("{}/api/v4/projects/{id}?statistics=true", lab.sandbox.url());
    assert_eq!(reply.header("location"), Some(location.as_str()));
    lab.client
        .put("projects/g1%2Fp", json!({ "description": "x" }))
        .await
        .expect(405);
    let renamed = lab
        .client
        .put(&format!("groups/{two}"), json!({ "path": "g3" }))
        .await
        .expect(200);
    assert_eq!(renamed["full_path"], "g3");
    assert_eq!(
        lab.client.get(&format!("projects/{id}")).await.expect(200)["path_with_namespace"],
        "g3/p"
    );
    lab.client.get("groups/g2").await.expect(404);
    assert_eq!(lab.client.get("projects/g2%2Fp").await.status, 301);
    lab.project(one, "p", json!({})).await;
    lab.client.get("projects/g1%2Fp").await.expect(200);
}

#[tokio::test]
async fn deletion_is_delayed_and_frees_the_path() {
    let lab = Lab::start().await;
    let group = lab.group("g1", json!({})).await;
    let id = lab.project(group, "p", json!({})).await;
    let path = format!("projects/{id}");
    let reply = lab.client.delete(&path).await.expect(202);
    assert_eq!(reply["message"], "202 Accepted");
    let marked = lab.client.get(&path).await.expect(200);
    assert_eq!(marked["path"], format!("p-deletion_scheduled-{id}"));
    assert_eq!(marked["archived"], true);
    assert!(marked["marked_for_deletion_on"].is_string());
    let refused = lab.client.delete(&path).await.expect(400);
    assert_eq!(refused["message"], "Project has already been marked for deletion");
    let other = lab.project(group, "p", json!({})).await;

    let now = format!("{path}?permanently_remove=true&full_path=");
    lab.client.delete(&format!("{now}g1/p")).await.expect(400);
    lab.client
        .delete(&format!("{now}g1/p-deletion_scheduled-{id}"))
        .await
        .expect(202);
    lab.client.get(&path).await.expect(404);

    lab.client.delete(&format!("projects/{other}")).await.expect(202);
    let restored = lab
        .client
        .post(&format!("projects/{other}/restore"), json!({}))
        .await
        .expect(201);
    assert_eq!(restored["path"], "p");
    assert_eq!(restored["archived"], false);
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let lab = Lab::start().await;
    let group = lab.group("g1", json!({})).await;
    let child = lab.group("sub", json!({ "parent_id": group })).await;
    for number in 0..25 {
        lab.project(group, &format!("p{number:02}"), json!({ "topics": ["odd"] }))
            .await;
    }
    lab.project(child, "deep", json!({})).await;
    let reply = lab
        .client
        .get("groups/g1/projects?per_page=10&order_by=path&sort=asc")
        .await;
    assert_eq!(reply.header("x-total"), Some("25"));
    assert_eq!(reply.header("x-next-page"), Some("2"));
    assert_eq!(reply.header("x-prev-page"), Some(""));
    let link = reply.header("link").unwrap().to_owned();
    assert!(
        link.contains("rel=\"next\"") && link.contains("page=2") && link.contains("rel=\"last\""),
        "{link}"
    );
    assert_eq!(reply.body[0]["path"], "p00");
    let all = lab
        .client
        .get("groups/g1/projects?include_subgroups=1&per_page=1000")
        .await;
    assert_eq!(all.header("x-per-page"), Some("100"));
    assert_eq!(all.expect(200).as_array().unwrap().len(), 26);
    assert_eq!(
        lab.client
            .get("projects?search=deep&simple=true")
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let refused = lab.client.get("projects?per_page=0").await.expect(400);
    assert_eq!(refused["error"], "per_page has a value not allowed");
    assert_eq!(
        lab.client.get("projects?page=0").await.header("x-page"),
        Some("1")
    );
    let beyond = lab.client.get("groups/g1/projects?page=9").await;
    assert_eq!(
        (beyond.header("x-prev-page"), beyond.header("x-total")),
        (Some(""), Some("25"))
    );
    lab.client
        .get("projects?page=1000&per_page=100")
        .await
        .expect(405);

    let mut seen = Vec::new();
    let mut next = Some("projects?pagination=keyset&order_by=id&sort=asc&per_page=10".to_owned());
    while let Some(path) = next {
        let reply = lab.client.get(&path).await;
        let link = reply.header("link").map(str::to_owned);
        seen.extend(
            reply
                .expect(200)
                .as_array()
                .unwrap()
                .iter()
                .map(|project| project["id"].as_u64().unwrap()),
        );
        next = link.map(|link| {
            let url = link.split(['<', '>']).nth(1).unwrap();
            url.strip_prefix(lab.sandbox.url()).unwrap().to_owned()
        });
    }
    assert_eq!(seen, (1..=26).collect::<Vec<_>>());
}
