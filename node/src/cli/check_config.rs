//! `vouchsafe check-config`

use anyhow::{Result, bail};
use clap::Args;
use vouchsafe::Identity;
use vouchsafe::config::{self, Flags};
use vouchsafe::data_dir::DataDir;

use super::{DataDirArg, environment, out};

/// Check a node's key and settings without starting it
///
/// Reads config.toml and the VOUCHSAFE_* environment variables as `vouchsafe run` does and prints everything that is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vouchsafe check-config --data-dir n1 && systemctl restart vouchsafe"
)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    data_dir: DataDirArg,
}

impl CheckConfig {
    pub(super) fn run(self) -> Result<()> {
        let dir = DataDir::open(&self.data_dir.data_dir)?;
        let (loaded, problems) =
            config::check(&dir.config_path(), environment(), &Flags::default());
        let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let key = Identity::load(&dir.key_path());
        lines.extend(key.as_ref().err().map(ToString::to_string));
        let faults = lines.len();
        if let [fault] = &lines[..] {
            bail!(fault.clone());
        }
        lines.extend(
            loaded
                .warnings
                .iter()
                .map(|warning| format!("note: {warning}")),
        );
        out::lines(lines.iter().map(|line| out::printable(line)))?;
        match faults {
            0 => out::line(format!(
                "{}: network {:?}, preset {}: good",
                dir.path().display(),
                loaded.config.network,
                config::preset_name(loaded.config.preset)
            )),
            n => bail!(
                "{}: {n} things are wrong, listed on stdout",
                dir.path().display()
            ),
        }
    }
}
