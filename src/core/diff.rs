//! Diff: what is declared against what is live, field by field. What is not declared is not compared.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::impact::Impact;

/// The fields of one resource.
pub type Fields = Map<String, Value>;

/// One field's before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The field, dotted where it is nested: `container_expiration_policy.keep_n`.
    pub field: String,
    /// What is live; `None` where nothing is, or where it cannot be read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is asked for; `None` where the field goes with its resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// What it does to people.
    #[serde(default)]
    pub impact: Impact,
    /// Why the two differ.
    #[serde(default)]
    pub cause: Cause,
    /// A value that is never shown; `before` and `after` hold none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

impl Change {
    /// A change whose impact and cause are yet to be judged.
    pub fn new(field: impl Into<String>, before: Option<Value>, after: Option<Value>) -> Self {
        Change {
            field: field.into(),
            before,
            after,
            impact: Impact::Neutral,
            cause: Cause::First,
            secret: false,
        }
    }

    /// The change of a field whose value is never shown.
    pub fn secret(field: impl Into<String>) -> Self {
        Change {
            secret: true,
            ..Change::new(field, None, None)
        }
    }

    /// The value before, as text; empty where there is none.
    pub fn before_str(&self) -> &str {
        self.before.as_ref().and_then(Value::as_str).unwrap_or_default()
    }

    /// The value after, as text; empty where there is none.
    pub fn after_str(&self) -> &str {
        self.after.as_ref().and_then(Value::as_str).unwrap_or_default()
    }
}

/// Why a field's declared and live values differ, told from the fingerprint of what was last applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing is recorded: AutoGit never applied this field.
    #[default]
    First,
    /// The config asks for something else than was last applied.
    Config,
    /// The config did not change; live moved.
    Drift,
}

/// The declared fields that live does not have as asked. Both sides are in their kind's normal form, so sets are sorted.
pub fn diff(declared: &Fields, live: &Fields) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", declared, live, &mut changes);
    changes
}

fn compare(prefix: &str, declared: &Fields, live: &Fields, changes: &mut Vec<Change>) {
    for (name, asked) in declared {
        match (asked, live.get(name)) {
            (asked, Some(found)) if asked == found => {}
            (Value::Object(asked), Some(Value::Object(found))) => {
                compare(&format!("{prefix}{name}."), asked, found, changes);
            }
            (asked, found) => {
                changes.push(Change::new(
                    format!("{prefix}{name}"),
                    found.cloned(),
                    Some(asked.clone()),
                ));
            }
        }
    }
}

/// The value at a dotted field.
pub fn at<'a>(fields: &'a Fields, field: &str) -> Option<&'a Value> {
    let (first, rest) = match field.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (field, None),
    };
    let value = fields.get(first)?;
    match rest {
        Some(rest) => at(value.as_object()?, rest),
        None => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn only_what_is_declared_is_compared() {
        let live = fields(json!({"a": 1, "b": {"x": 1, "y": 2}, "c": 3}));
        assert_eq!(diff(&fields(json!({"a": 1, "b": {"x": 1}})), &live), []);
        let changes = diff(&fields(json!({"a": 2, "b": {"y": 3}, "d": null})), &live);
        let named: Vec<_> = changes.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(named, ["a", "b.y", "d"]);
        assert_eq!(at(&live, "b.y"), changes[1].before.as_ref());
    }

    fn any_fields() -> impl Strategy<Value = Fields> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..4).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(2, 12, 3, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }

    /// Does to `live` what the changes say, as an apply would.
    fn carry_out(changes: &[Change], live: &mut Fields) {
        for change in changes {
            let mut place = &mut *live;
            let mut names = change.field.split('.').peekable();
            while let Some(name) = names.next() {
                if names.peek().is_none() {
                    place.insert(
                        name.to_owned(),
                        change.after.clone().expect("diff asks for a value"),
                    );
                    break;
                }
                place = place
                    .get_mut(name)
                    .and_then(Value::as_object_mut)
                    .expect("a nested field's parents exist");
            }
        }
    }

    proptest! {
        #[test]
        fn carrying_out_a_diff_leaves_none(declared in any_fields(), mut live in any_fields()) {
            let untouched: Vec<_> = live.iter().filter(|(name, _)| !declared.contains_key(*name))
                .map(|(name, value)| (name.clone(), value.clone())).collect();
            let changes = diff(&declared, &live);
            carry_out(&changes, &mut live);
            prop_assert_eq!(diff(&declared, &live), vec![]);
            for (name, value) in untouched {
                prop_assert_eq!(live.get(&name), Some(&value));
            }
        }
    }
}
