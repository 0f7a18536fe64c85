//! CI/CD variables.

use serde_json::{Value, json};

use super::{View, members};
use crate::store::Variable;

impl View<'_> {
    pub fn variable(self, variable: &Variable) -> Value {
        let mut entity = members(json!({
            "variable_type": variable.variable_type(),
            "key": variable.key,
            "value": variable.shown_value(),
            "protected": variable.protected,
            "masked": variable.masked,
            "raw": variable.raw,
            "description": variable.description,
        }));
        if variable.source.is_some() {
            entity.insert("hidden".to_owned(), json!(variable.hidden));
            entity.insert("environment_scope".to_owned(), json!(variable.environment_scope));
        }
        Value::Object(entity)
    }
}
