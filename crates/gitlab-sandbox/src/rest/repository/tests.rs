//! The repository API over HTTP, on real repositories.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    app::Edition,
    fixture::{Forge, PROJECT},
    store::Grantee,
};

const MAINTAINERS: Grantee = Grantee::Role(40);

/// A served forge and a client for it.
struct Api {
    forge: Forge,
    client: Client,
}

/// Status and body; null where there is none.
type Answer = (StatusCode, Value);

impl Api {
    async fn new() -> Self {
        // Another test may have installed it: either way there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut forge = Forge::new(Edition::Ce).await;
        forge.serve();
        let client = Client::new();
        Self { forge, client }
    }

    fn request(&self, user: &str, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/api/v4/projects/{PROJECT}/repository/{path}", self.forge.url);
        self.client
            .request(method, url)
            .header("PRIVATE-TOKEN", Forge::token(user))
    }

    async fn send(&self, user: &str, method: Method, path: &str, body: Value) -> Answer {
        let response = self
            .request(user, method, path)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("maintainer", Method::GET, path, json!({})).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("maintainer", Method::POST, path, body).await
    }

    /// A repository with `README.md` and `src/lib.rs` on `main`.
    async fn with_files() -> Self {
        let api = Self::new().await;
        let (status, body) = api
            .post(
                "commits",
                json!({ "branch": "main", "commit_message": "First\n\nReviewed-by: A <a@example.com>", "actions": [
                    { "action": "create", "file_path": "README.md", "content": "hello\n" },
                    { "action": "create", "file_path": "src/lib.rs", "content": "bGliCg==\n", "encoding": "base64" },
                ] }),
            )
            .await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        api
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["name"].as_str()).collect()
}

fn message(text: &str) -> Value {
    json!({ "message": text })
}

#[tokio::test]
async fn a_commit_creates_updates_moves_and_deletes() {
    let api = Api::with_files().await;
    let (status, commit) = api
        .post(
            "commits",
            json!({ "branch": "main", "commit_message": "Second", "author_name": "Ada", "actions": [
                { "action": "update", "file_path": "README.md", "content": "bye\n" },
                { "action": "move", "file_path": "lib.rs", "previous_path": "src/lib.rs" },
                { "action": "create", "file_path": "empty" },
                { "action": "chmod", "file_path": "empty", "execute_filemode": true },
            ] }),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED, "{commit}");
    assert_eq!(
        (&commit["title"], &commit["author_name"]),
        (&json!("Second"), &json!("Ada"))
    );
    assert_eq!(
        commit["stats"],
        json!({ "additions": 2, "deletions": 2, "total": 4 })
    );
    let (_, tree) = api.get("tree?recursive=true").await;
    assert_eq!(names(&tree), ["README.md", "empty", "lib.rs"]);
    assert_eq!(tree[1]["mode"], "100755");

    let (_, commits) = api.get("commits").await;
    assert_eq!(commits[0]["parent_ids"], json!([commits[1]["id"]]));
    assert_eq!(
        commits[1]["trailers"],
        json!({ "Reviewed-by": "A <a@example.com>" })
    );
    let (_, of_file) = api.get("commits?path=README.md&per_page=1&page=2").await;
    assert_eq!(of_file[0]["title"], "First");
    let (status, body) = api.get("commits/nope").await;
    assert_eq!(
        (status, body),
        (StatusCode::NOT_FOUND, message("404 Commit Not Found"))
    );

    let delete = json!({ "branch": "main", "commit_message": "Third", "actions": [{ "action": "delete", "file_path": "lib.rs" }] });
    assert_eq!(api.post("commits", delete).await.0, StatusCode::CREATED);
    assert_eq!(names(&api.get("tree").await.1), ["README.md", "empty"]);
}

#[tokio::test]
async fn a_commit_that_cannot_be_made_is_400_and_changes_nothing() {
    let api = Api::with_files().await;
    let before = api.get("branches/main").await.1["commit"]["id"].clone();
    let one = |action: Value| json!({ "branch": "main", "commit_message": "x", "actions": [action] });
    let cases = [
        (
            one(json!({ "action": "create", "file_path": "README.md" })),
            "A file with this name already exists",
        ),
        (
            one(json!({ "action": "create", "file_path": "src" })),
            "A directory with this name already exists",
        ),
        (
            one(json!({ "action": "update", "file_path": "nope", "content": "" })),
            "A file with this name doesn't exist",
        ),
        (
            one(json!({ "action": "delete", "file_path": "nope" })),
            "A file with this name doesn't exist",
        ),
        (
            one(json!({ "action": "create", "file_path": "a/../b" })),
            "Path cannot include directory traversal",
        ),
        (
            one(json!({ "action": "copy", "file_path": "a" })),
            "400 Bad request - actions[0][action] must be one of: create, update, move, delete, chmod",
        ),
        (
            one(json!({ "action": "update", "file_path": "a" })),
            "400 Bad request - actions[0][content] is required for update action",
        ),
        (
            json!({ "branch": "main", "commit_message": "x" }),
            "400 Bad request - Provide at least one action, or set allow_empty to true",
        ),
        (
            json!({ "branch": "main", "actions": [] }),
            "400 Bad request - commit_message is required",
        ),
        (
            json!({ "branch": "new", "commit_message": "x", "actions": [{ "action": "create", "file_path": "a" }] }),
            "You can only create or edit files when you are on a branch",
        ),
        (
            json!({ "branch": "main", "start_branch": "other", "commit_message": "x", "actions": [{ "action": "create", "file_path": "a" }] }),
            "A branch called 'main' already exists. Switch to that branch in order to make changes",
        ),
    ];
    for (body, error) in cases {
        assert_eq!(
            api.post("commits", body).await,
            (StatusCode::BAD_REQUEST, message(error))
        );
    }
    assert_eq!(api.get("branches/main").await.1["commit"]["id"], before);
}

#[tokio::test]
async fn a_protected_branch_takes_commits_only_from_those_it_names() {
    let api = Api::with_files().await;
    api.forge.protect("main", &[MAINTAINERS], &[MAINTAINERS], false);
    let body = json!({ "branch": "main", "commit_message": "x", "actions": [{ "action": "create", "file_path": "a" }] });
    let refused = api.send("developer", Method::POST, "commits", body.clone()).await;
    let reason = message("403 Forbidden - You are not allowed to push into this branch");
    assert_eq!(refused, (StatusCode::FORBIDDEN, reason));
    assert_eq!(api.post("commits", body.clone()).await.0, StatusCode::CREATED);
    let mut elsewhere = body;
    elsewhere["branch"] = json!("topic");
    elsewhere["start_branch"] = json!("main");
    elsewhere["actions"][0]["file_path"] = json!("b");
    assert_eq!(
        api.send("developer", Method::POST, "commits", elsewhere).await.0,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn branches_are_created_listed_and_deleted() {
    let api = Api::with_files().await;
    let create = json!({ "branch": "topic/a", "ref": "main" });
    let (status, branch) = api
        .send("developer", Method::POST, "branches", create.clone())
        .await;
    assert_eq!(status, StatusCode::CREATED, "{branch}");
    assert_eq!(
        (&branch["default"], &branch["merged"], &branch["protected"]),
        (&json!(false), &json!(false), &json!(false))
    );
    assert_eq!(
        api.post("branches", create).await,
        (StatusCode::BAD_REQUEST, message("Branch already exists"))
    );
    let invalid = api
        .post("branches", json!({ "branch": "b", "ref": "nope" }))
        .await;
    let reason = message("Failed to create branch 'b': invalid reference name 'nope'");
    assert_eq!(invalid, (StatusCode::BAD_REQUEST, reason));
    let bad_name = api
        .post("branches", json!({ "branch": "a..b", "ref": "main" }))
        .await;
    assert_eq!(
        bad_name,
        (StatusCode::BAD_REQUEST, message("Branch name is invalid"))
    );

    assert_eq!(names(&api.get("branches").await.1), ["main", "topic/a"]);
    assert_eq!(names(&api.get("branches?search=^TOP").await.1), ["topic/a"]);
    assert_eq!(api.get("branches/topic%2Fa").await.1["name"], "topic/a");
    let missing = api.get("branches/nope").await;
    assert_eq!(missing, (StatusCode::NOT_FOUND, message("404 Branch Not Found")));

    api.forge
        .protect("topic/*", &[Grantee::Role(30)], &[Grantee::Role(0)], false);
    let (_, protected) = api
        .send("developer", Method::GET, "branches/topic%2Fa", json!({}))
        .await;
    assert_eq!(
        (
            &protected["protected"],
            &protected["developers_can_push"],
            &protected["developers_can_merge"],
            &protected["can_push"]
        ),
        (&json!(true), &json!(true), &json!(false), &json!(true))
    );
    let (status, _) = api
        .send("developer", Method::DELETE, "branches/topic%2Fa", json!({}))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = api
        .send("maintainer", Method::DELETE, "branches/topic%2Fa", json!({}))
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let default = api
        .send("maintainer", Method::DELETE, "branches/main", json!({}))
        .await;
    assert_eq!(
        default,
        (
            StatusCode::BAD_REQUEST,
            message("The default branch of a project cannot be deleted.")
        )
    );
}

#[tokio::test]
async fn a_branch_in_an_empty_repository_brings_a_readme() {
    let api = Api::new().await;
    assert_eq!(api.get("branches").await, (StatusCode::OK, json!([])));
    assert_eq!(
        api.get("tree").await,
        (StatusCode::NOT_FOUND, message("404 Tree Not Found"))
    );
    let (status, body) = api
        .post("branches", json!({ "branch": "topic", "ref": "main" }))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(names(&api.get("branches").await.1), ["main", "topic"]);
    assert_eq!(names(&api.get("tree").await.1), ["README.md"]);
}

#[tokio::test]
async fn tags_are_light_or_annotated() {
    let api = Api::with_files().await;
    let (status, light) = api
        .post("tags", json!({ "tag_name": "v1.2", "ref": "main" }))
        .await;
    assert_eq!(status, StatusCode::CREATED, "{light}");
    assert_eq!(
        (&light["message"], &light["target"]),
        (&json!(""), &light["commit"]["id"])
    );
    let (_, annotated) = api
        .post(
            "tags",
            json!({ "tag_name": "v1.10", "ref": "main", "message": "Ten" }),
        )
        .await;
    assert_eq!(annotated["message"], "Ten");
    assert_ne!(annotated["target"], annotated["commit"]["id"]);
    let again = api
        .post("tags", json!({ "tag_name": "v1.2", "ref": "main" }))
        .await;
    assert_eq!(
        again,
        (StatusCode::BAD_REQUEST, message("Tag v1.2 already exists"))
    );
    assert_eq!(
        names(&api.get("tags?order_by=version").await.1),
        ["v1.10", "v1.2"]
    );
    let (status, _) = api
        .send("maintainer", Method::DELETE, "tags/v1.2", json!({}))
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(
        api.get("tags/v1.2").await,
        (StatusCode::NOT_FOUND, message("404 Tag Not Found"))
    );
}

#[tokio::test]
async fn files_are_read_written_and_guarded_by_the_last_commit() {
    let api = Api::with_files().await;
    let (_, file) = api.get("files/src%2Flib.rs?ref=main").await;
    assert_eq!(
        (&file["content"], &file["size"], &file["file_name"]),
        (&json!("bGliCg=="), &json!(4), &json!("lib.rs"))
    );
    let head = api
        .request("maintainer", Method::HEAD, "files/README.md?ref=main")
        .send()
        .await
        .expect("an answer");
    assert_eq!(head.headers()["x-gitlab-file-path"], "README.md");
    let raw = api
        .request("maintainer", Method::GET, "files/README.md/raw")
        .send()
        .await
        .expect("an answer");
    assert_eq!(raw.text().await.expect("a body"), "hello\n");
    assert_eq!(
        api.get("files/README.md").await,
        (StatusCode::BAD_REQUEST, json!({ "error": "ref is missing" }))
    );
    assert_eq!(
        api.get("files/nope?ref=main").await,
        (StatusCode::NOT_FOUND, message("404 File Not Found"))
    );

    // As Python's base64.encodebytes does: lines of 76 characters.
    let content = format!("{}\n{}\n", "QUFB".repeat(19), "QUE=");
    let body = json!({ "branch": "main", "commit_message": "x", "content": content, "encoding": "base64" });
    let (status, created) = api.post("files/a%2Fb", body.clone()).await;
    assert_eq!(
        (status, created),
        (
            StatusCode::CREATED,
            json!({ "file_path": "a/b", "branch": "main" })
        )
    );
    assert_eq!(api.get("files/a%2Fb?ref=main").await.1["size"], 59);
    let again = api.post("files/a%2Fb", body.clone()).await;
    assert_eq!(
        again,
        (
            StatusCode::BAD_REQUEST,
            message("A file with this name already exists")
        )
    );

    let stale = file["last_commit_id"].clone();
    let write = |last: Value| json!({ "branch": "main", "commit_message": "y", "content": "z", "last_commit_id": last });
    let path = "files/src%2Flib.rs";
    assert_eq!(
        api.send("maintainer", Method::PUT, path, write(stale.clone()))
            .await
            .0,
        StatusCode::OK
    );
    let refused = api.send("maintainer", Method::PUT, path, write(stale)).await;
    let reason =
        message("You are attempting to update a file that has changed since you started editing it.");
    assert_eq!(refused, (StatusCode::BAD_REQUEST, reason));
    let delete = json!({ "branch": "main", "commit_message": "d" });
    assert_eq!(
        api.send("maintainer", Method::DELETE, path, delete).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        api.get("files/src%2Flib.rs?ref=main").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn code_is_hidden_from_guests_and_read_only_for_reporters() {
    let api = Api::with_files().await;
    for (user, read, write) in [
        ("guest", StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
        ("reporter", StatusCode::OK, StatusCode::FORBIDDEN),
        ("stranger", StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
    ] {
        assert_eq!(
            api.send(user, Method::GET, "branches", json!({})).await.0,
            read,
            "{user}"
        );
        let create = json!({ "branch": "b", "ref": "main" });
        assert_eq!(
            api.send(user, Method::POST, "branches", create).await.0,
            write,
            "{user}"
        );
    }
}
