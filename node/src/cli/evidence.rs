//! `vouchsafe evidence`

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use vouchsafe::evidence::{BadEvidence, Exported, MAX_EXPORT};
use vouchsafe::store::MAX_EVIDENCE;
use vouchsafe::{NetworkId, PeerId};

use super::client::Client;
use super::{DataDirArg, block_on, out};

/// Most bytes read by `verify`: everything that one node can export, indented or not.
const MAX_FILE: u64 = MAX_EVIDENCE * MAX_EXPORT as u64;

/// Show, export and verify proofs that an author signed two messages with one number
///
/// An author who does that shows different things to different nodes. A node that meets both messages keeps the two signed
/// headers: the last 1024 pairs, at most 4 of one author, for 30 days longer than its log. They prove it to anybody.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe evidence list --data-dir n1
  vouchsafe evidence export --data-dir n1 --out evidence.json
  vouchsafe evidence verify --network NAME evidence.json")]
pub(super) struct Evidence {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Export(Export),
    Verify(Verify),
}

/// List what a running node keeps, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vouchsafe evidence list --data-dir n1 --json

A line of --json:
  {\"author\":\"..\",\"seq\":..,\"found_unix_ms\":..,\"messages\":[\"..\",\"..\"]}")]
struct List {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Write what a running node keeps, in a form that anybody can verify
///
/// Without an author everything it has. Nothing to export is an error.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vouchsafe evidence export --data-dir n1 --out evidence.json ID")]
struct Export {
    #[command(flatten)]
    data_dir: DataDirArg,
    /// Only what convicts this author
    author: Option<PeerId>,
    /// Write to this file, which must not exist yet, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON object a line, instead of indented ones
    #[arg(long)]
    json: bool,
}

/// Check exported proofs: no node is needed, and nobody has to be trusted
///
/// Prints who equivocated, one line for each proof in the file. One that proves nothing is an error, and nothing is printed.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vouchsafe evidence verify --network NAME evidence.json

A line of --json:
  {\"author\":\"..\",\"seq\":..,\"network\":\"..\",\"messages\":[\"..\",\"..\"]}")]
struct Verify {
    /// The name of the network it must be about; without it, the one that the file names by its id
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// The file, or - for standard input
    file: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Evidence {
    pub(super) fn run(self) -> Result<()> {
        match self.command {
            Command::List(list) => list.run(),
            Command::Export(export) => export.run(),
            Command::Verify(verify) => verify.run(),
        }
    }
}

fn kept(data_dir: &DataDirArg) -> Result<Vec<Exported>> {
    let client = Client::find(&data_dir.data_dir)?;
    block_on(client.get("/v1/evidence"))
}

fn ids(exported: &Exported) -> [&str; 2] {
    [0, 1].map(|which| exported.messages[which].id.as_str())
}

impl List {
    fn run(self) -> Result<()> {
        let kept = kept(&self.data_dir)?;
        if self.json {
            return out::lines(kept.iter().map(|one| {
                serde_json::json!({
                    "author": one.author, "seq": one.seq, "found_unix_ms": one.found_unix_ms, "messages": ids(one),
                })
                .to_string()
            }));
        }
        let header = format!("{:<52}  {:<20}  FOUND, unix ms", "AUTHOR", "SEQ");
        out::lines(
            std::iter::once(header).chain(
                kept.iter().map(|one| {
                    format!("{:<52}  {:<20}  {}", one.author, one.seq, one.found_unix_ms)
                }),
            ),
        )
    }
}

impl Export {
    fn run(self) -> Result<()> {
        let mut kept = kept(&self.data_dir)?;
        if let Some(author) = self.author {
            kept.retain(|one| one.author == author.to_string());
        }
        if kept.is_empty() {
            let whose = self
                .author
                .map_or_else(String::new, |author| format!(" of {author}"));
            bail!(
                "the node on {} keeps no evidence{whose}: `vouchsafe evidence list` shows what it has",
                self.data_dir.data_dir.display()
            );
        }
        let lines: Vec<String> = kept
            .iter()
            .map(|one| {
                if self.json {
                    serde_json::to_string(one)
                } else {
                    serde_json::to_string_pretty(one)
                }
            })
            .collect::<Result<_, _>>()?;
        match &self.out {
            None => out::lines(lines),
            Some(file) => write(file, &lines).with_context(|| {
                format!(
                    "cannot write --out {}: choose a file that can be made and does not exist yet",
                    file.display()
                )
            }),
        }
    }
}

fn write(path: &Path, lines: &[String]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.sync_all()
}

impl Verify {
    fn run(self) -> Result<()> {
        let shown = if self.file == Path::new("-") {
            "standard input".to_owned()
        } else {
            self.file.display().to_string()
        };
        let text = self
            .read()
            .with_context(|| format!("cannot read {shown}"))?;
        if text.len() as u64 > MAX_FILE {
            bail!("{shown} is no evidence: it has more than {MAX_FILE} bytes");
        }
        let network = self.network.as_deref().map(NetworkId::from_name);
        let mut lines = Vec::new();
        for exported in serde_json::Deserializer::from_slice(&text).into_iter() {
            let which = lines.len() + 1;
            let line = exported
                .map_err(BadEvidence::Malformed)
                .and_then(|exported| self.line(&exported, network));
            lines.push(line.with_context(|| format!("{shown}, proof {which}"))?);
        }
        if lines.is_empty() {
            bail!("{shown} has no proof in it");
        }
        out::lines(lines)
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        if self.file == Path::new("-") {
            io::stdin()
                .lock()
                .take(MAX_FILE + 1)
                .read_to_end(&mut text)?;
        } else {
            File::open(&self.file)?
                .take(MAX_FILE + 1)
                .read_to_end(&mut text)?;
        }
        Ok(text)
    }

    fn line(&self, exported: &Exported, network: Option<NetworkId>) -> Result<String, BadEvidence> {
        let network = match network {
            Some(network) => network,
            None => exported.named_network()?,
        };
        let evidence = exported.verify(&network)?;
        Ok(if self.json {
            serde_json::json!({
                "author": evidence.author().to_string(), "seq": evidence.seq(), "network": network.to_string(), "messages": ids(exported),
            })
            .to_string()
        } else {
            format!(
                "{} signed two messages with number {} in network {network}",
                evidence.author(),
                evidence.seq()
            )
        })
    }
}
