//! Judging values that stand in no file by the same measure as those that do.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::core::Key;

use super::check::{Extent, check};
use super::diagnostic::{Diagnostic, Report};
use super::grammar::{Additional, Grammar, TermId};
use super::schema::schema;
use super::shape::{FieldProblem, Shape};
use super::tree::{Data, Entry, Node, Span};
use super::write;

/// The rules of the whole language.
pub struct Judge {
    grammar: Grammar,
}

/// What can be declared of a resource, and what not.
#[derive(Debug, Default, PartialEq)]
pub struct Declarable {
    /// The fields that can, in normal form.
    pub fields: Map<String, Value>,
    /// The fields that cannot, and why.
    pub refused: Vec<(String, String)>,
    /// Those of the former that only GitLab Enterprise Edition knows.
    pub enterprise: Vec<String>,
}

impl Judge {
    /// The rules of a language whose kinds are `shapes`.
    pub fn new(shapes: &[Shape]) -> Self {
        Judge {
            grammar: Grammar::compile(&schema(shapes)),
        }
    }

    /// What of `fields` can be declared and reads back as it is. A null says nothing, and is in neither part.
    ///
    /// # Errors
    /// Why no such resource can be declared at all.
    pub fn declarable(
        &self,
        shape: &Shape,
        key: &Key,
        fields: &Map<String, Value>,
    ) -> Result<Declarable, String> {
        (shape.check_key)(key)?;
        let mut declarable = Declarable::default();
        for (field, value) in fields {
            let term = self.grammar.get(self.grammar.id(shape.name)).field(field);
            let Some(value) = self.writable(term, value) else {
                continue;
            };
            match self.field(shape, field, &value) {
                Ok(enterprise) => {
                    declarable.enterprise.extend(enterprise.then(|| field.clone()));
                    declarable.fields.insert(field.clone(), value);
                }
                Err(why) => declarable.refused.push((field.clone(), why)),
            }
        }
        while let Some(refused) = refused(shape, key, &declarable.fields)? {
            for (field, why) in refused {
                if declarable.fields.remove(&field).is_some() {
                    declarable.enterprise.retain(|enterprise| *enterprise != field);
                    declarable.refused.push((field, why));
                }
            }
        }
        let whole = node(&Value::Object(declarable.fields.clone()), Span::point(0, 1, 1));
        self.check(shape, &whole, Extent::Whole, "")?;
        Ok(declarable)
    }

    /// Whether only Enterprise Edition knows a field that can be written with this value.
    fn field(&self, shape: &Shape, field: &str, value: &Value) -> Result<bool, String> {
        let alone = Value::Object(Map::from_iter([(field.to_owned(), value.clone())]));
        let shown = write::flow(value);
        let mut span = Span::point(0, 1, 1);
        span.end_column = shown.chars().count() as u32 + 1;
        self.check(shape, &node(&alone, span), Extent::Part, &shown)
    }

    /// The part of a value that can be written: a null in a map says nothing, and what has no name in the language nothing either.
    fn writable(&self, term: Option<TermId>, value: &Value) -> Option<Value> {
        let term = term.map(|id| self.grammar.get(id));
        match value {
            Value::Null => None,
            Value::Object(fields) => {
                let known = |key: &str| {
                    term.is_none_or(|term| {
                        !matches!(term.additional, Additional::Nothing) || term.properties.contains_key(key)
                    })
                };
                let fields = fields
                    .iter()
                    .filter(|(key, _)| known(key))
                    .filter_map(|(key, value)| {
                        let term = term.and_then(|term| term.field(key));
                        Some((key.clone(), self.writable(term, value)?))
                    });
                Some(Value::Object(fields.collect()))
            }
            other => Some(other.clone()),
        }
    }

    fn check(&self, shape: &Shape, node: &Node, extent: Extent, shown: &str) -> Result<bool, String> {
        let mut report = Report::default();
        report.sources.add("live".into(), shown);
        let checked = check(
            &self.grammar,
            self.grammar.id(shape.name),
            node,
            extent,
            &mut report,
        );
        let why = |found: Vec<Diagnostic>| {
            let titles: Vec<_> = found.into_iter().map(|found| found.title).collect();
            titles.join("; ")
        };
        match checked.holds {
            true => Ok(!checked.enterprise.is_empty()),
            false => Err(why(report.finish().1)),
        }
    }
}

/// Which of `fields` the kind refuses beside the others, and why; none where it takes them all. They are judged together, as
/// some hold only beside another: GitLab hides only what it masks.
fn refused(
    shape: &Shape,
    key: &Key,
    fields: &Map<String, Value>,
) -> Result<Option<Vec<(String, String)>>, String> {
    let refused: Vec<_> = match (shape.decode)(key, fields.clone()) {
        Ok(decoded) => {
            let changed = fields
                .iter()
                .filter(|(field, value)| decoded.get(*field) != Some(value));
            let why = "it would not read back as GitLab shows it";
            changed
                .map(|(field, _)| (field.clone(), why.to_owned()))
                .collect()
        }
        Err(problems) => {
            let messages = problems
                .iter()
                .map(|problem| problem.message.as_str())
                .collect::<Vec<_>>()
                .join("; ");
            let of = |problem: FieldProblem| {
                let field = problem.field.split('.').next().unwrap_or_default();
                fields
                    .contains_key(field)
                    .then(|| (field.to_owned(), problem.message.clone()))
            };
            let named: Vec<_> = problems.into_iter().filter_map(of).collect();
            if named.is_empty() {
                return Err(messages);
            }
            named
        }
    };
    Ok((!refused.is_empty()).then_some(refused))
}

/// A value as if it were all written at `span`.
fn node(value: &Value, span: Span) -> Node {
    let data = match value {
        Value::Null => Data::Null,
        Value::Bool(value) => Data::Bool(*value),
        Value::Number(value) => Data::Number(value.clone()),
        Value::String(text) => Data::Text(text.as_str().into()),
        Value::Array(items) => Data::Seq(Arc::new(items.iter().map(|item| node(item, span)).collect())),
        Value::Object(fields) => {
            let entries = fields.iter().map(|(key, value)| Entry {
                key: key.as_str().into(),
                key_span: span,
                value: node(value, span),
            });
            Data::Map(Arc::new(entries.collect()))
        }
    };
    Node { span, data }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds;

    fn judge(kind: &str, key: Key, fields: Value) -> Result<Declarable, String> {
        let shapes = kinds::shapes();
        let shape = shapes.iter().find(|shape| shape.name == kind).unwrap();
        Judge::new(&shapes).declarable(shape, &key, fields.as_object().unwrap())
    }

    #[test]
    fn what_cannot_be_written_is_told_apart_from_what_can() {
        let fields = json!({
            "name": "api", "merge_method": "octopus", "description": null, "build_timeout": 3,
            "container_expiration_policy": {"enabled": true, "keep_n": null, "next_run_at": "now"}, "topics": ["B", "a"],
        });
        let judged = judge("repo", Key::top("a/b"), fields).unwrap();
        let fits = json!({"name": "api", "container_expiration_policy": {"enabled": true}});
        assert_eq!(Value::Object(judged.fields), fits);
        let refused = [
            ("build_timeout", "expected at least 600, found 3"),
            ("merge_method", "`octopus` is not one of the values allowed here"),
            ("topics", "it would not read back as GitLab shows it"),
        ];
        assert_eq!(
            judged.refused,
            refused.map(|(field, why)| (field.to_owned(), why.to_owned()))
        );
    }

    #[test]
    fn what_does_not_go_together_and_what_has_no_place_is_refused() {
        let forced = json!({"push_access_level": "no_one", "allow_force_push": true});
        let judged = judge("protected_branch", Key::within("a/b", "main"), forced).unwrap();
        assert_eq!(
            Value::Object(judged.fields),
            json!({"push_access_level": "no_one"})
        );
        assert_eq!(judged.refused[0].0, "allow_force_push");
        assert!(
            judge("group", Key::top("a"), json!({}))
                .unwrap_err()
                .contains("too short")
        );
    }

    #[test]
    fn what_holds_only_beside_another_is_judged_beside_it() {
        let key = || Key::within("a/b", "TOKEN");
        let hidden = json!({"hidden": true, "masked": true, "raw": false});
        let judged = judge("repo_variable", key(), hidden.clone()).unwrap();
        assert_eq!(Value::Object(judged.fields), hidden);
        let judged = judge("repo_variable", key(), json!({"hidden": true, "raw": false})).unwrap();
        assert_eq!(Value::Object(judged.fields), json!({"raw": false}));
        assert_eq!(judged.refused[0].0, "hidden");
    }

    #[test]
    fn fields_of_the_enterprise_edition_are_named() {
        let fields = json!({"code_owner_approval_required": true});
        let judged = judge("protected_branch", Key::within("a/b", "main"), fields).unwrap();
        assert_eq!(judged.enterprise, ["code_owner_approval_required"]);
    }
}
