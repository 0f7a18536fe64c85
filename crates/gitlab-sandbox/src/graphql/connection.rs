//! Relay connections: sorted lists, cut into pages by cursors.

use std::cmp::Ordering;

use apollo_compiler::resolvers::{FieldError, ResolveInfo, ResolvedValue};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::cost::MAX_PAGE_SIZE;
use super::object::{Arguments, Kind, Resolved, failed};
use super::variables;
use crate::entities::View;

/// Where an item stands in the order of its list; the id decides between equals.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub key: String,
    pub id: u64,
}

/// How a list is sorted.
#[derive(Clone, Copy)]
pub struct Order {
    /// Name of what the key holds, as cursors show it.
    pub by: &'static str,
    pub descending: bool,
}

/// How GitLab sorts a list that has no order of its own.
pub const NEWEST_FIRST: Order = Order {
    by: "id",
    descending: true,
};

impl Order {
    /// `None` for a sort that GitLab does not know.
    pub fn parse(sort: &str) -> Option<Self> {
        let sort = sort.to_lowercase();
        let (by, direction) = sort.rsplit_once('_')?;
        let by = match by {
            "id" => "id",
            "name" => "name",
            "path" => "path",
            "full_path" => "full_path",
            "created" | "created_at" => "created_at",
            "updated" | "updated_at" => "updated_at",
            "activity" | "latest_activity" => "last_activity_at",
            _ => return None,
        };
        Some(Self {
            by,
            descending: direction == "desc",
        })
    }

    fn compare(self, a: &Place, b: &Place) -> Ordering {
        if self.descending { b.cmp(a) } else { a.cmp(b) }
    }

    fn cursor(self, place: &Place) -> String {
        let mut cursor = json!({ "id": place.id.to_string() });
        if self.by != "id" {
            cursor[self.by] = json!(place.key);
        }
        BASE64.encode(cursor.to_string())
    }

    fn place(self, cursor: &str) -> Option<Place> {
        let cursor: Value = serde_json::from_slice(&BASE64.decode(cursor).ok()?).ok()?;
        let key = if self.by == "id" {
            ""
        } else {
            cursor[self.by].as_str()?
        };
        Some(Place {
            key: key.to_owned(),
            id: cursor["id"].as_str()?.parse().ok()?,
        })
    }
}

/// One page of a list.
#[derive(Clone)]
pub struct Connection<'a> {
    /// Name of the connection's type.
    pub name: &'static str,
    /// Name of the type of its edges.
    pub edge: &'static str,
    pub nodes: Vec<(String, Kind<'a>)>,
    /// Items on all pages.
    pub total: usize,
    pub page: PageInfo,
}

/// What a page says of its neighbours.
#[derive(Clone, Default)]
pub struct PageInfo {
    pub start_cursor: Option<String>,
    pub end_cursor: Option<String>,
    pub has_next_page: bool,
    pub has_previous_page: bool,
}

impl<'a> Connection<'a> {
    /// The page of `items` that the arguments `first`, `last`, `after` and `before` ask for.
    pub fn page(
        (name, edge): (&'static str, &'static str),
        order: Order,
        mut items: Vec<(Place, Kind<'a>)>,
        info: &ResolveInfo<'_>,
    ) -> Result<Self, FieldError> {
        let (first, last) = (info.int("first"), info.int("last"));
        if first.is_some() && last.is_some() {
            return Err(failed("Can only provide either `first` or `last`, not both"));
        }
        let total = items.len();
        items.sort_by(|(a, _), (b, _)| order.compare(a, b));
        let cursor = |name: &str| match info.text(name) {
            Some(text) => order
                .place(text)
                .map(Some)
                .ok_or_else(|| failed("Please provide a valid cursor")),
            None => Ok(None),
        };
        let mut start = 0;
        let mut end = total;
        if let Some(after) = cursor("after")? {
            start = items.partition_point(|(place, _)| order.compare(place, &after).is_le());
        }
        if let Some(before) = cursor("before")? {
            end = items
                .partition_point(|(place, _)| order.compare(place, &before).is_lt())
                .max(start);
        }
        let size =
            usize::try_from(first.or(last).unwrap_or(MAX_PAGE_SIZE).clamp(0, MAX_PAGE_SIZE)).unwrap_or(0);
        if last.is_some() {
            start = start.max(end.saturating_sub(size));
        } else {
            end = end.min(start + size);
        }
        let nodes: Vec<_> = items
            .drain(start..end)
            .map(|(place, kind)| (order.cursor(&place), kind))
            .collect();
        let page = PageInfo {
            start_cursor: nodes.first().map(|(cursor, _)| cursor.clone()),
            end_cursor: nodes.last().map(|(cursor, _)| cursor.clone()),
            has_next_page: end < total,
            has_previous_page: start > 0,
        };
        Ok(Self {
            name,
            edge,
            nodes,
            total,
            page,
        })
    }

    /// This connection as the value of a field.
    pub fn into_value(self, view: View<'a>) -> ResolvedValue<'a> {
        view.object(Kind::Connection(Box::new(self)))
    }

    pub fn resolve<'b>(
        &'b self,
        view: View<'b>,
        info: &ResolveInfo<'_>,
    ) -> Result<Option<ResolvedValue<'b>>, FieldError> {
        Ok(Some(match info.field_name() {
            "count" => {
                let limit = info.int("limit");
                if limit.is_some_and(|limit| limit < 1) {
                    return Err(failed("limit must be greater than 0"));
                }
                let limit = limit
                    .and_then(|limit| usize::try_from(limit).ok())
                    .unwrap_or(usize::MAX);
                ResolvedValue::leaf(self.total.min(limit.saturating_add(1)))
            }
            "edges" => ResolvedValue::list(self.nodes.iter().map(move |(cursor, node)| {
                view.object(Kind::Edge(self.edge, cursor.clone(), Box::new(node.clone())))
            })),
            "limit" => return Ok(variables::limit(self.name)),
            "nodes" => ResolvedValue::list(self.nodes.iter().map(move |(_, node)| view.object(node.clone()))),
            "pageInfo" => view.object(Kind::PageInfo(self.page.clone())),
            _ => return Ok(None),
        }))
    }
}

impl PageInfo {
    pub fn resolve(&self, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'_>> {
        Some(match info.field_name() {
            "startCursor" => ResolvedValue::leaf(self.start_cursor.as_deref()),
            "endCursor" => ResolvedValue::leaf(self.end_cursor.as_deref()),
            "hasNextPage" => ResolvedValue::leaf(self.has_next_page),
            "hasPreviousPage" => ResolvedValue::leaf(self.has_previous_page),
            _ => return None,
        })
    }
}

/// A list that is small and comes in the order it is stored in.
pub fn stored<'a>(
    view: View<'a>,
    names: (&'static str, &'static str),
    items: impl Iterator<Item = (u64, Kind<'a>)>,
    info: &ResolveInfo<'_>,
) -> Resolved<'a> {
    let order = Order {
        by: "id",
        descending: false,
    };
    let items = items
        .map(|(id, kind)| {
            let key = String::new();
            (Place { key, id }, kind)
        })
        .collect();
    Ok(Connection::page(names, order, items, info)?.into_value(view))
}
