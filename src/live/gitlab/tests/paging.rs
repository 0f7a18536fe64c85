//! Lists come whole or not at all.

use serde_json::{Value, json};

use super::client;
use super::server::{Reply, Request, Server};
use crate::live::gitlab::Kind;

/// Numbers from `from`, `count` of them.
fn numbers(from: usize, count: usize) -> Value {
    (from..from + count).collect::<Vec<_>>().into()
}

/// Page by page of `total` items, as GitLab counts them.
fn counted(request: &Request, total: usize) -> Reply {
    let from = (request.page() - 1) * 100;
    Reply::json(200, numbers(from, 100.min(total - from)))
        .with("X-Total", total)
        .with("X-Total-Pages", total.div_ceil(100))
}

/// The reply to the page at `cursor`, with a link to the next one on `host`.
fn linked(request: &Request, host: &str, total: usize) -> Reply {
    let cursor = request
        .target
        .split("cursor=")
        .nth(1)
        .map_or(0, |cursor| cursor.parse::<usize>().unwrap());
    let (count, next) = (100.min(total - cursor), cursor + 100);
    let reply = Reply::json(200, numbers(cursor, count));
    match next < total {
        true => reply.with(
            "Link",
            format!("<{host}/api/v4/things?first=1>; rel=\"first\", <{host}/api/v4/things?cursor={next}>; rel=\"next\""),
        ),
        false => reply,
    }
}

fn own_url(request: &Request) -> String {
    format!("http://{}", request.header("host").unwrap())
}

#[tokio::test]
async fn counted_pages_are_all_fetched_and_in_order() {
    let server = Server::start(|request, _| counted(request, 250)).await;
    let reader = client(&server.url).reader();
    let items: Vec<usize> = reader.list("/things", &[("order_by", "id")]).await.unwrap();
    assert_eq!(items, (0..250).collect::<Vec<_>>());
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| {
        request
            .target
            .starts_with("/api/v4/things?order_by=id&per_page=100")
    }));
    assert!(
        requests
            .iter()
            .all(|request| request.header("private-token") == Some(super::CANARY))
    );
}

#[tokio::test]
async fn links_are_followed_where_gitlab_does_not_count() {
    let server = Server::start(|request, _| linked(request, &own_url(request), 250)).await;
    let items: Vec<usize> = client(&server.url).reader().list("/things", &[]).await.unwrap();
    assert_eq!(items, (0..250).collect::<Vec<_>>());
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn the_first_page_tells_how_much_there_is() {
    let server = Server::start(|request, _| counted(request, 150)).await;
    let reader = client(&server.url).reader();
    let page = reader.first_page::<usize>("/things", &[]).await.unwrap();
    assert_eq!(
        (page.items.len(), page.total, page.is_whole()),
        (100, Some(150), false)
    );
    assert_eq!(server.requests().len(), 1);
    assert_eq!(reader.rest(page).await.unwrap().len(), 150);
}

#[tokio::test]
async fn a_list_that_stays_cut_off_is_an_error() {
    let server = Server::start(|request, _| match request.page() {
        2 => Reply::json(200, numbers(100, 30))
            .with("X-Total", 150)
            .with("X-Total-Pages", 2),
        _ => counted(request, 150),
    })
    .await;
    let error = client(&server.url)
        .reader()
        .list::<usize>("/things", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
    assert_eq!(
        error.to_string(),
        "failed to GET /things: GitLab counts 150 and sent 130"
    );
    assert_eq!(server.requests().len(), 4, "it was read a second time");
}

#[tokio::test]
async fn a_single_page_shorter_than_its_total_is_an_error() {
    let server = Server::start(|_, _| {
        Reply::json(200, json!([1]))
            .with("X-Total", 2)
            .with("X-Total-Pages", 1)
    })
    .await;
    let error = client(&server.url)
        .reader()
        .list::<usize>("/things", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
}

#[tokio::test]
async fn a_list_that_grows_while_it_is_read_is_read_again() {
    // The first page is served before the last item comes, everything else after: with 200, all pages look full.
    for total in [150, 200] {
        let server =
            Server::start(move |request, before| counted(request, total + usize::from(before > 0))).await;
        let items: Vec<usize> = client(&server.url).reader().list("/things", &[]).await.unwrap();
        assert_eq!(items.len(), total + 1);
    }
}

#[tokio::test]
async fn a_linked_page_that_is_not_full_is_an_error() {
    let server = Server::start(|request, _| match linked(request, &own_url(request), 150) {
        Reply::Send { status, headers, .. } if !headers.is_empty() => Reply::Send {
            status,
            headers,
            body: numbers(0, 40).to_string(),
        },
        last => last,
    })
    .await;
    let error = client(&server.url)
        .reader()
        .list::<usize>("/things", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
    assert_eq!(error.detail(), "a page that is not the last holds 40 of 100");
}

#[tokio::test]
async fn the_token_does_not_follow_links_to_another_host() {
    let other = Server::start(|request, _| linked(request, &own_url(request), 250)).await;
    let url = other.url.clone();
    let server = Server::start(move |request, _| linked(request, &url, 250)).await;
    let error = client(&server.url)
        .reader()
        .list::<usize>("/things", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
    assert!(
        error.remedy().unwrap().contains("external_url"),
        "{:?}",
        error.remedy()
    );
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_failing_page_fails_the_list() {
    let server = Server::start(|request, _| match request.page() {
        2 => Reply::json(403, json!({ "message": "403 Forbidden" })),
        _ => counted(request, 300),
    })
    .await;
    let error = client(&server.url)
        .reader()
        .list::<usize>("/things", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
}
