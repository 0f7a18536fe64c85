//! Writing variables: each by one request, which says the scope, since a key may stand for several variables.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{EVERYWHERE, refuses};
use crate::core::{Action, Fields, Present};
use crate::kinds::{Context, Error, Task};
use crate::live::gitlab::{Kind as Fault, Writer, segment};

/// What a hidden variable holds until it gets its value: something that GitLab can mask.
const NOTHING_TO_HIDE: &str = "not-set-yet";

/// Where one variable is.
pub struct Place<'a> {
    /// The list that it is in.
    pub list: String,
    /// Its key.
    pub key: &'a str,
    /// Its scope; `None` where there are none.
    pub scope: Option<&'a str>,
    /// Whether GitLab changes a variable of another scope where it finds none of this one, and makes one of another scope
    /// where the licence has none.
    pub may_mistake: bool,
}

impl Place<'_> {
    /// Carries out one step. Gives what is there then, as GitLab answers it; `None` after a removal.
    pub async fn carry_out(&self, cx: &Context, task: &Task<'_>) -> Result<Option<Fields>, Error> {
        match (task.step.action, task.live) {
            (Action::Delete, _) => {
                cx.writer.delete(&self.at(), &filter(self.scope)).await?;
                Ok(None)
            }
            (Action::Create, _) => self.create(&cx.writer, task).await.map(Some),
            (_, Some(live)) => self.update(&cx.writer, task, live).await.map(Some),
            (_, None) => Err(gone()),
        }
    }

    fn at(&self) -> String {
        format!("{}/{}", self.list, segment(self.key))
    }

    async fn create(&self, writer: &Writer, task: &Task<'_>) -> Result<Fields, Error> {
        let mut body = task.step.value.clone();
        body.insert("key".into(), self.key.into());
        let is_hidden = body.remove("hidden") == Some(Value::Bool(true));
        if is_hidden {
            body.insert("masked_and_hidden".into(), true.into());
        }
        if let Some(scope) = self.scope {
            body.insert("environment_scope".into(), scope.into());
        }
        // Nothing of the value is given away before it is certain to which environments.
        let mut later = Fields::from_iter([("value".to_owned(), value(task)?)]);
        if !self.may_mistake || self.scope == Some(EVERYWHERE) {
            body.append(&mut later);
        } else if is_hidden {
            body.insert("value".into(), NOTHING_TO_HIDE.into());
        } else {
            later.extend(body.remove_entry("masked"));
            body.insert("value".into(), "".into());
        }
        let made: Fields = writer.post(&self.list, Value::Object(body)).await?;
        match (made.get("environment_scope").and_then(Value::as_str), self.scope) {
            (Some(made), Some(asked)) if made != asked => Err(self.undo(writer, made, asked).await?),
            _ if later.is_empty() => Ok(made),
            _ => self.fill(writer, later).await,
        }
    }

    /// Gives what was just made its value. What does not take it does not stay.
    async fn fill(&self, writer: &Writer, mut body: Fields) -> Result<Fields, Error> {
        let scope = self.scope.unwrap_or(EVERYWHERE);
        body.insert("filter".into(), json!({"environment_scope": scope}));
        match writer.put(&self.at(), Value::Object(body)).await {
            Err(error) if error.kind() == Fault::Invalid => {
                writer.delete(&self.at(), &filter(self.scope)).await?;
                Err(error.into())
            }
            filled => Ok(filled?),
        }
    }

    /// Removes what GitLab made for other environments than it was asked to: it drops the scope of a group's variable
    /// where the licence has none.
    async fn undo(&self, writer: &Writer, made: &str, asked: &str) -> Result<Error, Error> {
        writer.delete(&self.at(), &filter(Some(made))).await?;
        Ok(Error::Refused(format!(
            "GitLab made it for the environments `{made}` instead of `{asked}`, so it was removed at once: scopes of \
             group variables take GitLab Premium"
        )))
    }

    async fn update(&self, writer: &Writer, task: &Task<'_>, live: &Present) -> Result<Fields, Error> {
        let mut body = Fields::new();
        for change in &task.step.changes {
            let asked = match change.field.as_str() {
                "value" => value(task)?,
                // The planner refuses it: what is there now was made by somebody else since.
                "hidden" => {
                    let why = refuses(change, &task.step.value, live);
                    return Err(why.map_or_else(gone, Error::Refused));
                }
                _ => change.after.clone().unwrap_or_default(),
            };
            body.insert(change.field.clone(), asked);
        }
        if self.may_mistake {
            self.expect(writer).await?;
        }
        if let Some(scope) = self.scope {
            body.insert("filter".into(), json!({"environment_scope": scope}));
        }
        Ok(writer.put(&self.at(), Value::Object(body)).await?)
    }

    /// Makes sure that the variable is there.
    async fn expect(&self, writer: &Writer) -> Result<(), Error> {
        match writer
            .reader()
            .get::<Fields>(&self.at(), &filter(self.scope))
            .await
        {
            Err(error) if error.kind() == Fault::NotFound => Err(gone()),
            found => Ok(found.map(drop)?),
        }
    }
}

/// What tells a variable from others of the same key.
fn filter(scope: Option<&str>) -> Vec<(&str, &str)> {
    let filter = scope.map(|scope| ("filter[environment_scope]", scope));
    filter.into_iter().collect()
}

/// The value to set.
fn value(task: &Task<'_>) -> Result<Value, Error> {
    let unknown = || Error::Refused("its value is not known any more: plan again".into());
    Ok(task
        .secrets
        .get("value")
        .ok_or_else(unknown)?
        .expose_secret()
        .into())
}

fn gone() -> Error {
    Error::Refused("it is not there any more: plan again".into())
}
