//! Laying the layers over one another, and judging the whole.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::settings::{self, Draft, SETTINGS, Value};
use super::{ConfigErrors, ENV_PREFIX, Flags, Loaded, NodeConfig, Origin, Problem, file};

/// Variables with our prefix that are no settings: the data directory is found before the configuration is.
const OTHER_VARIABLES: [&str; 2] = ["VOUCHSAFE_DATA_DIR", "VOUCHSAFE_FAULT"];

/// The settings of a node: defaults, overlaid by the file at `path` (which may be missing), by the environment `env`
/// (name and value; only `VOUCHSAFE_*` is looked at) and by `flags`.
///
/// # Errors
/// Everything that is wrong in any layer, also where a higher layer would hide it.
pub fn load(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> Result<Loaded, ConfigErrors> {
    let (loaded, problems) = check(path, env, flags);
    if problems.is_empty() {
        Ok(loaded)
    } else {
        Err(ConfigErrors(problems))
    }
}

/// As [`load`], but with the settings as far as they are good (defaults elsewhere) beside all problems.
pub fn check(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    flags: &Flags,
) -> (Loaded, Vec<Problem>) {
    let mut layers = Layers::default();
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            layers.problems.push(Problem {
                origin: Origin::file(path, 0),
                key: String::new(),
                what: format!("cannot read the file: {error}; check its permissions"),
            });
            Vec::new()
        }
    };
    let (found, problems) = file::read(path, &text);
    layers.problems.extend(problems);
    for found in found {
        let origin = Origin::file(path, found.line);
        layers.set(found.setting, &found.value, origin);
    }
    layers.env(env);
    layers.flags(flags);
    layers.whole();
    let loaded = Loaded {
        config: layers.draft.finish(),
        warnings: layers.warnings,
    };
    (loaded, layers.problems)
}

#[derive(Default)]
struct Layers {
    draft: Draft,
    /// Which layer spoke last about a key.
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Layers {
    fn set(&mut self, setting: &settings::Setting, value: &Value, origin: Origin) {
        match (setting.set)(&mut self.draft, value) {
            Ok(()) => {
                self.origins.insert(setting.key(), origin);
            }
            Err(what) => self.problems.push(Problem {
                origin,
                key: setting.key(),
                what,
            }),
        }
    }

    fn env(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        let ours = env
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENV_PREFIX));
        let mut ours: BTreeMap<String, String> = ours.collect();
        for setting in SETTINGS {
            if let Some(value) = ours.remove(&setting.env()) {
                let origin = Origin::Env(setting.env());
                self.set(setting, &Value::Text(value), origin);
            }
        }
        // Not an error: service managers put variables of their own under the name of a service.
        for name in ours.into_keys() {
            if !OTHER_VARIABLES.contains(&name.as_str()) {
                self.warnings
                    .push(format!("environment variable {name} is no setting"));
            }
        }
    }

    fn flags(&mut self, flags: &Flags) {
        let config = &mut self.draft.config;
        let mut said = |key: &str, flag: &'static str| {
            self.origins.insert(key.to_owned(), Origin::Flag(flag));
        };
        let mut wrong = Vec::new();
        if let Some(network) = &flags.network {
            said("network", "--network");
            match settings::network(network) {
                Ok(network) => config.network = network,
                Err(what) => wrong.push(("--network", "network", what)),
            }
        }
        if let Some(preset) = flags.preset {
            said("preset", "--local");
            config.preset = preset;
        }
        if !flags.listen.is_empty() {
            said("listen", "--listen");
            self.draft.listen = Some(flags.listen.clone());
        }
        for (from, to, key, flag) in [
            (&flags.seeds, &mut config.seeds, "seeds", "--seed"),
            (
                &flags.persistent,
                &mut config.persistent,
                "persistent",
                "--persistent",
            ),
        ] {
            if !from.is_empty() {
                said(key, flag);
                to.clone_from(from);
            }
        }
        if !flags.external.is_empty() {
            said("external", "--external");
            config.external.clone_from(&flags.external);
        }
        if let Some(addr) = flags.admin {
            said("admin.listen", "--admin");
            match settings::admin(addr) {
                Ok(addr) => config.admin = addr,
                Err(what) => wrong.push(("--admin", "admin.listen", what)),
            }
        }
        if let Some(format) = flags.log_format {
            said("log.format", "--log-format");
            config.log_format = format;
        }
        for (flag, key, what) in wrong {
            self.problems.push(Problem {
                origin: Origin::Flag(flag),
                key: key.to_owned(),
                what,
            });
        }
    }

    fn problem(&mut self, key: &str, what: String) {
        let origin = self.origins.get(key).cloned().unwrap_or(Origin::Default);
        self.problems.push(Problem {
            origin,
            key: key.to_owned(),
            what,
        });
    }

    /// What is wrong only together.
    fn whole(&mut self) {
        let NodeConfig {
            limits,
            outbound,
            inbound,
            ..
        } = self.draft.config;
        if self.draft.allow_list && self.draft.allow.is_empty() {
            let what = "the policy is \"allow-list\" and nobody is allowed: list at least one id in `authors.allow`, or set \
                        `policy = \"open\"`";
            // Named where somebody has said something: most often the list is not there at all.
            let listed = self.origins.contains_key("authors.allow");
            let key = if listed {
                "authors.allow"
            } else {
                "authors.policy"
            };
            self.problem(key, what.to_owned());
        }
        if !self.draft.allow_list && !self.draft.allow.is_empty() {
            let what = "ids are listed but the policy is \"open\": set `policy = \"allow-list\"`, or remove the list";
            self.problem("authors.allow", what.to_owned());
        }
        if let Some(links) = limits.max_links
            && links < outbound + 4
        {
            // Short visits need some places beside the neighbors.
            let what = format!(
                "{links} links do not hold {outbound} outbound neighbors and 4 visits: set `limits.max_links` to {} or \
                 more, or lower `neighbors.outbound`",
                outbound + 4
            );
            self.problem("limits.max_links", what);
        } else if let Some(links) = limits.max_links
            && links < outbound + inbound + 4
        {
            self.warnings.push(format!(
                "limits.max_links = {links} is reached before neighbors.inbound = {inbound}"
            ));
        }
    }
}
