use std::fs;

use super::*;

const ID: &str = "tb6ko5vv6opl5sheuwy5mzlnpr2gfmrdvowiy5k5u5q2kd4ycnea";

/// A valid id as text.
fn id(n: u8) -> String {
    crypto::Identity::from_seed(&[n; 32]).id().to_string()
}

fn env(vars: &[(&str, &str)]) -> Vec<(String, String)> {
    vars.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// What is said about a file with this text, one line each, without the directory.
fn said(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, text).unwrap();
    let (_, problems) = check(&path, [], &Flags::default());
    let prefix = format!("{}/", dir.path().display());
    problems
        .iter()
        .map(|problem| problem.to_string().replace(&prefix, ""))
        .collect()
}

fn loads(text: &str, vars: &[(&str, &str)], flags: &Flags) -> NodeConfig {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, text).unwrap();
    load(&path, env(vars), flags).unwrap().config
}

#[test]
fn the_file_that_init_writes_holds_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let text = default_text("vouchsafe", AddressPreset::Wan);
    for setting in settings::SETTINGS {
        assert!(
            text.contains(&format!("{} = ", setting.name)),
            "{}",
            setting.key()
        );
        assert!(text.lines().all(|line| line.len() <= 120));
    }
    // As it is, and with every commented setting put in force.
    let in_force = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && rest.contains(" = ") => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n");
    let settings = in_force
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'));
    assert_eq!(settings.count(), settings::SETTINGS.len());
    for text in [&text, &in_force] {
        fs::write(&path, text).unwrap();
        let loaded = load(&path, [], &Flags::default()).unwrap();
        assert_eq!(loaded.config, NodeConfig::default());
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
    // A missing file is an empty one.
    fs::remove_file(&path).unwrap();
    let loaded = load(&path, [], &Flags::default()).unwrap();
    assert_eq!(loaded.config, NodeConfig::default());
}

#[test]
fn init_writes_what_it_was_asked_for() {
    let odd = "my \"net\" \\ with # signs";
    let config = loads(
        &default_text(odd, AddressPreset::Local),
        &[],
        &Flags::default(),
    );
    assert_eq!(config.network, odd);
    assert_eq!(config.preset, AddressPreset::Local);
    assert_eq!(config.listen, ["127.0.0.1:0".parse().unwrap()]);
    let config = loads(
        &default_text("n", AddressPreset::Lan),
        &[],
        &Flags::default(),
    );
    assert_eq!(config.preset, AddressPreset::Lan);
    assert_eq!(config.listen, ["0.0.0.0:4100".parse().unwrap()]);
}

#[test]
fn every_setting_is_taken_from_the_file_and_from_the_environment() {
    let (one, two) = (id(1), id(2));
    let wanted = NodeConfig {
        network: "testnet".to_owned(),
        preset: AddressPreset::Lan,
        listen: vec!["10.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()],
        external: vec!["node.example:3".parse().unwrap()],
        seeds: vec![
            format!("{one}@seed.example:4").parse().unwrap(),
            format!("{two}@[2001:db8::1]:5").parse().unwrap(),
        ],
        persistent: vec![format!("{two}@10.0.0.2:6").parse().unwrap()],
        admin: "127.0.0.1:7".parse().unwrap(),
        log_format: LogFormat::Json,
        log_level: "warn,vouchsafe=debug".to_owned(),
        limits: Limits {
            max_upload: Some(1 << 20),
            max_download: Some(2_000_000),
            max_memory: Some(1 << 30),
            max_links: Some(77),
            max_payload: Some(1 << 20),
        },
        outbound: 7,
        inbound: 0,
        retention: Retention {
            age: Duration::from_secs(7200),
            bytes: 1 << 30,
            messages: 5000,
        },
        authors: Authors::AllowList([one.parse().unwrap(), two.parse().unwrap()].into()),
    };
    let file = format!(
        r#"
network = "testnet"
preset = "lan"
listen = ["10.0.0.1:1", "[::1]:2"]
external = ["node.example:3"]
seeds = ["{one}@seed.example:4", "{two}@[2001:db8::1]:5"]
persistent = ["{two}@10.0.0.2:6"]
[admin]
listen = "127.0.0.1:7"
[log]
format = "json"
level = "warn,vouchsafe=debug"
[limits]
max_upload = "1MiB"
max_download = "2MB/s"
max_memory = "1GiB"
max_links = 77
max_payload = "1MiB"
[neighbors]
outbound = 7
inbound = 0
[retention]
age = "2h"
bytes = "1GiB"
messages = 5_000
[authors]
policy = "allow-list"
allow = ["{one}", "{two}"]
"#
    );
    assert_eq!(loads(&file, &[], &Flags::default()), wanted);
    let seeds = format!("{one}@seed.example:4, {two}@[2001:db8::1]:5,");
    let persistent = format!("{two}@10.0.0.2:6");
    let allow = format!("{one},{two}");
    let vars = [
        ("VOUCHSAFE_NETWORK", "testnet"),
        ("VOUCHSAFE_PRESET", "lan"),
        ("VOUCHSAFE_LISTEN", "10.0.0.1:1,[::1]:2"),
        ("VOUCHSAFE_EXTERNAL", "node.example:3"),
        ("VOUCHSAFE_SEEDS", &seeds),
        ("VOUCHSAFE_PERSISTENT", &persistent),
        ("VOUCHSAFE_ADMIN_LISTEN", "127.0.0.1:7"),
        ("VOUCHSAFE_LOG_FORMAT", "json"),
        ("VOUCHSAFE_LOG_LEVEL", "warn,vouchsafe=debug"),
        ("VOUCHSAFE_LIMITS_MAX_UPLOAD", "1MiB"),
        ("VOUCHSAFE_LIMITS_MAX_DOWNLOAD", "2 MB/s"),
        ("VOUCHSAFE_LIMITS_MAX_MEMORY", "1024MiB"),
        ("VOUCHSAFE_LIMITS_MAX_LINKS", "77"),
        ("VOUCHSAFE_LIMITS_MAX_PAYLOAD", "1MiB"),
        ("VOUCHSAFE_NEIGHBORS_OUTBOUND", "7"),
        ("VOUCHSAFE_NEIGHBORS_INBOUND", "0"),
        ("VOUCHSAFE_RETENTION_AGE", "120min"),
        ("VOUCHSAFE_RETENTION_BYTES", "1GiB"),
        ("VOUCHSAFE_RETENTION_MESSAGES", "5000"),
        ("VOUCHSAFE_AUTHORS_POLICY", "allow-list"),
        ("VOUCHSAFE_AUTHORS_ALLOW", &allow),
    ];
    assert_eq!(vars.len(), settings::SETTINGS.len());
    assert_eq!(loads("", &vars, &Flags::default()), wanted);
}

#[test]
fn defaults_are_those_of_the_core() {
    let mut core = overlay::Config::default();
    NodeConfig::default().apply_to(&mut core);
    let untouched = overlay::Config::default();
    assert_eq!(core.neighbors.outbound, untouched.neighbors.outbound);
    assert_eq!(core.neighbors.inbound, untouched.neighbors.inbound);
    assert_eq!(
        NodeConfig::default().limits.max_links,
        Some(untouched.neighbors.max_links)
    );
    assert_eq!(core.messages.retention, untouched.messages.retention);
    assert_eq!(core.messages.max_bytes, untouched.messages.max_bytes);
    assert_eq!(core.messages.max_messages, untouched.messages.max_messages);
    assert_eq!(core.messages.max_decided, untouched.messages.max_decided);
    let config = NodeConfig {
        retention: Retention {
            messages: 4_000_000,
            ..Retention::default()
        },
        authors: Authors::AllowList([id(1).parse().unwrap()].into()),
        ..NodeConfig::default()
    };
    config.apply_to(&mut core);
    assert_eq!(core.messages.max_decided, 6_000_000);
    assert!(matches!(core.conduct.authors, AuthorPolicy::AllowList(ids) if ids.len() == 1));
}

#[test]
fn flags_go_before_environment_before_file_before_default() {
    let file = "network = \"file\"\nlisten = [\"10.0.0.1:1\"]\n[admin]\nlisten = \"127.0.0.1:1\"\n[neighbors]\noutbound = 5\n";
    let vars = [
        ("VOUCHSAFE_NETWORK", "env"),
        ("VOUCHSAFE_ADMIN_LISTEN", "127.0.0.1:2"),
    ];
    let flags = Flags {
        network: Some("flag".to_owned()),
        ..Flags::default()
    };
    let config = loads(file, &vars, &flags);
    assert_eq!(config.network, "flag");
    assert_eq!(config.admin.port(), 2);
    assert_eq!(config.outbound, 5);
    assert_eq!(config.inbound, 128);
    assert_eq!(config.listen, ["10.0.0.1:1".parse().unwrap()]);
    let peer: PeerAddr = format!("{}@h:1", id(1)).parse().unwrap();
    let all = Flags {
        network: Some("flag".to_owned()),
        preset: Some(AddressPreset::Local),
        listen: vec!["127.0.0.1:9".parse().unwrap()],
        external: vec!["h:2".parse().unwrap()],
        seeds: vec![peer.clone()],
        persistent: vec![peer.clone()],
        admin: Some("127.0.0.1:3".parse().unwrap()),
        log_format: Some(LogFormat::Json),
    };
    let config = loads(file, &vars, &all);
    assert_eq!(config.preset, AddressPreset::Local);
    assert_eq!(config.listen, all.listen);
    assert_eq!(config.external, all.external);
    assert_eq!(
        (&config.seeds, &config.persistent),
        (&all.seeds, &all.persistent)
    );
    assert_eq!(config.admin.port(), 3);
    assert_eq!(config.log_format, LogFormat::Json);
    let bad = Flags {
        network: Some(String::new()),
        admin: Some("0.0.0.0:3".parse().unwrap()),
        ..Flags::default()
    };
    let problems = check(Path::new("/nowhere/config.toml"), [], &bad).1;
    assert_eq!(problems.len(), 2);
    assert!(
        problems[0]
            .to_string()
            .starts_with("--network: `network`: \"\" is no name")
    );
    assert!(
        problems[1]
            .to_string()
            .starts_with("--admin: `admin.listen`: 0.0.0.0:3 is no loopback")
    );
}

#[test]
fn each_mistake_in_the_file_is_named_with_its_line_and_remedy() {
    for (text, expected) in [
        (
            "\nnetwrok = \"x\"\n",
            "config.toml:2: `netwrok`: unknown key: did you mean `network`?",
        ),
        (
            "seed = []",
            "config.toml:1: `seed`: unknown key: did you mean `seeds`?",
        ),
        (
            "[limits]\nmax_uplaod = \"1MiB\"",
            "config.toml:2: `limits.max_uplaod`: unknown key: did you mean `max_upload`?",
        ),
        (
            "foo = 1",
            "config.toml:1: `foo`: unknown key: there are network, preset, listen, external, seeds, persistent, admin, log, \
             limits, neighbors, retention, authors",
        ),
        (
            "[limits]\nzzz = 1",
            "config.toml:2: `limits.zzz`: unknown key: there are max_upload, max_download, max_memory, max_links, \
             max_payload",
        ),
        (
            "colour = \"red\"",
            "config.toml:1: `colour`: unknown key: there are network, preset, listen, external, seeds, persistent, admin, \
             log, limits, neighbors, retention, authors",
        ),
        (
            "[limit]\na = 1",
            "config.toml:1: `limit`: unknown key: did you mean `limits`?",
        ),
        (
            "max_links = 9",
            "config.toml:1: `max_links`: unknown key here: it belongs in the section `[limits]`",
        ),
        (
            "[log]\nseeds = []",
            "config.toml:2: `log.seeds`: unknown key here: it belongs in the top of the file, before the first `[section]`",
        ),
        (
            "limits = 5",
            "config.toml:1: `limits`: it is a section: write `[limits]` and its keys below",
        ),
        (
            "network = 5",
            "config.toml:1: `network`: expected a string in quotes, found a number",
        ),
        (
            "network = \"\"",
            "config.toml:1: `network`: \"\" is no name of a network: use 1 to 128 bytes without control characters",
        ),
        (
            "preset = \"x\"",
            "config.toml:1: `preset`: \"x\" is no preset: use \"wan\", \"lan\" or \"local\"",
        ),
        (
            "listen = \"nowhere\"",
            "config.toml:1: `listen`: \"nowhere\" is not an address IP:PORT: invalid socket address syntax",
        ),
        (
            "listen = []",
            "config.toml:1: `listen`: it is empty: name at least one IP:PORT, or leave the key out",
        ),
        (
            "listen = [\"1.2.3.4:5\", \"1.2.3.4:5\"]",
            "config.toml:1: `listen`: 1.2.3.4:5 is there twice: remove one",
        ),
        (
            "listen = [5]",
            "config.toml:1: `listen`: expected a list of strings, found a list with something else in it",
        ),
        (
            "listen = true",
            "config.toml:1: `listen`: expected a list of strings, found a truth value",
        ),
        (
            "external = [\"1.2.3.4:5\", \"1.2.3.5:5\"]",
            "config.toml:1: `external`: there are several IPv4 addresses: keep one",
        ),
        (
            "external = [\"h\"]",
            "config.toml:1: `external`: \"h\" is not a place HOST:PORT: the port is missing: end it with `:PORT`",
        ),
        (
            "[admin]\nlisten = \"0.0.0.0:80\"",
            "config.toml:2: `admin.listen`: 0.0.0.0:80 is no loopback address and the API is not encrypted: use \
             127.0.0.1:PORT, and reach it from elsewhere through a tunnel such as `ssh -L`",
        ),
        (
            "[log]\nformat = \"xml\"",
            "config.toml:2: `log.format`: \"xml\" is no log format: use \"text\" or \"json\"",
        ),
        (
            "[limits]\nmax_upload = 5",
            "config.toml:2: `limits.max_upload`: expected a string in quotes, found a number",
        ),
        (
            "[limits]\nmax_upload = \"5\"",
            "config.toml:2: `limits.max_upload`: \"5\" has no unit: append one of B, kB, MB, GB, KiB, MiB, GiB, TiB, as in \
             \"10MiB\", or \"none\"",
        ),
        (
            "[limits]\nmax_upload = \"1B\"",
            "config.toml:2: `limits.max_upload`: it must be \"16KiB\" or more, or \"none\"",
        ),
        (
            "[limits]\nmax_memory = \"1MiB\"",
            "config.toml:2: `limits.max_memory`: it must be \"64MiB\" or more, or \"none\"",
        ),
        (
            "[limits]\nmax_payload = \"32MiB\"",
            "config.toml:2: `limits.max_payload`: it must be from \"64KiB\" to \"31MiB\"",
        ),
        (
            "[limits]\nmax_links = 1",
            "config.toml:2: `limits.max_links`: out of range: use a whole number from 8 to 65536",
        ),
        (
            "[limits]\nmax_links = -1",
            "config.toml:2: `limits.max_links`: out of range: use a whole number from 8 to 65536",
        ),
        (
            "[limits]\nmax_links = 1.5",
            "config.toml:2: `limits.max_links`: found a fraction: use a whole number from 8 to 65536",
        ),
        (
            "[neighbors]\noutbound = 0",
            "config.toml:2: `neighbors.outbound`: out of range: use a whole number from 1 to 64",
        ),
        (
            "[retention]\nage = \"1min\"",
            "config.toml:2: `retention.age`: it must be from \"5min\" to \"366d\"",
        ),
        (
            "[retention]\nage = \"1 day\"",
            "config.toml:2: `retention.age`: \"day\" is no unit: use one of ms, s, min, h, d, as in \"24h\"",
        ),
        (
            "[retention]\nbytes = \"5kB\"",
            "config.toml:2: `retention.bytes`: it must be \"1MiB\" or more",
        ),
        (
            "[authors]\npolicy = \"none\"",
            "config.toml:2: `authors.policy`: \"none\" is no policy: use \"open\" or \"allow-list\"",
        ),
        (
            "[authors]\npolicy = \"allow-list\"",
            "config.toml:2: `authors.policy`: the policy is \"allow-list\" and nobody is allowed: list at least one id in \
             `authors.allow`, or set `policy = \"open\"`",
        ),
        (
            "[authors]\npolicy = \"allow-list\"\nallow = []",
            "config.toml:3: `authors.allow`: the policy is \"allow-list\" and nobody is allowed: list at least one id in \
             `authors.allow`, or set `policy = \"open\"`",
        ),
        (
            "[limits]\nmax_links = 12",
            "config.toml:2: `limits.max_links`: 12 links do not hold 10 outbound neighbors and 4 visits: set \
             `limits.max_links` to 14 or more, or lower `neighbors.outbound`",
        ),
        (
            "network = \n",
            "config.toml:1: this is not TOML: string values must be quoted, expected literal string",
        ),
        (
            "network = \"a\"\nnetwork = \"b\"",
            "config.toml:2: this is not TOML: duplicate key",
        ),
    ] {
        assert_eq!(said(text), [expected], "{text}");
    }
    let me = id(1);
    let twice = format!("seeds = [\"{me}@h:1\", \"{me}@h:1\"]");
    assert_eq!(
        said(&twice),
        [format!(
            "config.toml:1: `seeds`: {me}@h:1 is there twice: remove one"
        )]
    );
    let listed = format!("[authors]\nallow = [\"{me}\"]");
    assert_eq!(
        said(&listed),
        [
            "config.toml:2: `authors.allow`: ids are listed but the policy is \"open\": set `policy = \"allow-list\"`, or \
          remove the list"
        ]
    );
    let level = said("[log]\nlevel = \"vouchsafe=loud\"");
    assert!(
        level[0].starts_with("config.toml:2: `log.level`: \"vouchsafe=loud\": "),
        "{level:?}"
    );
    assert!(level[0].ends_with("; use error, warn, info, debug, trace or a list of target=level"));
}

#[test]
fn all_problems_of_all_layers_are_found_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, "bogus = 1\npreset = \"x\"\n[log]\nformat = 3\n").unwrap();
    let vars = env(&[
        ("VOUCHSAFE_LIMITS_MAX_LINKS", "many"),
        ("VOUCHSAFE_SERVICE_HOST", "10.0.0.1"),
        ("VOUCHSAFE_DATA_DIR", "/x"),
        ("HOME", "/root"),
    ]);
    let (loaded, problems) = check(&path, vars.clone(), &Flags::default());
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert_eq!(
        problems[3].to_string(),
        "environment variable VOUCHSAFE_LIMITS_MAX_LINKS: `limits.max_links`: \"many\" is not allowed: use a whole number \
         from 8 to 65536"
    );
    assert_eq!(
        loaded.warnings,
        ["environment variable VOUCHSAFE_SERVICE_HOST is no setting"]
    );
    assert_eq!(loaded.config, NodeConfig::default());
    let error = load(&path, vars, &Flags::default())
        .unwrap_err()
        .to_string();
    assert!(!error.contains('\n'), "{error}");
    assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    assert!(
        error.ends_with("(3 more: `vouchsafe check-config` shows all)"),
        "{error}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = load(dir.path(), [], &Flags::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot read the file"), "{error}");
    let path = dir.path().join("config.toml");
    fs::write(&path, b"network = \"a\"\n# \xff\n").unwrap();
    let error = load(&path, [], &Flags::default()).unwrap_err().to_string();
    assert!(
        error.ends_with("config.toml:2: the file is not UTF-8 text: remove the character"),
        "{error}"
    );
    fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
    let error = load(&path, [], &Flags::default()).unwrap_err().to_string();
    assert!(error.contains("longer than 1 MiB"), "{error}");
}

#[test]
fn places_and_peers_read_and_show() {
    for (text, host, port) in [
        ("1.2.3.4:1", "1.2.3.4", 1),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ("[2001:DB8:0::1]:9", "2001:db8::1", 9),
        ("seed-1.Example.org:4100", "seed-1.example.org", 4100),
        ("my_host:1", "my_host", 1),
        ("root.:1", "root.", 1),
    ] {
        let place: HostPort = text.parse().unwrap();
        assert_eq!((place.host.as_str(), place.port), (host, port), "{text}");
        assert_eq!(place.to_string().parse(), Ok(place.clone()));
        let peer: PeerAddr = format!("{}@{text}", id(1)).parse().unwrap();
        assert_eq!(peer.at, place);
        assert_eq!(peer.to_string().parse(), Ok(peer));
    }
    use overlay::action::Target;
    let target = |text: &str| Target::from(text.parse::<HostPort>().unwrap());
    assert_eq!(target("[::1]:5"), Target::Addr("[::1]:5".parse().unwrap()));
    assert_eq!(
        target("Seed.example:5"),
        Target::Name("seed.example:5".into())
    );
}

#[test]
fn each_malformed_place_and_peer_has_its_own_message() {
    let name = |len: usize| "a".repeat(len);
    let good = id(1);
    for (text, expected) in [
        (":1".to_owned(), "the host before `:` is missing"),
        ("h".to_owned(), "the port is missing: end it with `:PORT`"),
        ("h:".to_owned(), "the port is missing: end it with `:PORT`"),
        (
            "[::1]".to_owned(),
            "the port is missing: end it with `:PORT`",
        ),
        (
            "h:0".to_owned(),
            "port 0 cannot be dialled: use the port the peer listens on",
        ),
        (
            "h:00".to_owned(),
            "port 0 cannot be dialled: use the port the peer listens on",
        ),
        (
            "h:65536".to_owned(),
            "\"65536\" is no port: use a number from 1 to 65535",
        ),
        (
            "h:+5".to_owned(),
            "\"+5\" is no port: use a number from 1 to 65535",
        ),
        (
            "h:http".to_owned(),
            "\"http\" is no port: use a number from 1 to 65535",
        ),
        (
            "2001:db8::1:4100".to_owned(),
            "an IPv6 address belongs in brackets: [ADDRESS]:PORT",
        ),
        (
            "::1".to_owned(),
            "an IPv6 address belongs in brackets: [ADDRESS]:PORT",
        ),
        (
            "[::1:5".to_owned(),
            "the brackets do not match: write [ADDRESS]:PORT",
        ),
        (
            "[::1]5".to_owned(),
            "the brackets do not match: write [ADDRESS]:PORT",
        ),
        (
            "::1]:5".to_owned(),
            "the brackets do not match: write [ADDRESS]:PORT",
        ),
        (
            "[1.2.3.4]:5".to_owned(),
            "\"1.2.3.4\" within the brackets is no IPv6 address",
        ),
        ("[]:5".to_owned(), "the host before `:` is missing"),
        (
            "[fe80::1%eth0]:5".to_owned(),
            "\"fe80::1%eth0\" within the brackets is no IPv6 address",
        ),
        (
            "1.2.3:5".to_owned(),
            "\"1.2.3\" is no IPv4 address: four numbers from 0 to 255",
        ),
        (
            "1.2.3.256:5".to_owned(),
            "\"1.2.3.256\" is no IPv4 address: four numbers from 0 to 255",
        ),
        ("a b:5".to_owned(), "' ' is not allowed in a host name"),
        ("a@b:5".to_owned(), "'@' is not allowed in a host name"),
        ("bücher:5".to_owned(), "'ü' is not allowed in a host name"),
        (
            "a..b:5".to_owned(),
            "it is no host name: labels of 1 to 63 characters with dots between, 253 characters at most",
        ),
        (
            format!("{}:5", name(64)),
            "it is no host name: labels of 1 to 63 characters with dots between, 253 characters at most",
        ),
        (
            "0.0.0.0:5".to_owned(),
            "0.0.0.0 means every address of this machine and cannot be dialled",
        ),
        (
            "[::]:5".to_owned(),
            ":: means every address of this machine and cannot be dialled",
        ),
    ] {
        assert_eq!(
            text.parse::<HostPort>().unwrap_err().to_string(),
            expected,
            "{text}"
        );
        let error = format!("{good}@{text}").parse::<PeerAddr>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("after the `@`: {expected}"),
            "{text}"
        );
    }
    let at = "the `@` is missing: write ID@HOST:PORT, with the id that `vouchsafe id` prints at the peer";
    for (text, expected) in [
        (String::new(), at.to_owned()),
        ("h:1".to_owned(), at.to_owned()),
        (good.clone(), at.to_owned()),
        (
            "@h:1".to_owned(),
            "the id before `@` is missing: write ID@HOST:PORT, with the id that `vouchsafe id` prints at the peer".to_owned(),
        ),
    ] {
        assert_eq!(text.parse::<PeerAddr>().unwrap_err().to_string(), expected, "{text}");
    }
    // What is wrong with an id is the id's own to say.
    for (id, part) in [
        ("abc", "has 3 characters, expected 52"),
        (&good.to_uppercase(), "expected only lower-case base32"),
        (&"a".repeat(52), ""),
        (ID, ""),
    ] {
        let Err(error) = format!("{id}@h:1").parse::<PeerAddr>() else {
            assert_eq!(id, ID);
            continue;
        };
        assert!(matches!(error, BadPeerAddr::Id(_)), "{error:?}");
        let error = error.to_string();
        assert!(
            error.starts_with("the id before `@` ") && error.contains(part),
            "{error}"
        );
    }
}

#[test]
fn sizes_and_durations_read_and_show() {
    for (text, bytes) in [
        ("0B", 0),
        ("512KiB", 512 << 10),
        ("10MiB", 10 << 20),
        ("10 MiB", 10 << 20),
        (" 3GiB ", 3 << 30),
        ("1TiB", 1 << 40),
        ("1kB", 1000),
        ("5MB", 5_000_000),
        ("2GB", 2_000_000_000),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
        assert_eq!(parse_size(&show_size(bytes)), Ok(bytes), "{text}");
    }
    for (text, ms) in [
        ("0ms", 0),
        ("1500ms", 1500),
        ("90s", 90_000),
        ("5min", 300_000),
        ("24h", 86_400_000),
        ("7d", 604_800_000),
    ] {
        let duration = Duration::from_millis(ms);
        assert_eq!(parse_duration(text), Ok(duration), "{text}");
        assert_eq!(
            parse_duration(&show_duration(duration)),
            Ok(duration),
            "{text}"
        );
    }
    assert_eq!(show_size(10 << 20), "10MiB");
    assert_eq!(show_size(10_000_000), "10MB");
    assert_eq!(show_duration(Duration::from_secs(86_400)), "1d");
    for (text, part) in [
        ("", "does not begin with a whole number"),
        ("MiB", "does not begin with a whole number"),
        ("-1MiB", "does not begin with a whole number"),
        ("10", "has no unit"),
        ("10m", "\"m\" is no unit"),
        ("1.5MiB", "\".5MiB\" is no unit"),
        ("99999999999999999999B", "is too large"),
        ("99999999999TiB", "is too large"),
    ] {
        let error = parse_size(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(
        parse_duration("24")
            .unwrap_err()
            .contains("append one of ms, s, min, h, d")
    );
    assert!(
        parse_duration("24H")
            .unwrap_err()
            .contains("\"H\" is no unit")
    );
}
