//! The `config.toml` that `init` writes.

use overlay::config::AddressPreset;

use super::settings::{SECTIONS, SETTINGS};

/// The text of a new `config.toml`: every setting with its comment; `network` and `preset` set, everything else commented
/// out at its default.
#[must_use]
pub fn default_text(network: &str, preset: AddressPreset) -> String {
    let mut text = String::from(
        "# Configuration of a Vouchsafe node.\n\
         #\n\
         # Flags of `vouchsafe run` go before environment variables, which go before this file. The variable of\n\
         # `max_upload` in `[limits]` is VOUCHSAFE_LIMITS_MAX_UPLOAD, lists are separated by commas there. Settings that are\n\
         # commented out show their defaults. `vouchsafe check-config` checks everything without starting the node.\n",
    );
    for (section, about) in SECTIONS {
        if !section.is_empty() {
            text.push_str(&format!("\n# {about}\n[{section}]\n"));
        }
        for setting in SETTINGS.iter().filter(|s| s.section == section) {
            text.push('\n');
            for line in setting.about.lines() {
                text.push_str(&format!("# {line}\n"));
            }
            let line = match setting.key().as_str() {
                "network" => format!("network = {}", quoted(network)),
                "preset" => format!("preset = {}", quoted(preset_name(preset))),
                _ => format!("#{} = {}", setting.name, setting.default),
            };
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// How a preset is written in the file.
#[must_use]
pub const fn preset_name(preset: AddressPreset) -> &'static str {
    match preset {
        AddressPreset::Local => "local",
        AddressPreset::Lan => "lan",
        AddressPreset::Wan => "wan",
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
