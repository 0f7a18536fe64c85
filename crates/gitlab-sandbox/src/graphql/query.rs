//! The root of queries.

use apollo_compiler::resolvers::{ObjectValue, ResolveInfo, ResolvedValue};

use serde_json::Value;

use super::object::{Arguments, Kind, Resolved};
use super::{groups, projects, users, variables};
use crate::entities::View;
use crate::rest::version;

/// The root of queries.
pub struct Query<'a> {
    pub view: View<'a>,
    /// The complexity of the query that runs, and the user's limit on it.
    pub score: i64,
    pub limit: i64,
}

impl ObjectValue for Query<'_> {
    fn type_name(&self) -> &str {
        "Query"
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let view = self.view;
        Ok(match info.field_name() {
            "ciVariables" => variables::of_instance(view, info)?,
            "currentUser" => view.nullable(view.user.map(Kind::CurrentUser)),
            "echo" => {
                let user = view
                    .user
                    .map_or_else(|| "nil".to_owned(), |user| format!("\"{}\"", user.username));
                ResolvedValue::leaf(format!("{user} says: {}", info.text("text").unwrap_or_default()))
            }
            "group" => groups::by_path(view, info),
            "groups" => groups::list(view, info)?,
            "metadata" => {
                ResolvedValue::nullable_object(view.user.map(|_| Metadata(version::describe(view.app))))
            }
            "namespace" => groups::namespace_by_path(view, info),
            "project" => projects::by_path(view, info),
            "projects" => projects::list(view, info)?,
            "queryComplexity" => ResolvedValue::object(QueryComplexity {
                score: self.score,
                limit: self.limit,
            }),
            "users" => users::list(view, info)?,
            _ => return Err(self.unknown_field_error(info)),
        })
    }
}

/// What `/metadata` answers, of which GraphQL has some.
struct Metadata(Value);

impl ObjectValue for Metadata {
    fn type_name(&self) -> &str {
        "Metadata"
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        Ok(match info.field_name() {
            field @ ("enterprise" | "revision" | "version") => ResolvedValue::leaf(self.0[field].clone()),
            _ => return Err(self.unknown_field_error(info)),
        })
    }
}

struct QueryComplexity {
    score: i64,
    limit: i64,
}

impl ObjectValue for QueryComplexity {
    fn type_name(&self) -> &str {
        "QueryComplexity"
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        Ok(match info.field_name() {
            "limit" => ResolvedValue::leaf(self.limit),
            "score" => ResolvedValue::leaf(self.score),
            _ => return Err(self.unknown_field_error(info)),
        })
    }
}
