//! A scripted HTTP server: each request is handed to a closure, and its reply is sent, cut short or withheld.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The number in the query's `page`; 1 without one.
    pub fn page(&self) -> usize {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("page="))
            .map_or(1, |page| page.parse().unwrap())
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub enum Reply {
    Send {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Close the connection without a word.
    Drop,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Reply::Send {
            status,
            headers: Vec::new(),
            body: body.to_string(),
        }
    }

    pub fn empty(status: u16) -> Self {
        Reply::Send {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Reply::Send { headers, .. } = &mut self {
            headers.push((name, value.to_string()));
        }
        self
    }
}

type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Runs until it is dropped.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers each request by `answer`, which is given the request and how many came before it.
    pub async fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_async(move |request, before| {
            let reply = answer(&request, before);
            Box::pin(async { reply })
        })
        .await
    }

    /// As [`Server::start`], for answers that wait.
    pub async fn start_async(answer: impl Fn(Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(None, answer).await
    }

    /// As [`Server::start`], over TLS.
    pub async fn start_tls(
        acceptor: TlsAcceptor,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(acceptor), move |request, _| {
            let reply = answer(&request);
            Box::pin(async { reply })
        })
        .await
    }

    async fn serve(
        acceptor: Option<TlsAcceptor>,
        answer: impl Fn(Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = match acceptor {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (requests.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, answer, acceptor) = (log.clone(), answer.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let answer = |request: Request| {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        answer(request, log.len() - 1)
                    };
                    match acceptor {
                        None => talk(stream, answer).await,
                        // A client that does not trust us leaves during the handshake.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                talk(stream, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Server { url, requests, task }
    }

    /// Everything asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request and its reply per connection.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, answer: impl FnOnce(Request) -> Answer) {
    let mut stream = BufReader::new(stream);
    // The first byte of a TLS handshake: to a plain server, a bad request.
    if stream
        .fill_buf()
        .await
        .is_ok_and(|bytes| bytes.first() == Some(&0x16))
    {
        let _ = stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            .await;
        return;
    }
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let Reply::Send {
        status,
        headers,
        body,
    } = answer(request).await
    else {
        return;
    };
    let mut text =
        format!("HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\nconnection: close\r\n");
    // Unless the script says otherwise, to cut the body short.
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(&body);
    // The client may be gone: that is its affair.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        method,
        target,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}
