//! Talking to a running node through its admin API, which is found in its data directory.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use vouchsafe::data_dir::{AdminToken, DataDir, DataDirError};

use super::out::printable;

/// A node's admin API.
#[derive(Debug)]
pub(super) struct Client {
    dir: PathBuf,
    addr: SocketAddr,
    token: AdminToken,
}

impl Client {
    /// Finds the node of this data directory.
    pub(super) fn find(dir: &Path) -> Result<Self> {
        let data_dir = DataDir::open(dir)?;
        Ok(Self {
            addr: data_dir.admin_addr()?,
            token: data_dir.admin_token()?,
            dir: dir.to_owned(),
        })
    }

    /// The JSON answer to a GET.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let body = collect(self.request("GET", path, None).await?).await?;
        serde_json::from_slice(&body).context("the node gave an answer that this program does not understand: are both of one version?")
    }

    /// A request whose answer has no content.
    pub(super) async fn call(&self, method: &str, path: &str) -> Result<()> {
        self.request(method, path, None).await.map(drop)
    }

    /// Posts JSON and returns status and body, whatever the status.
    pub(super) async fn post(&self, path: &str, json: String) -> Result<(StatusCode, Bytes)> {
        let body = Some(("application/json", json.into()));
        let response = self.send("POST", path, body).await?;
        Ok((response.status(), collect(response).await?))
    }

    /// Posts bytes as they are and returns status and body, whatever the status.
    pub(super) async fn post_bytes(
        &self,
        path: &str,
        bytes: Vec<u8>,
    ) -> Result<(StatusCode, Bytes)> {
        let body = Some(("application/octet-stream", bytes.into()));
        let response = self.send("POST", path, body).await?;
        Ok((response.status(), collect(response).await?))
    }

    /// A request whose answer must be a good one.
    pub(super) async fn request(
        &self,
        method: &str,
        path: &str,
        json: Option<String>,
    ) -> Result<Response<Incoming>> {
        let json = json.map(|json| ("application/json", Bytes::from(json)));
        let response = self.send(method, path, json).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            // A new node took the port of one that was killed, or the token was replaced under a running node.
            bail!(
                "what listens on {} does not take the token of {}: the node that wrote it is gone",
                self.addr,
                self.dir.display()
            );
        }
        Err(refusal(status, &collect(response).await?))
    }

    /// One request on a connection of its own.
    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Response<Incoming>> {
        let stream = match TcpStream::connect(self.addr).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(DataDirError::NotRunning {
                    path: self.dir.clone(),
                }
                .into());
            }
            Err(error) => return Err(error).context(format!("the admin API at {}", self.addr)),
        };
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection); // ends with the response; its errors are the response's errors
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.addr.to_string())
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.token.as_str()),
            );
        let (kind, body) = body.unzip();
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(Full::new(body.unwrap_or_default()))?;
        sender
            .send_request(request)
            .await
            .with_context(|| gone(&self.dir))
    }

    /// What to say when the node goes away in the middle.
    pub(super) fn gone(&self) -> String {
        gone(&self.dir)
    }
}

fn gone(dir: &Path) -> String {
    format!("the node on {} went away", dir.display())
}

async fn collect(response: Response<Incoming>) -> Result<Bytes> {
    Ok(response
        .into_body()
        .collect()
        .await
        .context("the node went away in the middle of an answer")?
        .to_bytes())
}

/// The `{"error": ".."}` of an answer.
fn refusal(status: StatusCode, body: &[u8]) -> anyhow::Error {
    let text = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|json| Some(json.get("error")?.as_str()?.to_owned()))
        .unwrap_or_else(|| format!("the node answered {status}"));
    anyhow!(printable(&text))
}

/// A topic as a piece of a path: every character but the unreserved ones and `/` is escaped, so that a malformed topic
/// reaches the node as it is and gets its answer.
pub(super) fn topic_path(topic: &str) -> String {
    let mut path = String::from("/v1/messages/");
    for byte in topic.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~' | b'/') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}
