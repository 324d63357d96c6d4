//! Command lines: what is taken, what is refused and how.

use clap::{CommandFactory as _, error::ErrorKind};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

fn id() -> String {
    vouchsafe::Identity::from_seed(&[1; 32]).id().to_string()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in Cli::command().get_subcommands_mut() {
        let name = command.get_name().to_owned();
        assert!(command.get_about().is_some(), "{name}");
        let help = command.render_long_help().to_string();
        let example = help
            .split("Example")
            .nth(1)
            .unwrap_or_else(|| panic!("{name} shows no example"));
        assert!(
            example.contains(&format!("vouchsafe {name}")) || name == "id",
            "{name}: {example}"
        );
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{name} {}",
                argument.get_id()
            );
        }
    }
}

/// The examples of the help texts and the README are command lines that parse.
#[test]
fn examples_parse() {
    let id = id();
    let command = Cli::command();
    let commands = command.get_subcommands();
    let nested = command.get_subcommands().flat_map(|c| c.get_subcommands());
    let mut texts: Vec<String> = commands
        .chain(nested)
        .filter_map(|command| Some(command.get_after_help()?.to_string()))
        .collect();
    texts.push(EXAMPLES.to_owned());
    for line in texts.iter().flat_map(|text| text.lines()) {
        assert!(
            line.len() <= 100,
            "a terminal would break this line: {line}"
        );
    }
    texts.push(
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap(),
    );
    for document in ["OPERATING.md", "SIMULATOR.md", "RESULTS.md"] {
        let path = format!("{}/../docs/{document}", env!("CARGO_MANIFEST_DIR"));
        texts.push(std::fs::read_to_string(path).unwrap());
    }
    let mut seen = 0;
    for line in texts.iter().flat_map(|text| text.lines()) {
        let line = line.trim().trim_start_matches("$ ");
        let line = line.rsplit_once("| ").map_or(line, |(_, last)| last);
        if !line.starts_with("vouchsafe ")
            || line.contains("[OPTIONS]")
            || line.contains("<COMMAND>")
        {
            continue;
        }
        // What a shell would take out: comments after many blanks, redirections, further commands, substitutions.
        let line = line.split("    ").next().unwrap();
        let line = line.split(" # ").next().unwrap();
        let line = line
            .split(" > ")
            .next()
            .unwrap()
            .split(" && ")
            .next()
            .unwrap();
        let line = line
            .trim_end_matches(" &")
            .replace("$(vouchsafe id --data-dir n1)", &id)
            .replace("ID@", &format!("{id}@"));
        let mut words = Vec::new();
        for (n, piece) in line.split('\'').enumerate() {
            if n % 2 == 1 {
                words.push(piece.to_owned());
            } else {
                words.extend(piece.split_whitespace().map(|word| {
                    if word == "ID" {
                        id.clone()
                    } else {
                        word.to_owned()
                    }
                }));
            }
        }
        Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{line:?} {words:?}: {error}"));
        seen += 1;
    }
    assert!(seen > 25, "only {seen} examples were found");
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    for (line, kind) in [
        (
            "vouchsafe",
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ),
        ("vouchsafe dance", ErrorKind::InvalidSubcommand),
        ("vouchsafe status", ErrorKind::MissingRequiredArgument),
        (
            "vouchsafe publish --data-dir d t",
            ErrorKind::MissingRequiredArgument,
        ),
        (
            "vouchsafe publish --data-dir d t text --file f",
            ErrorKind::ArgumentConflict,
        ),
        (
            "vouchsafe publish --data-dir d t/ü text",
            ErrorKind::ValueValidation,
        ),
        (
            "vouchsafe subscribe --data-dir d t --from yesterday",
            ErrorKind::ValueValidation,
        ),
        (
            "vouchsafe subscribe --data-dir d t --count 0",
            ErrorKind::ValueValidation,
        ),
        (
            "vouchsafe run --data-dir d --seed nonsense",
            ErrorKind::ValueValidation,
        ),
        (
            "vouchsafe run --data-dir d --listen 127.0.0.1",
            ErrorKind::ValueValidation,
        ),
        (
            "vouchsafe run --data-dir d --log-format xml",
            ErrorKind::ValueValidation,
        ),
        ("vouchsafe ban --data-dir d abc", ErrorKind::ValueValidation),
        ("vouchsafe devnet --nodes 1", ErrorKind::ValueValidation),
        ("vouchsafe devnet --size 15", ErrorKind::ValueValidation),
        (
            "vouchsafe devnet --size 16777217",
            ErrorKind::ValueValidation,
        ),
        ("vouchsafe devnet --rate -1", ErrorKind::UnknownArgument),
        ("vouchsafe devnet --rate NaN", ErrorKind::ValueValidation),
        ("vouchsafe completions klingon", ErrorKind::InvalidValue),
        #[cfg(feature = "sim")]
        (
            "vouchsafe sim",
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
        ),
        #[cfg(feature = "sim")]
        ("vouchsafe sim nat --seeds 0", ErrorKind::ValueValidation),
        #[cfg(feature = "sim")]
        ("vouchsafe sim nat --set nodes", ErrorKind::ValueValidation),
        #[cfg(feature = "sim")]
        (
            "vouchsafe sim suite --only nat --results r.md",
            ErrorKind::ArgumentConflict,
        ),
        #[cfg(feature = "sim")]
        (
            "vouchsafe sim compare a.json",
            ErrorKind::MissingRequiredArgument,
        ),
    ] {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), kind, "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    for line in [
        "vouchsafe --help",
        "vouchsafe run --help",
        "vouchsafe --version",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 0, "{line}");
    }
}

#[test]
fn a_malformed_peer_says_what_is_wrong() {
    for (peer, what) in [
        (format!("{}:4100", id()), "`@` is missing"),
        ("abc@127.0.0.1:4100".to_owned(), "3 characters"),
        (format!("{}@", id()), "after the `@`"),
    ] {
        let error = parse(&format!("vouchsafe run --data-dir d --seed {peer}"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(what) && error.contains("--seed"),
            "{peer}: {error}"
        );
    }
}

#[test]
fn the_whole_of_run_is_taken() {
    let id = id();
    let line = format!(
        "vouchsafe run --data-dir d --network n --local --listen 127.0.0.1:0 --listen [::1]:0 --external example.org:4100 --seed {id}@a.example:1 \
         --seed {id}@[::1]:2 --persistent {id}@127.0.0.1:3 --admin 127.0.0.1:0 --log-format json"
    );
    assert!(parse(&line).is_ok());
}

#[test]
fn an_error_is_one_line_and_says_nothing_twice() {
    let cause = anyhow::anyhow!("disk\nfull");
    let error = cause
        .context("n1/store.redb: disk\\u{a}full")
        .context("cannot start");
    assert_eq!(
        one_line(&error),
        "cannot start: n1/store.redb: disk\\u{5c}u{a}full".replace("\\u{5c}", "\\")
    );
}
