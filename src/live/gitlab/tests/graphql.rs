//! GraphQL against scripted answers.

use serde::Deserialize;
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{client, writer};
use crate::live::gitlab::{Counts, GraphQlRefusal, Kind};

const QUERY: &str = "query things($after: String) {
    group { things(after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }
}";
const MUTATION: &str =
    "mutation thingUpdate($input: ThingInput!) { thingUpdate(input: $input) { errors thing { id } } }";

#[derive(Deserialize, Debug, PartialEq)]
struct Thing {
    id: u32,
}

#[tokio::test]
async fn a_reader_refuses_to_send_a_mutation() {
    let server = Server::start(|_, _| Reply::json(200, json!({ "data": {} }))).await;
    let error = client(&server.url)
        .reader()
        .query::<Value>(MUTATION, json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_calls_for_rest() {
    for status in [404, 405] {
        let server = Server::start(move |_, _| Reply::json(status, json!({ "message": "no" }))).await;
        let client = client(&server.url);
        let read = client
            .reader()
            .query::<Value>(QUERY, json!({}))
            .await
            .unwrap_err();
        let write = writer(&client)
            .0
            .mutate::<Value>(MUTATION, json!({}))
            .await
            .unwrap_err();
        assert!(read.calls_for_rest() && write.calls_for_rest() && !write.is_ambiguous());
    }
}

#[tokio::test]
async fn queries_are_posted_repeated_and_decoded() {
    let server = Server::start(|_, before| match before {
        0 => Reply::Drop,
        _ => Reply::json(200, json!({ "data": { "id": 3 } })),
    })
    .await;
    let client = client(&server.url);
    let thing: Thing = client
        .reader()
        .query(QUERY, json!({ "after": "x" }))
        .await
        .unwrap();
    assert_eq!(thing, Thing { id: 3 });
    assert_eq!(
        client.counts(),
        Counts {
            reads: 1,
            writes: 0,
            retries: 1
        }
    );
    let request = &server.requests()[1];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/api/graphql")
    );
    let sent: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(sent, json!({ "query": QUERY, "variables": { "after": "x" } }));
}

#[tokio::test]
async fn errors_in_a_good_status_are_errors() {
    let server = Server::start(|_, _| {
        Reply::json(200, json!({
            "data": null,
            "errors": [{ "message": "Field 'things' doesn't exist on type 'Group'", "extensions": { "code": "undefinedField" } }],
        }))
    })
    .await;
    let error = client(&server.url)
        .reader()
        .query::<Value>(QUERY, json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::GraphQl(GraphQlRefusal::Unsupported));
    assert!(error.calls_for_rest());
    assert_eq!(
        error.to_string(),
        "failed to query things: Field 'things' doesn't exist on type 'Group'"
    );
}

#[tokio::test]
async fn faults_of_the_transport_do_not_call_for_rest() {
    let server = Server::start(|_, _| Reply::empty(502)).await;
    let error = client(&server.url)
        .reader()
        .query::<Value>(QUERY, json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Server);
    assert!(!error.calls_for_rest());
}

#[tokio::test]
async fn connections_are_followed_to_their_end() {
    let server = Server::start(|request, _| {
        let sent: Value = serde_json::from_str(&request.body).unwrap();
        let (nodes, page) = match sent["variables"]["after"].as_str() {
            None => (
                json!([{ "id": 1 }]),
                json!({ "hasNextPage": true, "endCursor": "c" }),
            ),
            Some("c") => (
                json!([{ "id": 2 }]),
                json!({ "hasNextPage": false, "endCursor": null }),
            ),
            Some(other) => panic!("{other}"),
        };
        Reply::json(
            200,
            json!({ "data": { "group": { "things": { "nodes": nodes, "pageInfo": page } } } }),
        )
    })
    .await;
    let reader = client(&server.url).reader();
    let things: Vec<Thing> = reader
        .query_pages(QUERY, json!({}), "/group/things")
        .await
        .unwrap();
    assert_eq!(things, [Thing { id: 1 }, Thing { id: 2 }]);
}

#[tokio::test]
async fn a_connection_that_is_not_there_or_goes_nowhere_is_an_error() {
    let server = Server::start(|_, _| Reply::json(200, json!({ "data": { "group": null } }))).await;
    let reader = client(&server.url).reader();
    let error = reader
        .query_pages::<Thing>(QUERY, json!({}), "/group/things")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);

    let server = Server::start(|_, _| {
        let page = json!({ "hasNextPage": true, "endCursor": "same" });
        Reply::json(
            200,
            json!({ "data": { "group": { "things": { "nodes": [], "pageInfo": page } } } }),
        )
    })
    .await;
    let reader = client(&server.url).reader();
    let error = reader
        .query_pages::<Thing>(QUERY, json!({}), "/group/things")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
}

#[tokio::test]
async fn a_mutation_is_sent_once_and_journaled() {
    let server = Server::start(|_, before| match before {
        0 => Reply::json(
            200,
            json!({ "data": { "thingUpdate": { "errors": [], "thing": { "id": 1 } } } }),
        ),
        1 => Reply::json(
            200,
            json!({ "data": { "thingUpdate": { "errors": ["Name is too short"], "thing": null } } }),
        ),
        2 => Reply::empty(200),
        _ => Reply::Drop,
    })
    .await;
    let client = client(&server.url);
    let (writer, journal) = writer(&client);
    let done: Value = writer.mutate(MUTATION, json!({})).await.unwrap();
    assert_eq!(done["thingUpdate"]["thing"]["id"], 1);
    let error = writer.mutate::<Value>(MUTATION, json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous()), (Kind::Invalid, false));
    assert_eq!(
        error.to_string(),
        "failed to mutate thingUpdate: GitLab refused: Name is too short"
    );
    for _ in 0..2 {
        let error = writer.mutate::<Value>(MUTATION, json!({})).await.unwrap_err();
        assert!(error.is_ambiguous());
    }
    assert_eq!(server.requests().len(), 4);
    assert_eq!(client.counts().writes, 4);
    let intent = "repo.a/b mutate thingUpdate";
    assert_eq!(
        journal.lines(),
        [intent, "1 Done", intent, "3 Refused", intent, intent]
    );
}

#[tokio::test]
async fn a_mutation_denied_before_it_began_is_not_in_doubt() {
    let denied = "it does not exist or you don't have permission to see it";
    let server = Server::start(move |_, _| {
        Reply::json(
            200,
            json!({ "data": { "thingUpdate": null }, "errors": [{ "message": denied }] }),
        )
    })
    .await;
    let client = client(&server.url);
    let (writer, _) = writer(&client);
    let error = writer.mutate::<Value>(MUTATION, json!({})).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_ambiguous()),
        (Kind::GraphQl(GraphQlRefusal::Denied), false)
    );
    assert_eq!(
        error.needs("Maintainer of a/b").remedy().unwrap(),
        "the token's user needs to be Maintainer of a/b"
    );
}
