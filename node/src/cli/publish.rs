//! `vouchsafe publish`

use std::io::{self, BufRead, Read as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use data_encoding::BASE64;
use hyper::StatusCode;
use overlay::messages::MAX_PAYLOAD;
use serde::Deserialize;
use tokio::sync::mpsc;
use vouchsafe::Topic;
use vouchsafe::admin::PublishedView;

use super::client::{Client, topic_path};
use super::{DataDirArg, block_on, out};

/// Publish signed messages through a running node
///
/// Prints the id of each message on a line of its own once the node has it on disk, in the order of the input. With `-`
/// the lines of stdin are published, one message a line, empty lines included; those that wait while earlier ones are
/// written travel together.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe publish --data-dir n1 news 'hello, world'
  vouchsafe publish --data-dir n1 news --file picture.png
  tail -f /var/log/events | vouchsafe publish --data-dir n1 events -

A message has at most 16 MiB unless the network's nodes are set otherwise; a line of stdin, 256 KiB.
Topics are made of A-Z a-z 0-9 . _ - / and have at most 64
characters.")]
pub(super) struct Publish {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// The topic
    topic: Topic,
    /// The message; `-` = one message a line from stdin
    #[arg(required_unless_present = "file")]
    text: Option<String>,
    /// Publish the content of a file as one message
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
}

/// Payloads in one request: enough to keep the disk's commits far apart, few enough to answer soon.
const BATCH: usize = 256;
/// Bytes of payload after which a request is closed.
const BATCH_BYTES: usize = 128 * 1024;
/// Longest line of stdin, bytes: what is read ahead has to fit in memory.
const MAX_LINE: usize = 256 * 1024;
/// Lines read ahead while a request is under way.
const AHEAD: usize = 512;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Outcome>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Outcome {
    Published(PublishedView),
    Refused { error: String },
}

impl Publish {
    pub(super) fn run(self) -> Result<()> {
        let client = Client::find(&self.data_dir.data_dir)?;
        let place =
            (self.file.as_ref()).map_or_else(String::new, |it| format!("{}: ", it.display()));
        let payload = match (self.file, self.text) {
            (Some(path), _) => read_file(&path)?,
            (None, Some(text)) if text == "-" => {
                return block_on(publish_lines(&client, &self.topic));
            }
            (None, text) => text.unwrap_or_default().into_bytes(),
        };
        block_on(publish_one(&client, &self.topic, payload, &place))
    }
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Not the whole of a file that is too large anyway.
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_PAYLOAD as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| path.display().to_string())?;
    if bytes.len() > MAX_PAYLOAD {
        bail!(
            "{}: no network takes a message of more than {MAX_PAYLOAD} bytes; cut the file into pieces",
            path.display()
        );
    }
    Ok(bytes)
}

/// Publishes one payload and prints its id; `place` names it in an error.
async fn publish_one(client: &Client, topic: &Topic, payload: Vec<u8>, place: &str) -> Result<()> {
    let path = topic_path(topic.as_str());
    let (status, body) = client.post_bytes(&path, payload).await?;
    let remedy = match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            "; cut it into pieces, or raise `limits.max_payload` at every node of the network"
        }
        _ => "",
    };
    match serde_json::from_slice(&body) {
        Ok(Outcome::Published(view)) => out::lines(&[view.id]),
        Ok(Outcome::Refused { error }) => bail!("{place}{error}{remedy}"),
        Err(_) => bail!("the node gave an answer that this program does not understand ({status})"),
    }
}

/// Publishes payloads and prints their ids; `place` names the one at an index in an error.
async fn publish(
    client: &Client,
    topic: &Topic,
    payloads: &[Vec<u8>],
    place: impl Fn(usize) -> String,
) -> Result<()> {
    let encoded: Vec<String> = payloads
        .iter()
        .map(|payload| BASE64.encode(payload))
        .collect();
    let json = serde_json::json!({ "payloads_base64": encoded }).to_string();
    let (status, body) = client
        .post(&topic_path(topic.as_str()), json)
        .await
        .map_err(|error| anyhow!("{}{error:#}", place(0)))?;
    let answer: Answer = serde_json::from_slice(&body).with_context(|| {
        format!(
            "{}the node gave an answer that this program does not understand ({status})",
            place(0)
        )
    })?;
    let mut published = Vec::new();
    let mut refused = None;
    for (index, outcome) in answer.results.into_iter().enumerate() {
        match outcome {
            Outcome::Published(view) => published.push(view.id),
            Outcome::Refused { error } => {
                refused = Some(format!("{}{error}", place(index)));
                break; // what follows is not printed: a line of output stands for the same line of input
            }
        }
    }
    out::lines(&published)?;
    let refused = refused.or_else(|| Some(format!("{}{}", place(0), answer.error?)));
    match refused {
        Some(reason) => bail!(reason),
        None if published.len() == payloads.len() => Ok(()),
        None => bail!(
            "{}the node did not answer for every message ({status})",
            place(published.len())
        ),
    }
}

async fn publish_lines(client: &Client, topic: &Topic) -> Result<()> {
    let (sender, mut lines) = mpsc::channel(AHEAD);
    // Stdin has no other way than blocking; the thread ends with the program.
    std::thread::spawn(move || {
        read_lines(io::stdin().lock(), |line| {
            sender.blocking_send(line).is_ok()
        })
    });
    let (mut done, mut waiting) = (0, None);
    loop {
        let Some((batch, trouble)) = next_batch(&mut lines, &mut waiting).await else {
            return Ok(());
        };
        if !batch.is_empty() {
            publish(client, topic, &batch, |index| {
                format!("line {}: ", done + index + 1)
            })
            .await?;
            done += batch.len();
        }
        if let Some(trouble) = trouble {
            bail!("line {}: {trouble}", done + 1);
        }
    }
}

type Line = Result<Vec<u8>, String>;

/// Waits for a line and takes those that wait with it, within the limits of a request; then the trouble that ended the
/// input, if any.
async fn next_batch(
    lines: &mut mpsc::Receiver<Line>,
    waiting: &mut Option<Line>,
) -> Option<(Vec<Vec<u8>>, Option<String>)> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut next = match waiting.take() {
        Some(line) => Some(line),
        None => Some(lines.recv().await?),
    };
    while let Some(line) = next {
        match line {
            Err(trouble) => return Some((batch, Some(trouble))),
            Ok(line) if batch.is_empty() || bytes + line.len() <= BATCH_BYTES => {
                bytes += line.len();
                batch.push(line);
            }
            line => {
                *waiting = Some(line);
                break;
            }
        }
        next = if batch.len() < BATCH {
            lines.try_recv().ok()
        } else {
            None
        };
    }
    Some((batch, None))
}

/// Reads lines without their newline and gives them to `each` until it says no; the last may lack its newline. A line that
/// is too long, or an error, is the last thing given.
fn read_lines(mut input: impl BufRead, mut each: impl FnMut(Line) -> bool) {
    loop {
        let mut line = Vec::new();
        let read = (&mut input)
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line);
        let line = match read {
            Ok(0) => return,
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                Ok(line)
            }
            Ok(_) if line.len() > MAX_LINE => Err(format!(
                "a line has at most {MAX_LINE} bytes, this one has more: publish it with --file"
            )),
            Ok(_) => Ok(line),
            Err(error) => Err(format!("stdin: {error}")),
        };
        let last = line.is_err();
        if !each(line) || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        read_lines(input, |line| {
            lines.push(line);
            true
        });
        lines
    }

    #[test]
    fn a_line_is_a_message_byte_for_byte() {
        assert_eq!(
            lines(b"one\n\ntwo\r\n\xff\x00\nlast"),
            [
                Ok(b"one".to_vec()),
                Ok(vec![]),
                Ok(b"two\r".to_vec()),
                Ok(vec![0xff, 0]),
                Ok(b"last".to_vec()),
            ]
        );
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n"), [Ok(vec![])]);
    }

    #[test]
    fn a_line_may_fill_a_message_and_not_more() {
        let full = vec![b'x'; MAX_LINE];
        let mut input = full.clone();
        input.push(b'\n');
        assert_eq!(lines(&input), [Ok(full.clone())]);
        assert_eq!(lines(&full), [Ok(full.clone())]);
        input.insert(0, b'x');
        input.extend(b"never read\n");
        let read = lines(&input);
        assert_eq!(read.len(), 1);
        assert!(
            read[0]
                .as_ref()
                .unwrap_err()
                .contains("at most 262144 bytes")
        );
    }

    #[tokio::test]
    async fn what_waits_travels_together_within_limits() {
        let (sender, mut receiver) = mpsc::channel(1000);
        for n in 0..600 {
            sender.send(Ok(vec![0; n % 3])).await.unwrap();
        }
        let big = vec![1; BATCH_BYTES / 4];
        for _ in 0..5 {
            sender.send(Ok(big.clone())).await.unwrap();
        }
        sender.send(Err("trouble".into())).await.unwrap();
        drop(sender);
        let (mut sizes, mut waiting, mut troubles) = (Vec::new(), None, Vec::new());
        while let Some((batch, trouble)) = next_batch(&mut receiver, &mut waiting).await {
            assert!(batch.iter().map(Vec::len).sum::<usize>() <= BATCH_BYTES);
            sizes.push(batch.len());
            troubles.extend(trouble);
        }
        assert_eq!(sizes.iter().sum::<usize>(), 605);
        assert_eq!(&sizes[..2], [BATCH, BATCH]);
        assert_eq!(troubles, ["trouble"]);
    }
}
