//! A small HTTP client for the tests.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{sync::Once, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use gitlab_sandbox::{Options, Sandbox};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A sandbox with a client that sends its administrator's token.
pub struct Lab {
    pub sandbox: Sandbox,
    pub client: Client,
    pub dir: TempDir,
}

/// Sends requests with one token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    /// Name and value of the header that says who asks.
    credential: Option<(&'static str, String)>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Lab {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut options = Options::new(dir.path());
        options.protection_delay = Duration::from_millis(20);
        change(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        let client = Client::new(sandbox.url(), sandbox.token());
        Self { sandbox, client, dir }
    }

    /// A new user, and a client that sends their token.
    pub async fn user(&self, name: &str, scopes: &[&str]) -> (u64, Client) {
        let user = json!({
            "username": name, "name": name, "email": format!("{name}@example.com"), "force_random_password": true,
        });
        let user = self.client.post("users", user).await.expect(201);
        let id = user["id"].as_u64().unwrap();
        let path = format!("users/{id}/personal_access_tokens");
        let token = self
            .client
            .post(&path, json!({ "name": "test", "scopes": scopes }))
            .await
            .expect(201);
        (id, self.client.with_token(token["token"].as_str().unwrap()))
    }

    /// A new top-level group; returns its id.
    pub async fn group(&self, path: &str, more: Value) -> u64 {
        let mut group = json!({ "name": path, "path": path });
        group
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.client.post("groups", group).await.expect(201)["id"]
            .as_u64()
            .unwrap()
    }

    /// A new project; returns its id.
    pub async fn project(&self, namespace: u64, path: &str, more: Value) -> u64 {
        let mut project = json!({ "path": path, "namespace_id": namespace });
        project
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.client.post("projects", project).await.expect(201)["id"]
            .as_u64()
            .unwrap()
    }
}

impl Client {
    pub fn new(url: &str, token: &str) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .unwrap();
        });
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            http,
            url: url.to_owned(),
            credential: Some(("PRIVATE-TOKEN", token.to_owned())),
        }
    }

    pub fn with_token(&self, token: &str) -> Self {
        self.with_credential("PRIVATE-TOKEN", token)
    }

    /// Asks with another header instead of a token's.
    pub fn with_credential(&self, header: &'static str, value: &str) -> Self {
        Self {
            credential: Some((header, value.to_owned())),
            ..self.clone()
        }
    }

    /// Asks with basic authentication.
    pub fn with_password(&self, name: &str, password: &str) -> Self {
        let encoded = BASE64.encode(format!("{name}:{password}"));
        self.with_credential("Authorization", &format!("Basic {encoded}"))
    }

    pub fn anonymous(&self) -> Self {
        Self {
            credential: None,
            ..self.clone()
        }
    }

    /// Posts a body as it is.
    pub async fn post_file(&self, path: &str, body: &str) -> Reply {
        let request = self.request(Method::POST, path).body(body.to_owned());
        Self::finish(request).await.unwrap()
    }

    /// A `DELETE` with a body, as Terraform unlocks.
    pub async fn delete_with(&self, path: &str, body: Value) -> Reply {
        self.send(Method::DELETE, path, Some(body)).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await.unwrap()
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body)).await.unwrap()
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, Some(body)).await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None).await.unwrap()
    }

    /// Arms a fault.
    pub async fn arm(&self, rule: Value) {
        self.post("/-/sandbox/faults", rule).await.expect(201);
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Reply> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Self::finish(request).await
    }

    /// `path` is below `/api/v4/` unless it starts with a slash.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.starts_with('/') {
            true => format!("{}{path}", self.url),
            false => format!("{}/api/v4/{path}", self.url),
        };
        let request = self.http.request(method, url);
        match &self.credential {
            Some((name, value)) => request.header(*name, value),
            None => request,
        }
    }

    async fn finish(request: RequestBuilder) -> reqwest::Result<Reply> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Reply {
            status,
            headers,
            body,
        })
    }
}

/// Asks again until the answer is as wanted.
pub async fn eventually(client: &Client, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..500 {
        let body = client.get(path).await.body;
        if wanted(&body) {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never answered as wanted");
}
