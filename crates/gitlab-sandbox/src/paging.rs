//! Pages of lists, by offset and by keyset, with GitLab's headers.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    error::{ApiError, ApiResult},
    params::Params,
    rest::Call,
};

/// Totals are not counted beyond this many records.
const MAX_COUNT: usize = 10_000;
/// Offsets beyond this are refused where a list can be paged by keyset.
const MAX_OFFSET: u64 = 50_000;
/// What a form leaves as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'*');

/// One page of `items`, each shown by `show`.
pub fn paginate<T>(call: &Call, items: Vec<T>, show: impl Fn(T) -> Value) -> ApiResult {
    let (page, per_page) = page_of(&call.params)?;
    let total = items.len();
    let pages = u64::try_from(total.div_ceil(per_page)).unwrap_or(u64::MAX).max(1);
    let skip = usize::try_from(page - 1)
        .unwrap_or(usize::MAX)
        .saturating_mul(per_page);
    let body: Vec<Value> = items.into_iter().skip(skip).take(per_page).map(show).collect();

    let totals = (total <= MAX_COUNT).then_some((total, pages));
    respond(call, (page, per_page), page < pages, totals, body)
}

/// The page that `items` are, which were not counted: a full one is taken to have a next.
pub fn paginate_uncounted<T>(call: &Call, items: Vec<T>, show: impl Fn(T) -> Value) -> ApiResult {
    let (page, per_page) = page_of(&call.params)?;
    let full = items.len() == per_page;
    respond(
        call,
        (page, per_page),
        full,
        None,
        items.into_iter().map(show).collect(),
    )
}

/// A page with its headers; `totals` are items and pages.
fn respond(
    call: &Call,
    (page, per_page): (u64, usize),
    has_next: bool,
    totals: Option<(usize, u64)>,
    body: Vec<Value>,
) -> ApiResult {
    let next = has_next.then_some(page + 1);
    // Beyond the last page there is none before.
    let beyond = totals.is_some_and(|(_, pages)| page > pages);
    let previous = (page > 1 && !beyond).then(|| page - 1);
    let link = |rel: &str, page: u64| {
        let href = href(
            call,
            &[("page", &page.to_string()), ("per_page", &per_page.to_string())],
            &[],
        );
        format!("<{href}>; rel=\"{rel}\"")
    };
    let links: Vec<String> = [
        previous.map(|page| link("prev", page)),
        next.map(|page| link("next", page)),
        Some(link("first", 1)),
        totals.map(|(_, pages)| link("last", pages)),
    ]
    .into_iter()
    .flatten()
    .collect();

    let mut headers = HeaderMap::new();
    let number = |page: Option<u64>| page.map(|page| page.to_string()).unwrap_or_default();
    set(&mut headers, "x-per-page", &per_page.to_string());
    set(&mut headers, "x-page", &page.to_string());
    set(&mut headers, "x-next-page", &number(next));
    set(&mut headers, "x-prev-page", &number(previous));
    set(&mut headers, "link", &links.join(", "));
    if let Some((total, pages)) = totals {
        set(&mut headers, "x-total", &total.to_string());
        set(&mut headers, "x-total-pages", &pages.to_string());
    }
    Ok((headers, Json(Value::Array(body))).into_response())
}

/// As [`paginate`], for a list that `pagination=keyset&order_by=id` can page too; `items` are sorted as asked.
pub fn paginate_with_keyset<T>(
    call: &Call,
    items: Vec<T>,
    id: impl Fn(&T) -> u64,
    show: impl Fn(T) -> Value,
) -> ApiResult {
    let (page, per_page) = page_of(&call.params)?;
    if call.params.string("pagination")?.as_deref() != Some("keyset") {
        if page.saturating_mul(per_page as u64) > MAX_OFFSET {
            return Err(ApiError::error(
                StatusCode::METHOD_NOT_ALLOWED,
                format!(
                    "Offset pagination has a maximum allowed offset of {MAX_OFFSET} for requests that return \
                     objects of type Project. Remaining records can be retrieved using keyset pagination."
                ),
            ));
        }
        return paginate(call, items, show);
    }
    if call.params.string("order_by")?.as_deref() != Some("id") {
        return Err(ApiError::error(
            StatusCode::METHOD_NOT_ALLOWED,
            "Keyset pagination is not yet available for this type of request",
        ));
    }
    let last = items.iter().take(per_page).last().map(&id);
    let full = items.len() >= per_page;
    let body: Vec<Value> = items.into_iter().take(per_page).map(show).collect();
    let mut response = Json(Value::Array(body)).into_response();
    if let Some(last) = last.filter(|_| full) {
        let ascending = call.params.string("sort")?.as_deref() == Some("asc");
        let (bound, other) = if ascending {
            ("id_after", "id_before")
        } else {
            ("id_before", "id_after")
        };
        let href = href(call, &[(bound, &last.to_string())], &[other]);
        set(response.headers_mut(), "link", &format!("<{href}>; rel=\"next\""));
    }
    Ok(response)
}

/// The page asked for, from 1, and its size, at most 100. Numbers below 1 mean the defaults.
pub fn page_of(params: &Params) -> ApiResult<(u64, usize)> {
    let per_page = params.integer("per_page")?;
    if per_page == Some(0) {
        return Err(ApiError::parameter("per_page has a value not allowed"));
    }
    let positive = |number: Option<i64>| {
        number
            .and_then(|number| u64::try_from(number).ok())
            .filter(|n| *n > 0)
    };
    let per_page = positive(per_page).unwrap_or(20).min(100);
    let page = positive(params.integer("page")?).unwrap_or(1);
    Ok((page, usize::try_from(per_page).unwrap_or(100)))
}

/// This request's URL with parameters replaced and dropped, in alphabetical order.
fn href(call: &Call, replace: &[(&str, &str)], drop: &[&str]) -> String {
    let mut params = call.params.clone();
    drop.iter().for_each(|key| params.remove(key));
    replace.iter().for_each(|(key, value)| params.set(key, *value));
    params.remove("private_token");
    params.remove("access_token");
    params.remove("job_token");
    let mut pairs = Vec::new();
    for (key, value) in params.iter() {
        flatten(key, value, &mut pairs);
    }
    pairs.sort_unstable();
    format!("{}{}?{}", call.app.url(), call.path, pairs.join("&"))
}

fn flatten(key: &str, value: &Value, pairs: &mut Vec<String>) {
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| flatten(&format!("{key}[]"), item, pairs)),
        Value::Object(members) => members
            .iter()
            .for_each(|(name, item)| flatten(&format!("{key}[{name}]"), item, pairs)),
        Value::Null => pairs.push(format!("{}=", form(key))),
        Value::String(text) => pairs.push(format!("{}={}", form(key), form(text))),
        value => pairs.push(format!("{}={value}", form(key))),
    }
}

fn form(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string().replace("%20", "+")
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The answer to a request that succeeded.
pub fn ok(status: StatusCode, body: Value) -> ApiResult<Response> {
    Ok((status, Json(body)).into_response())
}
