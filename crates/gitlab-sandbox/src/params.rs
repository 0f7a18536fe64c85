//! Request parameters, coerced as Grape does: path, query string, and a JSON, form or multipart body, all in one map.

use jiff::{Timestamp, civil::Date};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};

/// The parameters of one request. Undeclared ones are never looked at, so they are ignored.
#[derive(Clone, Debug, Default)]
pub struct Params(Map<String, Value>);

const TRUE: [&str; 6] = ["1", "on", "t", "true", "y", "yes"];
const FALSE: [&str; 6] = ["0", "off", "f", "false", "n", "no"];

impl Params {
    /// Parses `a=1&b[]=2&c[d]=3`, over what is there already.
    pub fn add_urlencoded(&mut self, text: &str) {
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.add(&decode(key), Value::String(decode(value)));
        }
    }

    /// Adds the members of a JSON object.
    pub fn add_object(&mut self, object: Map<String, Value>) {
        self.0.extend(object);
    }

    /// Adds one value under a key such as `topics[]` or `container_expiration_policy_attributes[enabled]`.
    pub fn add(&mut self, key: &str, value: Value) {
        let mut parts = key.split('[');
        let first = parts.next().unwrap_or_default().to_owned();
        let rest: Vec<&str> = parts.map(|part| part.trim_end_matches(']')).collect();
        nest(self.0.entry(first).or_insert(Value::Null), &rest, value);
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The raw value; JSON null counts as not given.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }

    /// Refuses the request unless each of `keys` is given.
    pub fn require(&self, keys: &[&str]) -> ApiResult<()> {
        let missing: Vec<String> = keys
            .iter()
            .filter(|key| !self.has(key))
            .map(|key| format!("{key} is missing"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ApiError::parameter(missing.join(", ")))
    }

    pub fn string(&self, key: &str) -> ApiResult<Option<String>> {
        self.get(key).map_or(Ok(None), |value| coerce_string(key, value))
    }

    pub fn boolean(&self, key: &str) -> ApiResult<Option<bool>> {
        self.get(key).map_or(Ok(None), |value| coerce_boolean(key, value))
    }

    /// A boolean with a default.
    pub fn flag(&self, key: &str, default: bool) -> ApiResult<bool> {
        Ok(self.boolean(key)?.unwrap_or(default))
    }

    pub fn integer(&self, key: &str) -> ApiResult<Option<i64>> {
        self.get(key).map_or(Ok(None), |value| coerce_integer(key, value))
    }

    /// An id; negative numbers name nothing.
    pub fn id(&self, key: &str) -> ApiResult<Option<u64>> {
        Ok(self.integer(key)?.map(|id| u64::try_from(id).unwrap_or(0)))
    }

    /// One of the words that are allowed.
    pub fn one_of(&self, key: &str, values: &[&str]) -> ApiResult<Option<String>> {
        match self.string(key)? {
            Some(text) if !values.contains(&text.as_str()) => Err(invalid_value(key)),
            text => Ok(text),
        }
    }

    /// A role that a member can have: guest 10 to owner 50.
    pub fn access_level(&self, key: &str) -> ApiResult<Option<u8>> {
        const LEVELS: [i64; 6] = [10, 15, 20, 30, 40, 50];
        match self.integer(key)? {
            Some(level) if LEVELS.contains(&level) => Ok(Some(u8::try_from(level).unwrap_or(0))),
            Some(_) => Err(invalid_value(key)),
            None => Ok(None),
        }
    }

    pub fn date(&self, key: &str) -> ApiResult<Option<Date>> {
        match self.string(key)? {
            Some(text) if !text.is_empty() => {
                let day = text.get(..10).unwrap_or(&text);
                day.parse().map(Some).map_err(|_| invalid(key))
            }
            _ => Ok(None),
        }
    }

    pub fn timestamp(&self, key: &str) -> ApiResult<Option<Timestamp>> {
        match self.string(key)? {
            Some(text) if !text.is_empty() => {
                let midnight = format!("{text}T00:00:00Z");
                text.parse()
                    .or_else(|_| midnight.parse())
                    .map(Some)
                    .map_err(|_| invalid(key))
            }
            _ => Ok(None),
        }
    }

    /// A list, or its items with commas between them.
    pub fn strings(&self, key: &str) -> ApiResult<Option<Vec<String>>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let items = match value {
            Value::Array(items) => items
                .iter()
                .filter_map(|item| coerce_string(key, item).transpose())
                .collect(),
            value => {
                let text = coerce_string(key, value)?.unwrap_or_default();
                Ok(text
                    .split(',')
                    .map(|item| item.trim().to_owned())
                    .collect::<Vec<_>>())
            }
        };
        items.map(|items| Some(items.into_iter().filter(|item| !item.is_empty()).collect()))
    }

    /// A list of ids, or the ids with commas between them.
    pub fn ids(&self, key: &str) -> ApiResult<Vec<u64>> {
        let texts = self.strings(key)?.unwrap_or_default();
        texts
            .iter()
            .map(|text| text.parse().map_err(|_| invalid(key)))
            .collect()
    }
}

/// `name is invalid`: a value of the wrong type.
pub fn invalid(key: &str) -> ApiError {
    ApiError::parameter(format!("{key} is invalid"))
}

/// `name does not have a valid value`: a value that is not one of those allowed.
pub fn invalid_value(key: &str) -> ApiError {
    ApiError::parameter(format!("{key} does not have a valid value"))
}

pub fn coerce_string(key: &str, value: &Value) -> ApiResult<Option<String>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(_) | Value::Number(_) => Ok(Some(value.to_string())),
        Value::Array(_) | Value::Object(_) => Err(invalid(key)),
    }
}

/// An empty string is nil, as for every type but String.
pub fn coerce_boolean(key: &str, value: &Value) -> ApiResult<Option<bool>> {
    let Some(text) = coerce_string(key, value)? else {
        return Ok(None);
    };
    match text.to_lowercase().as_str() {
        "" => Ok(None),
        text if TRUE.contains(&text) => Ok(Some(true)),
        text if FALSE.contains(&text) => Ok(Some(false)),
        _ => Err(invalid(key)),
    }
}

pub fn coerce_integer(key: &str, value: &Value) -> ApiResult<Option<i64>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => text.trim().parse().map(Some).map_err(|_| invalid(key)),
        Value::Number(number) => number.as_i64().map(Some).ok_or_else(|| invalid(key)),
        _ => Err(invalid(key)),
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

/// Puts `value` at `path` below `slot`; an empty part appends to a list.
fn nest(slot: &mut Value, path: &[&str], value: Value) {
    let Some((part, rest)) = path.split_first() else {
        *slot = value;
        return;
    };
    if part.is_empty() {
        if !slot.is_array() {
            *slot = Value::Array(Vec::new());
        }
        let Value::Array(items) = slot else { return };
        // `a[][x]=1&a[][y]=2` is one item, until a member repeats.
        let joins = |item: &Value| {
            rest.first()
                .is_some_and(|key| item.is_object() && item.get(key).is_none())
        };
        if !items.last().is_some_and(joins) {
            items.push(Value::Null);
        }
        if let Some(last) = items.last_mut() {
            nest(last, rest, value);
        }
        return;
    }
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    if let Value::Object(members) = slot {
        nest(
            members.entry((*part).to_owned()).or_insert(Value::Null),
            rest,
            value,
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_nest_as_rack_nests_them() {
        let mut params = Params::default();
        params.add_urlencoded("a=1+2&t[]=x&t[]=y%26&o[enabled]=true&l[][id]=1&l[][x]=2&l[][id]=3");
        assert_eq!(params.get("a"), Some(&json!("1 2")));
        assert_eq!(params.get("t"), Some(&json!(["x", "y&"])));
        assert_eq!(params.get("o"), Some(&json!({ "enabled": "true" })));
        assert_eq!(
            params.get("l"),
            Some(&json!([{ "id": "1", "x": "2" }, { "id": "3" }]))
        );
    }

    #[test]
    fn values_are_coerced_as_grape_does() {
        let mut params = Params::default();
        params.set("yes", "on");
        params.set("no", 0);
        params.set("empty", "");
        params.set("words", "a, b,,c");
        params.set("wrong", "maybe");
        assert_eq!(params.boolean("yes").unwrap(), Some(true));
        assert_eq!(params.boolean("no").unwrap(), Some(false));
        assert_eq!(params.boolean("empty").unwrap(), None);
        assert_eq!(params.integer("empty").unwrap(), None);
        assert_eq!(params.strings("words").unwrap().unwrap(), ["a", "b", "c"]);
        assert_eq!(
            params.boolean("wrong").unwrap_err().to_string(),
            "wrong is invalid"
        );
        assert_eq!(
            params.one_of("wrong", &["x"]).unwrap_err().to_string(),
            "wrong does not have a valid value"
        );
    }
}
