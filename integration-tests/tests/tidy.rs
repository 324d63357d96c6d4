//! The rules of the house that a compiler does not hold: which crate may know which, how long a file may be, that the
//! map of the rooms is complete, and what words have no place here. Each checker is also shown a fault it must find.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines a source file may have, its tests not counted.
const MAX_LINES: usize = 500;

/// Who may depend on whom inside the project: the arrows `crypto <- certs <- node`, `crypto <- overlay <- node <-
/// integration-tests`.
const ARROWS: [(&str, &[&str]); 5] = [
    ("crypto", &[]),
    ("certs", &["crypto"]),
    ("overlay", &["crypto"]),
    ("node", &["crypto", "certs", "overlay"]),
    (
        "integration-tests",
        &["crypto", "certs", "overlay", "vouchsafe"],
    ),
];

/// What would give the protocol core a socket, a thread or a clock of its own.
const NOT_IN_OVERLAY: [&str; 8] = [
    "tokio",
    "tokio-util",
    "quinn",
    "quinn-proto",
    "quinn-udp",
    "rustls",
    "mio",
    "redb",
];

/// Names of the crates of this project, as dependencies name them.
const OWN: [&str; 5] = [
    "crypto",
    "certs",
    "overlay",
    "vouchsafe",
    "vouchsafe-integration-tests",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_path_buf()
}

/// Every file below `dir` that a person wrote, in order; build output and hidden directories are left out.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("a directory can be read").path();
            let name = path
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            if path.is_dir() {
                if name != "target" && (!name.starts_with('.') || name == ".ci") {
                    open.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All dependency tables of a manifest, those of targets and of tests included.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    fn collect(table: &toml::Table, into: &mut BTreeSet<String>) {
        for (key, value) in table {
            let Some(value) = value.as_table() else {
                continue;
            };
            match key.as_str() {
                "dependencies" | "dev-dependencies" | "build-dependencies" => {
                    into.extend(
                        value
                            .keys()
                            .map(|name| name.trim_start_matches("vouchsafe-").to_owned()),
                    );
                }
                "target" => value
                    .values()
                    .filter_map(toml::Value::as_table)
                    .for_each(|t| collect(t, into)),
                _ => {}
            }
        }
    }
    let mut names = BTreeSet::new();
    collect(manifest, &mut names);
    names
}

fn check_arrows(krate: &str, manifest: &str) -> Vec<String> {
    let manifest: toml::Table = match manifest.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("{krate}/Cargo.toml: {error}")],
    };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == krate) else {
        return vec![format!("{krate}: a crate without its arrows in this test")];
    };
    let mut faults = Vec::new();
    for name in dependencies(&manifest) {
        if OWN.contains(&name.as_str()) && !allowed.contains(&name.as_str()) {
            faults.push(format!("{krate} must not depend on {name}"));
        }
        if krate == "overlay" && NOT_IN_OVERLAY.contains(&name.as_str()) {
            faults.push(format!("overlay does no I/O: it must not depend on {name}"));
        }
    }
    let lints = manifest
        .get("lints")
        .and_then(|l| l.get("workspace"))
        .and_then(toml::Value::as_bool);
    if lints != Some(true) {
        faults.push(format!(
            "{krate}/Cargo.toml does not take the lints of the workspace"
        ));
    }
    faults
}

/// Lines before the test module that ends a file.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "))
        .unwrap_or(lines.len())
}

fn check_length(name: &str, text: &str) -> Option<String> {
    let lines = lines_without_tests(text);
    let limit = limit_of(name);
    (lines > limit).then(|| {
        format!(
            "{name} has {lines} lines without its tests, at most {limit}: split it by what it does"
        )
    })
}

/// Files that are over the limit, and how long each may be: these numbers only fall.
const LONGER: [(&str, usize); 0] = [];

fn limit_of(name: &str) -> usize {
    LONGER
        .iter()
        .find(|(longer, _)| *longer == name)
        .map_or(MAX_LINES, |(_, limit)| *limit)
}

/// Whether a source file holds nothing but tests and their tools: it lies in a directory of tests, is called `tests.rs`, or its
/// parent declares it under `#[cfg(test)]`.
fn is_test_file(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let by_place = path
        .components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "benches")));
    let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| path.with_file_name(parent));
    let sibling = path.parent().map(|dir| dir.with_extension("rs"));
    by_place
        || stem == "tests"
        || parents
            .into_iter()
            .chain(sibling)
            .filter_map(|parent| fs::read_to_string(parent).ok())
            .any(|text| declares_as_test(&text, &stem))
}

/// Whether `parent` has `mod stem;` right under `#[cfg(test)]`.
fn declares_as_test(parent: &str, stem: &str) -> bool {
    let lines: Vec<&str> = parent.lines().collect();
    lines.windows(2).any(|pair| {
        pair[0] == "#[cfg(test)]"
            && pair[1].trim_start_matches("pub(crate) ") == format!("mod {stem};")
    })
}

/// The directories of `src` that the map does not name as `` `name/` ``.
fn check_map(map: &str, directories: &[String]) -> Vec<String> {
    directories
        .iter()
        .filter(|name| !map.contains(&format!("`{name}/`")))
        .map(|name| format!("docs/ARCHITECTURE.md does not name `{name}/`"))
        .collect()
}

fn directories_of(src: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(src)
        .unwrap_or_else(|e| panic!("{}: {e}", src.display()))
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Words that mark unfinished work, and absolute paths of somebody's machine. Written in halves, since this file is checked too.
const WORDS: [(&str, &str); 8] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("todo", "!("),
    ("unimple", "mented!("),
    ("/ho", "me/"),
    ("/ro", "ot/"),
    ("/wo", "rk/"),
];

fn check_words(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (a, b) in WORDS {
            let word = format!("{a}{b}");
            if contains_word(line, &word) {
                faults.push(format!("{name}:{}: `{word}` has no place here", number + 1));
            }
        }
    }
    faults
}

/// Whether `word` stands in `line` without a letter or digit right before or after it.
fn contains_word(line: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let inside = word.starts_with(char::is_alphanumeric) && letter(before);
        let onward = word.ends_with(char::is_alphanumeric) && letter(after);
        !(inside || onward)
    })
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn assert_none(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} fault(s):\n  {}",
        faults.len(),
        faults.join("\n  ")
    );
}

#[test]
fn crates_know_only_whom_they_may() {
    let mut faults = Vec::new();
    for (krate, _) in ARROWS {
        let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml"))
            .expect("each crate has a manifest");
        faults.extend(check_arrows(krate, &manifest));
    }
    assert_none(&faults);
}

#[test]
fn every_member_of_the_workspace_has_its_arrows() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a manifest");
    let manifest: toml::Table = text.parse().expect("cargo reads it too");
    let members: BTreeSet<&str> = manifest["workspace"]["members"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    assert_eq!(members, ARROWS.iter().map(|(name, _)| *name).collect());
    assert_eq!(
        manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(),
        Some("forbid")
    );
    assert_eq!(
        manifest["profile"]["release"]["overflow-checks"].as_bool(),
        Some(true)
    );
}

#[test]
fn files_are_short() {
    let faults: Vec<String> = files(&root())
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs") && !is_test_file(path))
        .filter_map(|path| {
            check_length(
                &relative(path),
                &fs::read_to_string(path).expect("source is text"),
            )
        })
        .collect();
    assert_none(&faults);
    for (name, limit) in LONGER {
        let lines = lines_without_tests(
            &fs::read_to_string(root().join(name)).expect("a file of the list is there"),
        );
        assert!(
            lines > MAX_LINES,
            "{name} is short enough now: take it off the list (limit {limit})"
        );
    }
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md"))
        .expect("docs/ARCHITECTURE.md is there");
    let mut faults = check_map(&map, &ARROWS.map(|(name, _)| name.to_owned()));
    faults.extend(check_map(
        &map,
        &directories_of(&root().join("overlay/src")),
    ));
    faults.extend(check_map(&map, &directories_of(&root().join("node/src"))));
    assert_none(&faults);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut faults = Vec::new();
    for path in files(&root()) {
        let known = path
            .extension()
            .is_some_and(|e| matches!(e.to_str(), Some("rs" | "md" | "toml" | "txt")));
        if known || path.ends_with(".ci/run") || path.ends_with(".ci/sim") {
            faults.extend(check_words(
                &relative(&path),
                &fs::read_to_string(&path).expect("project files are text"),
            ));
        }
    }
    assert_none(&faults);
}

#[test]
fn readme_and_ci_run_the_same_tests() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let ci = fs::read_to_string(root().join(".ci/run")).expect(".ci/run is there");
    assert!(
        readme.contains("\ncargo test --workspace\n"),
        "README.md names the test command on a line of its own"
    );
    assert!(
        ci.contains("\ncargo test --workspace "),
        ".ci/run runs the test command of the README"
    );
    assert!(
        readme.contains("\ncargo run --release -- devnet\n"),
        "README.md names the first command on a line of its own"
    );
}

mod planted_faults {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    #[test]
    fn a_forbidden_arrow_is_found() {
        let manifest = format!("{LINTS}[dependencies]\nnode = \"1\"\nvouchsafe.workspace = true\n");
        assert_eq!(
            check_arrows("overlay", &manifest),
            ["overlay must not depend on vouchsafe"]
        );
        let manifest = format!("{LINTS}[dev-dependencies]\ncerts.workspace = true\n");
        assert_eq!(
            check_arrows("overlay", &manifest),
            ["overlay must not depend on certs"]
        );
        let manifest =
            format!("{LINTS}[dependencies]\nvouchsafe-overlay = {{ path = \"../overlay\" }}\n");
        assert_eq!(
            check_arrows("crypto", &manifest),
            ["crypto must not depend on overlay"]
        );
        assert_eq!(check_arrows("unheard-of", LINTS).len(), 1);
    }

    #[test]
    fn io_in_the_core_is_found_wherever_it_hides() {
        for table in [
            "dependencies",
            "dev-dependencies",
            "target.'cfg(unix)'.dependencies",
        ] {
            let manifest = format!("{LINTS}[{table}]\ntokio = \"1\"\n");
            assert_eq!(
                check_arrows("overlay", &manifest),
                ["overlay does no I/O: it must not depend on tokio"],
                "{table}"
            );
        }
        assert_none(&check_arrows(
            "node",
            &format!("{LINTS}[dependencies]\ntokio = \"1\"\n"),
        ));
    }

    #[test]
    fn missing_lints_are_found() {
        assert_eq!(check_arrows("crypto", "[dependencies]\n").len(), 1);
        assert_eq!(
            check_arrows("crypto", "[lints]\nworkspace = false\n").len(),
            1
        );
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let code = "fn a() {}\n".repeat(MAX_LINES);
        assert_eq!(check_length("a.rs", &code), None);
        assert!(check_length("a.rs", &format!("{code}fn b() {{}}\n")).is_some());
        let tests = "#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(check_length("a.rs", &format!("{code}{tests}{code}")), None);
        let early = "#[cfg(test)]\nfn helper() {}\n";
        assert!(
            check_length("a.rs", &format!("{early}{code}")).is_some(),
            "a test helper does not hide what follows"
        );
    }

    #[test]
    fn only_what_a_parent_declares_as_a_test_is_one() {
        let parent = "mod a;\n#[cfg(test)]\npub(crate) mod b;\n#[cfg(test)]\nmod c;\nmod d;\n";
        let declared: Vec<&str> = ["a", "b", "c", "d"]
            .into_iter()
            .filter(|stem| declares_as_test(parent, stem))
            .collect();
        assert_eq!(declared, ["b", "c"]);
    }

    #[test]
    fn an_unnamed_room_is_found() {
        let rooms = ["wire".to_owned(), "cellar".to_owned()];
        assert_eq!(
            check_map("the `wire/` room", &rooms),
            ["docs/ARCHITECTURE.md does not name `cellar/`"]
        );
    }

    #[test]
    fn unfinished_work_is_found() {
        for (a, b) in WORDS {
            assert_eq!(
                check_words("a.rs", &format!("fine\n// {a}{b} more\n")).len(),
                1,
                "{a}{b}"
            );
        }
        assert_none(&check_words(
            "a.rs",
            "mastodons, homework and XXXL are fine\n",
        ));
    }
}
