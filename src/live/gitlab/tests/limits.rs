//! How much is asked at a time, and what is asked only once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{client, settings};
use crate::live::gitlab::{Client, Error, Kind};

#[tokio::test]
async fn no_more_are_in_flight_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let server = Server::start_async(move |_, _| {
        let (now, most) = (now.clone(), most.clone());
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Everyone else gets many turns to come in too.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Reply::json(200, json!({}))
        })
    })
    .await;
    let mut settings = settings(&server.url);
    settings.parallelism = 3;
    let reader = Client::connect(settings).unwrap().reader();
    try_join_all((0..12).map(|_| reader.get::<Value>("/version", &[])))
        .await
        .unwrap();
    assert!(seen.load(Ordering::SeqCst) <= 3, "{seen:?}");
}

#[tokio::test]
async fn a_limit_with_nothing_left_is_waited_out() {
    // The window that the first reply ends lasts a second by the server's clock.
    let times = Arc::new(Mutex::new(Vec::new()));
    let log = times.clone();
    let server = Server::start(move |_, before| {
        log.lock().unwrap().push(Instant::now());
        let reply = Reply::json(200, json!({})).with("Date", "Tue, 14 Nov 2023 22:13:20 GMT");
        match before {
            0 => reply
                .with("RateLimit-Remaining", 0)
                .with("RateLimit-Reset", 1_700_000_001),
            _ => reply,
        }
    })
    .await;
    let reader = client(&server.url).reader();
    let _: Value = reader.get("/version", &[]).await.unwrap();
    assert_eq!(reader.server_time().unwrap().as_second(), 1_700_000_000);
    let _: Value = reader.get("/version", &[]).await.unwrap();
    let times = times.lock().unwrap();
    assert!(
        times[1] - times[0] >= Duration::from_secs(1),
        "not before the window is over"
    );
}

#[tokio::test]
async fn what_is_remembered_is_fetched_once_and_failures_are_not_remembered() {
    let server = Server::start(|_, before| match before {
        0 => Reply::json(404, json!({ "message": "404 Not found" })),
        _ => Reply::json(200, json!([1, 2])),
    })
    .await;
    let client = client(&server.url);
    let reader = client.reader();
    let fetch = || async { reader.memo("things", reader.list::<u32>("/things", &[])).await };
    assert_eq!(fetch().await.unwrap_err().kind(), Kind::NotFound);
    let all: Vec<Result<Arc<Vec<u32>>, Error>> = join_all((0..5).map(|_| fetch())).await;
    assert!(all.iter().all(|things| **things.as_ref().unwrap() == [1, 2]));
    // The same key for another type is something else.
    assert_eq!(*reader.memo("things", async { Ok(3_u8) }).await.unwrap(), 3);
    assert_eq!(client.counts().reads, 2);
    let _ = client
        .reader()
        .memo("things", reader.list::<u32>("/things", &[]))
        .await
        .unwrap();
    assert_eq!(client.counts().reads, 3, "another reader remembers nothing");
}
