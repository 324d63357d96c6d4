use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn made(tmp: &tempfile::TempDir) -> DataDir {
    DataDir::init(&tmp.path().join("a/node"), "test", AddressPreset::Local)
        .unwrap()
        .0
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn init_makes_a_whole_private_node_once() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("a/node");
    let (dir, id) = DataDir::init(&path, "test", AddressPreset::Local).unwrap();
    assert_eq!(dir.identity().unwrap().id(), id);
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&dir.key_path()), 0o600);
    let config = config::load(&dir.config_path(), [], &config::Flags::default()).unwrap();
    assert_eq!(config.config.network, "test");
    assert_eq!(config.config.preset, AddressPreset::Local);
    let files = fs::read_dir(&path).unwrap().count();
    assert_eq!(files, 2);
    let error = DataDir::init(&path, "test", AddressPreset::Local).unwrap_err();
    assert!(matches!(error, DataDirError::Exists { .. }));
    let error = error.to_string();
    for part in [
        "node.key exists already",
        "vouchsafe run --data-dir",
        "use another --data-dir",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(dir.identity().unwrap().id(), id);
    // Nor is a lone configuration or store overwritten; an empty directory is fine.
    for name in ["config.toml", "store.redb"] {
        let path = tmp.path().join(name.replace('.', "-"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(name), "mine").unwrap();
        let error = DataDir::init(&path, "test", AddressPreset::Local).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(fs::read_to_string(path.join(name)).unwrap(), "mine");
        fs::remove_file(path.join(name)).unwrap();
        DataDir::init(&path, "test", AddressPreset::Local).unwrap();
    }
}

#[test]
fn what_is_no_data_dir_is_named_with_the_remedy() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("none");
    let shown = path.display();
    assert_eq!(
        DataDir::open(&path).unwrap_err().to_string(),
        format!(
            "there is no data directory {shown}: make it with `vouchsafe init --data-dir {shown}`"
        )
    );
    fs::write(&path, "a file").unwrap();
    for error in [
        DataDir::open(&path).unwrap_err(),
        DataDir::create(&path).unwrap_err(),
        DataDir::init(&path, "n", AddressPreset::Wan).unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            format!("{shown} is no directory: use another --data-dir")
        );
    }
    let below = path.join("below");
    assert!(matches!(
        DataDir::create(&below),
        Err(DataDirError::Io { .. })
    ));
    // Making one that is there is no error, and changes nothing.
    let dir = tmp.path().join("there");
    fs::create_dir(&dir).unwrap();
    chmod(&dir, 0o755);
    DataDir::create(&dir).unwrap();
    assert_eq!(mode(&dir), 0o755);
    assert_eq!(DataDir::open(&dir).unwrap().path(), dir);
}

#[test]
fn one_process_at_a_time() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = made(&tmp);
    assert!(!dir.is_locked().unwrap());
    let lock = dir.lock().unwrap();
    assert!(dir.is_locked().unwrap());
    assert_eq!(
        dir.lock().unwrap_err().to_string(),
        format!(
            "data dir {} is locked by process {}: stop it or use another --data-dir",
            dir.path().display(),
            std::process::id()
        )
    );
    // Whatever the file says, the lock is the system's.
    fs::write(dir.path().join("lock"), "what").unwrap();
    let error = dir.lock().unwrap_err().to_string();
    assert!(error.contains("is locked by another process"), "{error}");
    drop(lock);
    assert!(!dir.is_locked().unwrap());
    fs::write(dir.path().join("lock"), "123456789012345").unwrap();
    let _lock = dir.lock().unwrap();
    let text = fs::read_to_string(dir.path().join("lock")).unwrap();
    assert_eq!(text, format!("{}\n", std::process::id()));
}

#[test]
fn a_lock_waits_for_whoever_only_looks() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = made(&tmp);
    drop(dir.lock().unwrap());
    let looking = File::open(dir.path().join("lock")).unwrap();
    looking.try_lock_shared().unwrap();
    let other = dir.clone();
    let node = std::thread::spawn(move || other.lock().is_ok());
    std::thread::sleep(LOCK_PAUSE);
    drop(looking);
    assert!(node.join().unwrap());
}

#[test]
fn the_token_is_made_once_and_private() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = made(&tmp);
    let error = dir.admin_token().unwrap_err();
    assert!(matches!(error, DataDirError::NotRunning { .. }));
    assert!(
        error.to_string().contains("no node is running on"),
        "{error}"
    );
    let token = dir.admin_token_or_new().unwrap();
    assert_eq!(token.as_str().len(), 64);
    assert_eq!(mode(&dir.admin_token_path()), 0o600);
    assert_eq!(dir.admin_token().unwrap(), token);
    assert_eq!(dir.admin_token_or_new().unwrap(), token);
    assert_eq!(format!("{token:?}"), "AdminToken(..)");
    let other = DataDir::create(&tmp.path().join("other")).unwrap();
    assert_ne!(other.admin_token_or_new().unwrap(), token);
    for open in [0o640, 0o604, 0o620, 0o644] {
        chmod(&dir.admin_token_path(), open);
        let error = dir.admin_token_or_new().unwrap_err();
        assert!(matches!(error, DataDirError::TooOpen { mode, .. } if mode == open));
        let error = error.to_string();
        assert!(
            error.contains(&format!("(mode {open:04o}): run `chmod 600 ")),
            "{error}"
        );
    }
    chmod(&dir.admin_token_path(), 0o600);
    for bad in [
        "",
        "short",
        &"g".repeat(64),
        &"A".repeat(64),
        &"0".repeat(1000),
    ] {
        fs::write(dir.admin_token_path(), bad).unwrap();
        let error = dir.admin_token().unwrap_err().to_string();
        assert!(
            error.contains("admin.token does not hold a token (64 hexadecimal digits)"),
            "{error}"
        );
        assert!(bad.is_empty() || !error.contains(bad), "{error}");
    }
}

#[test]
fn the_admin_address_counts_only_while_a_node_runs() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = made(&tmp);
    let addr: SocketAddr = "127.0.0.1:4101".parse().unwrap();
    let not_running = |dir: &DataDir| {
        let error = dir.admin_addr().unwrap_err();
        assert!(
            matches!(error, DataDirError::NotRunning { .. }),
            "{error:?}"
        );
        let shown = dir.path().display();
        assert_eq!(
            error.to_string(),
            format!(
                "no node is running on {shown}: start it with `vouchsafe run --data-dir {shown}`"
            )
        );
    };
    not_running(&dir);
    let lock = dir.lock().unwrap();
    not_running(&dir);
    dir.write_admin_addr(addr).unwrap();
    assert_eq!(dir.admin_addr().unwrap(), addr);
    let moved = "[::1]:9".parse().unwrap();
    dir.write_admin_addr(moved).unwrap();
    assert_eq!(dir.admin_addr().unwrap(), moved);
    // A node that was killed leaves it behind.
    drop(lock);
    not_running(&dir);
    let _lock = dir.lock().unwrap();
    fs::write(dir.admin_addr_path(), "nonsense").unwrap();
    let error = dir.admin_addr().unwrap_err().to_string();
    assert!(
        error.contains("admin.addr does not hold an address IP:PORT"),
        "{error}"
    );
    dir.remove_admin_addr().unwrap();
    dir.remove_admin_addr().unwrap();
    not_running(&dir);
    // Nothing half-written stays behind.
    let names = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        names
            .into_iter()
            .all(|name| !name.to_string_lossy().ends_with(".new"))
    );
}

#[test]
fn a_key_is_made_only_when_there_is_none() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = DataDir::create(&tmp.path().join("node")).unwrap();
    let error = dir.identity().unwrap_err();
    assert!(error.to_string().contains("vouchsafe init"), "{error}");
    let id = dir.identity_or_new().unwrap().id();
    assert_eq!(dir.identity_or_new().unwrap().id(), id);
    chmod(&dir.key_path(), 0o644);
    let error = dir.identity_or_new().unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}
