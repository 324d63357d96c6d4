//! Runs the examples of docs/ADMIN_API.md against a node and compares the answers with what the page shows.
//!
//! The examples run twice where there is a `curl`: as they stand, through the shell, and through a small reader of the same
//! command lines, which needs nothing but this crate.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use vouchsafe::admin::Admin;
use vouchsafe::data_dir::DataDir;
use vouchsafe::{AddressPreset, From, Identity, Node};

/// An example and the block that follows it.
#[derive(Debug)]
struct Example {
    command: String,
    answer: Option<(String, String)>,
}

fn examples() -> Vec<Example> {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ADMIN_API.md"))
            .unwrap();
    let mut examples: Vec<Example> = Vec::new();
    let mut heading = false; // a heading ends the reach of an example
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        heading |= line.starts_with('#');
        let Some(kind) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if kind == "sh" {
            for command in block.iter().filter(|line| line.starts_with("curl ")) {
                examples.push(Example {
                    command: (*command).to_owned(),
                    answer: None,
                });
            }
            heading = false;
        } else if let Some(last) = examples
            .last_mut()
            .filter(|last| last.answer.is_none() && !heading)
        {
            last.answer = Some((kind.to_owned(), block.join("\n")));
        }
    }
    examples
}

/// What the examples need to be filled in.
struct Place {
    admin: SocketAddr,
    token: String,
    peer: String,
}

impl Place {
    fn fill(&self, text: &str) -> String {
        text.replace("$TOKEN", &self.token)
            .replace("$ADMIN", &self.admin.to_string())
            .replace("$PEER", &self.peer)
    }

    fn curl(&self, command: &str) -> (u16, String) {
        let output = Command::new("sh")
            .arg("-c")
            .arg(command.replace("curl ", "curl --noproxy '*' -w '\\n%{http_code}' "))
            .env("TOKEN", &self.token)
            .env("ADMIN", self.admin.to_string())
            .env("PEER", &self.peer)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text
            .rsplit_once('\n')
            .unwrap_or_else(|| panic!("{command}: {text:?} {:?}", output.stderr));
        (status.parse().unwrap(), body.to_owned())
    }

    /// Does what the curl command line says: `-X`, `-H`, `-d`, `--data-binary`, `--max-time` and a URL.
    fn without_curl(&self, command: &str) -> (u16, String) {
        let (mut method, mut headers, mut body, mut url) = (None, Vec::new(), None, None);
        let mut words = words(&self.fill(command)).into_iter().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().expect("an option has a value");
            match word.as_str() {
                "-X" => method = Some(value()),
                "-H" => headers.push(value()),
                "-d" | "--data-binary" => body = Some(value()),
                "--max-time" => drop(value()),
                "-sS" | "-sSN" => {}
                word => url = Some(word.to_owned()),
            }
        }
        let url = url.expect("an example has a URL");
        let path = url
            .strip_prefix(&format!("http://{}", self.admin))
            .expect("an example asks this node");
        let method = method.unwrap_or_else(|| {
            if body.is_some() {
                "POST".into()
            } else {
                "GET".into()
            }
        });
        let body = body.unwrap_or_default();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.admin,
            body.len()
        );
        for header in headers {
            request += &format!("{header}\r\n");
        }
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream
            .write_all(format!("{request}\r\n{body}").as_bytes())
            .unwrap();
        if path.contains("?from=") {
            // A stream has no end: read until the entries are there, which the caller published before.
            return read_until(&mut stream, |text| text.matches("\ndata: ").count() >= 3);
        }
        if path == "/v1/events" {
            return read_until(&mut stream, |text| {
                let news = text.split_once("event: neighbor_down\n");
                news.is_some_and(|(_, rest)| rest.contains('\n'))
            });
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        split(&answer)
    }
}

fn read_until(stream: &mut TcpStream, enough: impl Fn(&str) -> bool) -> (u16, String) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut buffer).unwrap();
        assert_ne!(
            n,
            0,
            "the stream ended early: {:?}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes);
        if enough(&text) {
            return split(&text);
        }
    }
}

fn split(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

/// Words of a command line with single or double quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The names of all fields in a value, with their paths; the elements of a list count as one.
fn fields(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    into.insert(format!("{path}.{key}"));
                    walk(value, &format!("{path}.{key}"), into);
                }
            }
            Value::Array(list) => list
                .iter()
                .for_each(|value| walk(value, &format!("{path}[]"), into)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    walk(value, "", &mut names);
    names
}

fn check(example: &Example, status: u16, body: &str) {
    let what = &example.command;
    assert!((200..300).contains(&status), "{what}: {status} {body}");
    match &example.answer {
        None => assert_eq!((status, body.trim()), (204, ""), "{what}"),
        Some((kind, shown)) if kind == "json" => {
            let answer: Value =
                serde_json::from_str(body).unwrap_or_else(|e| panic!("{what}: {e}: {body}"));
            let shown: Value = serde_json::from_str(shown)
                .unwrap_or_else(|e| panic!("{what}: the page's answer: {e}"));
            assert_eq!(fields(&answer), fields(&shown), "{what}");
        }
        Some((_, shown)) if body.contains("# EOF") => {
            // The lines of the page are there, their values aside.
            for line in shown.lines() {
                let line = if line.starts_with('#') {
                    line
                } else {
                    line.split(' ').next().unwrap()
                };
                assert!(body.contains(line), "{what}: {line:?} is not in the answer");
            }
        }
        Some((_, shown)) if body.contains("event: neighbor_down") => {
            let data = |text: &str| {
                let (_, news) = text.split_once("event: neighbor_down\n").unwrap();
                let json = news.lines().find_map(|line| line.strip_prefix("data: "));
                serde_json::from_str::<Value>(json.unwrap()).unwrap()
            };
            assert_eq!(fields(&data(body)), fields(&data(shown)), "{what}");
        }
        Some((_, shown)) => {
            let data = |text: &str| {
                text.lines()
                    .find_map(|line| line.strip_prefix("data: "))
                    .map(|json| serde_json::from_str::<Value>(json).unwrap())
            };
            assert_eq!(
                fields(&data(body).expect("an event")),
                fields(&data(shown).expect("an event on the page")),
                "{what}"
            );
            assert!(body.lines().any(|line| line.starts_with("id: ")), "{what}");
        }
    }
}

async fn neighbors_of(node: &Node) -> usize {
    node.handle()
        .peers()
        .await
        .unwrap()
        .iter()
        .filter(|peer| peer.neighbor)
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_the_page_work() {
    let build = |n: u8| {
        Node::builder()
            .network("admin-api")
            .in_memory()
            .identity(Identity::from_seed(&[n; 32]))
            .preset(AddressPreset::Local)
    };
    let seed = |node: &Node| overlay::config::Seed {
        peer: node.id(),
        target: overlay::action::Target::Addr(node.local_addrs()[0]),
    };
    // Two nodes with one key number alike, so that GET /v1/evidence has something to show.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let clock_ms = now.as_millis() as u64 - 20_000;
    let twin = |n: u8| build(n).unix_clock(move || clock_ms);
    let one = twin(3).spawn().await.unwrap();
    one.handle().publish("twins", "by the one").await.unwrap();
    let first = build(1).seed(seed(&one)).spawn().await.unwrap();
    let handle = first.handle();
    let mut twins = handle.subscribe("twins", From::Start).await.unwrap();
    twins.next().await.unwrap();
    one.shutdown().await;
    let other_dir = tempfile::tempdir().unwrap();
    let alone = twin(3).data_dir(other_dir.path()).spawn().await.unwrap();
    let published = alone.handle().publish("twins", "by the other").await;
    published.unwrap();
    alone.shutdown().await;
    // With its clock put right, so that its message counts as old enough for repair.
    let other = build(3).data_dir(other_dir.path()).seed(seed(&first));
    let other = other.spawn().await.unwrap();
    twins.next().await.unwrap();
    while handle.evidence().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.shutdown().await;
    let second = build(2).seed(seed(&first)).spawn().await.unwrap();
    while neighbors_of(&first).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await; // GET /v1/peers has something to show
    }
    let dir = tempfile::tempdir().unwrap();
    let token = DataDir::new(dir.path()).admin_token_or_new().unwrap();
    let admin = Admin::start(
        "127.0.0.1:0".parse().unwrap(),
        token.clone(),
        first.handle(),
    )
    .await
    .unwrap();
    let place = Place {
        admin: admin.addr(),
        token: token.as_str().to_owned(),
        peer: Identity::from_seed(&[9; 32]).id().to_string(),
    };

    // Somebody comes and goes, so that there is news.
    let at = seed(&first);
    let visits = tokio::spawn(async move {
        for n in 10..=u8::MAX {
            let guest = build(n).seed(at.clone()).spawn().await.unwrap();
            while neighbors_of(&guest).await == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            guest.shutdown().await;
        }
    });
    let curl = Command::new("curl").arg("--version").output().is_ok();
    let ran = tokio::task::spawn_blocking(move || {
        let examples = examples();
        for example in &examples {
            let (status, body) = place.without_curl(&example.command);
            check(example, status, &unchunk(&body));
            if curl {
                let (status, body) = place.curl(&example.command);
                check(example, status, &body);
            }
        }
        examples.len()
    })
    .await
    .unwrap();
    visits.abort();
    assert_eq!(ran, 10, "all examples of the page were found");
    admin.shutdown().await;
    second.shutdown().await;
    first.shutdown().await;
}

/// Takes the chunk sizes out of a chunked body (a line of hexadecimal digits before each piece).
fn unchunk(body: &str) -> String {
    let is_size = |line: &str| {
        !line.is_empty() && line.len() <= 8 && line.chars().all(|c| c.is_ascii_hexdigit())
    };
    if !body.lines().next().is_some_and(is_size) {
        return body.to_owned();
    }
    body.split("\r\n").filter(|piece| !is_size(piece)).collect()
}

#[test]
fn a_wrong_field_on_the_page_would_be_noticed() {
    let example = |answer: &str| Example {
        command: "curl".into(),
        answer: Some(("json".into(), answer.into())),
    };
    check(
        &example(r#"{"a": [{"b": 1}]}"#),
        200,
        r#"{"a": [{"b": 7}, {"b": 8}]}"#,
    );
    for wrong in [
        r#"{"a": [{"b": 1, "c": 2}]}"#,
        r#"{"a": []}"#,
        r#"{"x": [{"b": 1}]}"#,
    ] {
        let outcome =
            std::panic::catch_unwind(|| check(&example(wrong), 200, r#"{"a": [{"b": 7}]}"#));
        assert!(outcome.is_err(), "{wrong}");
    }
}
