//! GitLab's Terraform-state API, which keeps any JSON that has a `serial`, with a lock and every earlier version.
//!
//! The one thing that is written without a journal: it is where a journal may be kept.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{Call, Repeat, Reply, refused};
use super::{Client, Counts, Error, Kind, segment};

/// One state of a project.
#[derive(Clone)]
pub struct TerraformState {
    client: Client,
    project: String,
    name: String,
}

/// Who holds the lock of a state. GitLab keeps no more of it than this.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateLock {
    /// What the holder calls it.
    #[serde(rename = "ID")]
    pub id: String,
    /// The user.
    pub who: String,
    /// Since when.
    pub created: Timestamp,
}

impl TerraformState {
    /// The state `name` of the project at the path `project`; nothing is sent yet.
    pub fn new(client: Client, project: &str, name: &str) -> Self {
        TerraformState {
            client,
            project: project.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Requests sent so far.
    pub fn counts(&self) -> Counts {
        self.client.counts()
    }

    /// The newest version, or `None` where there is none yet. A project that is not there is an error.
    pub async fn get(&self) -> Result<Option<Value>, Error> {
        self.read("").await
    }

    /// The version with a serial, or `None` where there is none any more. The state itself was read before.
    pub async fn version(&self, serial: u64) -> Result<Option<Value>, Error> {
        match self.read(&format!("/versions/{serial}")).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            read => read,
        }
    }

    async fn read(&self, below: &str) -> Result<Option<Value>, Error> {
        let call = Call {
            also: &[404],
            ..self.call(Method::GET, below, &[])?
        };
        let reply = self.client.0.call(&call).await?;
        match reply.status {
            StatusCode::NO_CONTENT => Ok(None),
            // GitLab's words for a state. For a project it has others, and what stands between has its own.
            StatusCode::NOT_FOUND if reply.json()["message"] == "404 Not found" => Ok(None),
            StatusCode::NOT_FOUND => Err(refused(&call, &reply, &reply.json(), 1)),
            _ => reply.decode(&call.subject).map(Some),
        }
    }

    /// Saves a version under `lock_id`. Not repeated: its serial can be taken but once.
    pub async fn save(&self, document: &Value, lock_id: &str) -> Result<(), Error> {
        let call = Call {
            body: Some(document),
            ..self.call(Method::POST, "", &[("ID", lock_id)])?
        };
        self.client.0.call(&call).await.map(drop)
    }

    /// Takes the lock under `id`, and gives the holder: whoever holds it already, or this one. `operation` and `info`
    /// are for other clients of the same protocol.
    pub async fn lock(&self, id: &str, operation: &str, who: &str, info: &str) -> Result<StateLock, Error> {
        let body = json!({
            "ID": id,
            "Operation": operation,
            "Info": info,
            "Who": who,
            "Version": env!("CARGO_PKG_VERSION"),
            "Created": Timestamp::now(),
            "Path": self.name,
        });
        let call = Call {
            body: Some(&body),
            repeat: Repeat::Safe,
            also: &[409],
            ..self.call(Method::POST, "/lock", &[])?
        };
        self.client.0.call(&call).await?.decode(&call.subject)
    }

    /// Gives the lock `id` back, or whichever there is without one, and says whether it was still that lock.
    pub async fn unlock(&self, id: Option<&str>) -> Result<bool, Error> {
        let query: Vec<_> = id.into_iter().map(|id| ("ID", id)).collect();
        let call = Call {
            repeat: Repeat::Safe,
            also: &[409],
            ..self.call(Method::DELETE, "/lock", &query)?
        };
        let reply: Reply = self.client.0.call(&call).await?;
        Ok(reply.status != StatusCode::CONFLICT)
    }

    /// Who holds the lock and since when, as a reader can find out: without the lock's id.
    pub async fn holder(&self) -> Result<Option<StateLock>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct State {
            locked_at: Option<Timestamp>,
            locked_by_user: Option<User>,
        }
        #[derive(Deserialize)]
        struct User {
            username: String,
        }
        const LOCK: &str = "query stateLock($project: ID!, $name: String!) {
          project(fullPath: $project) { terraformState(name: $name) { lockedAt lockedByUser { username } } }
        }";
        let variables = json!({"project": self.project, "name": self.name});
        let mut data: Value = self.client.reader().query(LOCK, variables).await?;
        let state = data["project"]["terraformState"].take();
        let state: Option<State> = serde_json::from_value(state)
            .map_err(|_| Error::new(Kind::Decode, "query stateLock", "the reply is not as documented"))?;
        Ok(state.and_then(|state| {
            Some(StateLock {
                id: String::new(),
                who: state.locked_by_user?.username,
                created: state.locked_at?,
            })
        }))
    }

    fn call(&self, method: Method, below: &str, query: &[(&str, &str)]) -> Result<Call<'static>, Error> {
        let path = format!(
            "/projects/{}/terraform/state/{}{below}",
            segment(&self.project),
            segment(&self.name)
        );
        Ok(Call {
            url: self.client.0.rest_url(&path, query)?,
            subject: format!("{method} {path}"),
            writes: method != Method::GET,
            repeat: match method {
                Method::GET => Repeat::Safe,
                _ => Repeat::Never,
            },
            method,
            body: None,
            also: &[],
        })
    }
}
