//! `vouchsafe subscribe`

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use data_encoding::BASE64;
use http_body_util::BodyExt as _;
use vouchsafe::Topic;
use vouchsafe::admin::{EntryView, LaggedView};

use super::client::{Client, topic_path};
use super::sse::{LineTooLong, SseEvent, SseReader};
use super::{DataDirArg, block_on, out};

/// Print the messages of a topic as they arrive at a running node
///
/// Each message is printed once, verified, in its author's sequence, but for what came too late to be waited for: the message
/// after such a hole is marked, and what was missing follows when it comes, or is left out with --order sequence.
/// Without --json a line has the author's short id and the payload as text, control characters escaped. Ends with exit
/// status 1 when the node goes away.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe subscribe --data-dir n1 news                        what arrives from now on
  vouchsafe subscribe --data-dir n1 news --from start --json    what it has, then what arrives
  vouchsafe subscribe --data-dir n1 news --from 1841 --count 1 --json

A line of --json:
  {\"cursor\":..,\"id\":\"..\",\"message\":\"..\",\"index\":..,\"author\":\"..\",\"seq\":..,
   \"published_unix_ms\":..,\"topic\":\"..\",\"payload_base64\":\"..\"}
with \"gap\":true when the author's previous message was missing, and \"equivocation\":true when the
author signed another message with the same sequence number.")]
pub(super) struct Subscribe {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// The topic
    topic: Topic,
    /// Where to begin: `now`, `start` (the oldest message the node has), or after a cursor
    #[arg(long, value_name = "now|start|CURSOR", default_value = "now", value_parser = from)]
    from: String,
    /// `log`: every message, as the node's log has them; `sequence`: each author's numbers only rise,
    /// and what comes after a later one of its author is left out
    #[arg(long, value_name = "log|sequence", default_value = "log", value_parser = ["log", "sequence"])]
    order: String,
    /// Stop after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn from(text: &str) -> Result<String, String> {
    match text {
        "now" | "start" => Ok(text.to_owned()),
        cursor if cursor.parse::<u64>().is_ok() => Ok(cursor.to_owned()),
        _ => Err("use now, start, or a cursor (a number, as printed by --json)".to_owned()),
    }
}

/// Why reading events stopped.
enum Stop {
    /// `--count` is reached.
    Done,
    /// Entries were skipped because we were slow; the log has them after this cursor.
    Lagged(u64),
    Failed(anyhow::Error),
}

impl From<LineTooLong> for Stop {
    fn from(error: LineTooLong) -> Self {
        Self::Failed(error.into())
    }
}

impl Subscribe {
    pub(super) fn run(self) -> Result<()> {
        let client = Client::find(&self.data_dir.data_dir)?;
        block_on(async move {
            let (mut from, mut printed) = (self.from.clone(), 0);
            loop {
                match self.follow(&client, &from, &mut printed).await {
                    Stop::Done => return Ok(()),
                    Stop::Failed(error) => return Err(error),
                    // We were slower than the network: go on from the log.
                    Stop::Lagged(resume) => from = resume.to_string(),
                }
            }
        })
    }

    async fn follow(&self, client: &Client, from: &str, printed: &mut u64) -> Stop {
        let (topic, order) = (topic_path(self.topic.as_str()), &self.order);
        let path = format!("{topic}?from={from}&order={order}");
        let mut body = match client.request("GET", &path, None).await {
            Ok(response) => response.into_body(),
            Err(error) => return Stop::Failed(error),
        };
        let mut reader = SseReader::default();
        while let Some(frame) = body.frame().await {
            let frame = match frame.with_context(|| client.gone()) {
                Ok(frame) => frame,
                Err(error) => return Stop::Failed(error),
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            // One write for all the entries of a chunk.
            let mut lines = Vec::new();
            let read = reader.read(data, |event| self.take(&event, *printed, &mut lines));
            *printed += lines.len() as u64;
            if let Err(error) = out::lines(&lines) {
                return Stop::Failed(error);
            }
            if let Err(stop) = read {
                return stop;
            }
        }
        Stop::Failed(anyhow!("{}", client.gone()))
    }

    fn take(&self, event: &SseEvent, printed: u64, lines: &mut Vec<String>) -> Result<(), Stop> {
        let lagged = event.event == "lagged";
        let taken = if lagged {
            serde_json::from_str(&event.data)
                .map(|lagged: LaggedView| Err(Stop::Lagged(lagged.resume)))
        } else {
            self.line(&event.data).map(|line| {
                lines.push(line);
                Ok(())
            })
        };
        taken.unwrap_or_else(|error| {
            Err(Stop::Failed(anyhow!(
                "the node sent an event that this program does not understand: {error}"
            )))
        })?;
        if self
            .count
            .is_some_and(|count| printed + lines.len() as u64 >= count)
        {
            return Err(Stop::Done);
        }
        Ok(())
    }

    fn line(&self, data: &str) -> serde_json::Result<String> {
        let entry: EntryView<'_> = serde_json::from_str(data)?;
        if self.json {
            return serde_json::to_string(&entry);
        }
        let author = entry.author.get(..8).unwrap_or(&entry.author);
        let payload = BASE64
            .decode(entry.payload_base64.as_bytes())
            .unwrap_or_default();
        let text = out::printable(&String::from_utf8_lossy(&payload));
        let marks = match (entry.gap, entry.equivocation) {
            (false, false) => "",
            (true, false) => "[gap] ",
            (false, true) => "[equivocation] ",
            (true, true) => "[gap] [equivocation] ",
        };
        Ok(format!("{author} {marks}{text}"))
    }
}
