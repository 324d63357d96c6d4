//! `--set key=value`.

use std::str::FromStr;

use toml::{Table, Value};

/// One key set from the command line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: Value,
    flag: &'static str,
    argument: String,
}

impl Setting {
    /// A setting that has a flag of its own.
    pub(crate) fn of(key: &str, value: impl Into<Value>, flag: &'static str) -> Self {
        let value = value.into();
        Self {
            key: key.to_owned(),
            flag,
            argument: value.to_string(),
            value,
        }
    }

    /// As it was written, for errors.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.flag, self.argument)
    }

    /// As a shell would take it.
    pub(super) fn words(&self) -> [String; 2] {
        [self.flag.to_owned(), quoted(&self.argument)]
    }
}

impl FromStr for Setting {
    type Err = String;

    /// The value is read by the rules of TOML; a bare word is a string.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((key, value)) = text.split_once('=') else {
            return Err("expected KEY=VALUE, as in nodes=500".to_owned());
        };
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || value.is_empty() {
            return Err("expected KEY=VALUE, as in nodes=500".to_owned());
        }
        Ok(Self {
            key: key.to_owned(),
            value: value_of(value)?,
            flag: "--set",
            argument: text.to_owned(),
        })
    }
}

fn value_of(text: &str) -> Result<Value, String> {
    match toml::from_str::<Table>(&format!("value = {text}")) {
        Ok(mut table) if table.len() == 1 => {
            table.remove("value").ok_or_else(|| "no value".to_owned())
        }
        // More than one line: the text had a line break in it.
        Ok(_) => Err("expected one value".to_owned()),
        Err(error) if text.starts_with(['[', '{', '"', '\'']) => {
            Err(error.message().trim_end().replace('\n', " "))
        }
        // TOML wants a digit before the point, people do not.
        Err(_) if text.starts_with('.') => Ok(text
            .parse()
            .map_or_else(|_| Value::String(text.to_owned()), Value::Float)),
        Err(_) => Ok(Value::String(text.to_owned())),
    }
}

/// A word that a shell leaves as it is.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "=._%+-/:,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        format!("k={text}").parse::<Setting>().unwrap().value
    }

    #[test]
    fn values_are_typed_by_the_rules_of_toml() {
        assert_eq!(value("500"), Value::Integer(500));
        assert_eq!(value("1_000"), Value::Integer(1000));
        assert_eq!(value(".3"), Value::Float(0.3));
        assert_eq!(value("0.3"), Value::Float(0.3));
        assert_eq!(value("true"), Value::Boolean(true));
        assert_eq!(value("flood"), Value::String("flood".to_owned()));
        assert_eq!(
            value("silent-bias"),
            Value::String("silent-bias".to_owned())
        );
        assert_eq!(value("\"500\""), Value::String("500".to_owned()));
        assert_eq!(value("a=b"), Value::String("a=b".to_owned()));
        assert_eq!(
            value("[5, 110]"),
            Value::Array(vec![Value::Integer(5), Value::Integer(110)])
        );
        assert!(value("[{ at_s = 1, what = \"heal\" }]").is_array());
    }

    #[test]
    fn a_setting_is_shown_as_a_shell_would_take_it() {
        let words = |text: &str| text.parse::<Setting>().unwrap().words().join(" ");
        assert_eq!(words("nodes=5"), "--set nodes=5");
        assert_eq!(
            words("events=[{ a = \"b\" }]"),
            "--set 'events=[{ a = \"b\" }]'"
        );
        assert_eq!(words("k=it's"), "--set 'k=it'\\''s'");
        assert_eq!(Setting::of("nodes", 5, "--nodes").words(), ["--nodes", "5"]);
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for text in [
            "nodes", "=5", "nodes=", "k=[1,", "k={", "k=\"open", "k=1\nl=2",
        ] {
            assert!(text.parse::<Setting>().is_err(), "{text}");
        }
    }
}
