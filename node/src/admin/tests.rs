//! The API over real sockets, and whom it turns away.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use overlay::messages::DEFAULT_MAX_PAYLOAD;

use super::*;
use crate::data_dir::DataDir;
use crate::{AddressPreset, Identity, Node};

fn token() -> AdminToken {
    let dir = tempfile::tempdir().unwrap();
    DataDir::new(dir.path()).admin_token_or_new().unwrap()
}

struct Api {
    node: Node,
    admin: Admin,
    token: String,
}

async fn start() -> Api {
    let node = Node::builder()
        .network("admin-tests")
        .in_memory()
        .identity(Identity::from_seed(&[1; 32]))
        .preset(AddressPreset::Local)
        .spawn()
        .await
        .unwrap();
    let token = token();
    let admin = Admin::start("127.0.0.1:0".parse().unwrap(), token.clone(), node.handle())
        .await
        .unwrap();
    Api {
        node,
        admin,
        token: token.as_str().to_owned(),
    }
}

impl Api {
    /// Sends a request as it is and reads until `enough` says so or the connection ends.
    async fn raw(
        &self,
        request: Vec<u8>,
        enough: impl Fn(&str) -> bool + Send + 'static,
    ) -> (u16, String) {
        let addr = self.admin.addr();
        tokio::task::spawn_blocking(move || exchange(addr, &request, enough))
            .await
            .unwrap()
    }

    async fn send(&self, start_line: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut request = format!(
            "{start_line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.raw(request, |_| false).await
    }

    fn good(&self) -> String {
        format!(
            "Host: {}\r\nAuthorization: Bearer {}\r\n",
            self.admin.addr(),
            self.token
        )
    }

    async fn ok(&self, start_line: &str, body: &[u8]) -> (u16, String) {
        self.send(start_line, &self.good(), body).await
    }
}

/// Status, and the whole answer, head included.
fn exchange(addr: SocketAddr, request: &[u8], enough: impl Fn(&str) -> bool) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    // The server may answer and close before it has read a body it does not want.
    let _ = stream.write_all(request);
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..n]);
        if enough(&String::from_utf8_lossy(&answer)) {
            break;
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    (status, answer)
}

fn body(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_the_token() {
    let api = start().await;
    let host = format!("Host: {}\r\n", api.admin.addr());
    let wrong = format!("{host}Authorization: Bearer {}\r\n", "0".repeat(64));
    for path in [
        "/v1/status",
        "/v1/peers",
        "/v1/messages/news",
        "/metrics",
        "/",
        "/no/such/path",
    ] {
        for (headers, what) in [(&host, "missing token"), (&wrong, "wrong token")] {
            let (status, answer) = api.send(&format!("GET {path}"), headers, b"").await;
            assert_eq!(status, 401, "{path}");
            assert!(
                body(&answer)["error"].as_str().unwrap().starts_with(what),
                "{answer}"
            );
            let head = answer.to_lowercase();
            assert!(
                head.contains("www-authenticate: bearer")
                    && head.contains("x-content-type-options: nosniff"),
                "{head}"
            );
        }
    }
    let (status, _) = api.send("POST /v1/messages/news", &wrong, b"forged").await;
    assert_eq!(status, 401);
    assert_eq!(
        api.node.handle().status().await.unwrap().last_cursor,
        0,
        "nothing was published"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_web_page() {
    let api = start().await;
    let token = format!("Authorization: Bearer {}\r\n", api.token);
    let port = api.admin.addr().port();
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1",
        "127.0.0.1:1",
    ] {
        let (status, _) = api
            .send("GET /v1/status", &format!("Host: {host}\r\n{token}"), b"")
            .await;
        assert_eq!(status, 403, "{host}");
    }
    let (status, _) = api
        .send(
            "POST /v1/messages/news",
            &format!("{}Origin: http://evil.example\r\n", api.good()),
            b"x",
        )
        .await;
    assert_eq!(status, 403);
    let (status, answer) = api
        .send(
            "GET /v1/status",
            &format!("Host: localhost:{port}\r\n{token}"),
            b"",
        )
        .await;
    assert_eq!(status, 200);
    assert!(!answer.to_lowercase().contains("access-control-allow"));
}

#[tokio::test]
async fn only_loopback() {
    let api = start().await;
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let addr: SocketAddr = addr.parse().unwrap();
        let refused = Admin::start(addr, token(), api.node.handle())
            .await
            .unwrap_err();
        assert!(matches!(refused, AdminError::NotLoopback { addr: named } if named == addr));
        assert!(refused.to_string().contains(&addr.to_string()));
    }
    let taken = Admin::start(api.admin.addr(), token(), api.node.handle())
        .await
        .unwrap_err();
    assert!(matches!(taken, AdminError::Bind { .. }));
    assert!(taken.to_string().contains(&api.admin.addr().to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_have_a_limit() {
    let api = start().await;
    let (status, answer) = api
        .ok(
            "POST /v1/messages/news",
            &vec![b'x'; DEFAULT_MAX_PAYLOAD + 1],
        )
        .await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("16777216"), "{answer}");
    let (status, _) = api
        .ok("POST /v1/messages/news", &vec![b'x'; MAX_REQUEST_BODY + 1])
        .await;
    assert_eq!(status, 413);
    let (status, _) = api
        .ok("POST /v1/messages/news", &vec![b'x'; DEFAULT_MAX_PAYLOAD])
        .await;
    assert_eq!(status, 200);
    let (status, _) = api
        .send(
            "GET /v1/status",
            &format!("{}X: {}\r\n", api.good(), "x".repeat(MAX_HEAD)),
            b"",
        )
        .await;
    assert_eq!(status, 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_can_be_read_again_from_anywhere() {
    let api = start().await;
    let (status, answer) = api.ok("POST /v1/messages/a/b", b"one").await;
    assert_eq!(status, 200, "{answer}");
    let first = body(&answer);
    let json = format!(
        "{}Content-Type: application/json; charset=utf-8\r\n",
        api.good()
    );
    let (status, answer) = api
        .send(
            "POST /v1/messages/a/b",
            &json,
            br#"{"payloads_base64":["dHdv","","dGhyZWU="]}"#,
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    let several = body(&answer);

    let stream = |from: &str, header: &str| {
        format!(
            "GET /v1/messages/a/b{from} HTTP/1.1\r\n{}{header}\r\n",
            api.good()
        )
        .into_bytes()
    };
    let events = |n: usize| {
        move |text: &str| text.matches("\ndata: ").count() >= n && text.ends_with("\n\n\r\n")
    };
    let (status, answer) = api.raw(stream("?from=start", ""), events(4)).await;
    assert_eq!(status, 200);
    let entries: Vec<serde_json::Value> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    let payloads: Vec<&str> = entries
        .iter()
        .map(|entry| entry["payload_base64"].as_str().unwrap())
        .collect();
    assert_eq!(payloads, ["b25l", "dHdv", "", "dGhyZWU="]);
    assert_eq!(entries[0]["id"], first["id"]);
    assert_eq!(entries[1]["id"], several["results"][0]["id"]);
    assert_eq!(entries[3]["message"], several["results"][2]["message"]);
    assert!(
        entries
            .iter()
            .all(|entry| entry["author"] == api.node.id().to_string() && entry["topic"] == "a/b")
    );

    let cursor = entries[2]["cursor"].as_u64().unwrap();
    for request in [
        stream(&format!("?from={cursor}"), ""),
        stream("?from=start", &format!("Last-Event-ID: {cursor}\r\n")),
    ] {
        let (_, answer) = api.raw(request, events(1)).await;
        let ids: Vec<&str> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .collect();
        assert_eq!(ids, [entries[3]["cursor"].to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_named() {
    let api = start().await;
    let json = format!("{}Content-Type: application/json\r\n", api.good());
    for (line, headers, sent, status, what) in [
        ("GET /v2/status", api.good(), &b""[..], 404, "no such path"),
        ("DELETE /v1/status", api.good(), b"", 405, "no such method"),
        (
            "POST /v1/messages/a%20b",
            api.good(),
            b"x",
            400,
            "not allowed in a topic",
        ),
        (
            "GET /v1/messages/a%20b",
            api.good(),
            b"",
            400,
            "not allowed in a topic",
        ),
        (
            "GET /v1/messages/news?from=yesterday",
            api.good(),
            b"",
            400,
            "from=CURSOR",
        ),
        (
            "GET /v1/messages/news?form=now",
            api.good(),
            b"",
            400,
            "from=CURSOR",
        ),
        (
            "POST /v1/messages/news",
            json.clone(),
            b"{",
            400,
            "payloads_base64",
        ),
        (
            "POST /v1/messages/news",
            json.clone(),
            br#"{"payloads_base64":[]}"#,
            400,
            "empty",
        ),
        (
            "POST /v1/messages/news",
            json.clone(),
            br#"{"payloads_base64":["b25l","?"]}"#,
            400,
            "payloads_base64[1]",
        ),
        ("PUT /v1/bans/abc", api.good(), b"", 400, "3 characters"),
        (
            "PUT /v1/bans/abc?second=1",
            api.good(),
            b"",
            400,
            "seconds=N",
        ),
    ] {
        let (found, answer) = api.send(line, &headers, sent).await;
        assert_eq!(found, status, "{line}: {answer}");
        let error = body(&answer)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(what), "{line}: {error}");
    }
    assert_eq!(
        api.node.handle().status().await.unwrap().last_cursor,
        0,
        "nothing was published"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_and_ban() {
    let api = start().await;
    let peer = Identity::from_seed(&[2; 32]).id();
    for line in [
        format!("PUT /v1/bans/{peer}"),
        format!("PUT /v1/bans/{peer}?seconds=60"),
        format!("DELETE /v1/bans/{peer}"),
    ] {
        assert_eq!(api.ok(&line, b"").await.0, 204, "{line}");
    }
    let (_, answer) = api.ok("GET /v1/status", b"").await;
    let status: StatusView = serde_json::from_value(body(&answer)).unwrap();
    assert_eq!(status.id, api.node.id().to_string());
    let (_, answer) = api.ok("GET /metrics", b"").await;
    for line in [
        "vouchsafe_links 0",
        "vouchsafe_wire_frames_in_total 0",
        "# TYPE vouchsafe_messages_delivered counter",
        "# EOF",
    ] {
        assert!(answer.contains(line), "{line} is not in\n{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_says_so_and_its_streams_end() {
    let api = start().await;
    let request = format!(
        "GET /v1/messages/news HTTP/1.1\r\nConnection: close\r\n{}\r\n",
        api.good()
    )
    .into_bytes();
    let addr = api.admin.addr();
    let stream = tokio::task::spawn_blocking(move || exchange(addr, &request, |_| false));
    while api.node.handle().status().await.unwrap().subscribers == 0 {
        tokio::task::yield_now().await;
    }
    api.node.handle().shutdown().await;
    let (status, _) = stream.await.unwrap();
    assert_eq!(status, 200, "it had begun well, and it ended");
    let (status, answer) = api.ok("GET /v1/status", b"").await;
    assert_eq!(status, 503, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_well_when_the_api_is_shut_down() {
    let api = start().await;
    let request = format!("GET /v1/messages/news HTTP/1.1\r\n{}\r\n", api.good()).into_bytes();
    let addr = api.admin.addr();
    let stream = tokio::task::spawn_blocking(move || exchange(addr, &request, |_| false));
    while api.node.handle().status().await.unwrap().subscribers == 0 {
        tokio::task::yield_now().await;
    }
    api.admin.shutdown().await;
    let (status, answer) = stream.await.unwrap();
    assert_eq!(status, 200);
    assert!(
        answer.ends_with("0\r\n\r\n"),
        "the last chunk was sent: {answer:?}"
    );
    std::net::TcpStream::connect(addr).expect_err("nobody listens any more");
}

/// Time is paused: it jumps to the next deadline whenever everybody waits.
#[tokio::test(start_paused = true)]
async fn whoever_does_not_finish_a_request_is_dropped() {
    let api = start().await;
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let stream = TcpStream::connect(api.admin.addr()).await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(b"GET /v1/status HT").unwrap();
        idle.push(stream);
    }
    // All slots are taken; one more is served once the idle ones have been dropped.
    let request = format!(
        "GET /v1/status HTTP/1.1\r\nConnection: close\r\n{}\r\n",
        api.good()
    );
    let stream = TcpStream::connect(api.admin.addr()).await.unwrap();
    stream.writable().await.unwrap();
    stream.try_write(request.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    let n = loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut buffer) {
            Ok(n) => break n,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    };
    assert!(
        buffer[..n].starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&buffer[..n])
    );
}
