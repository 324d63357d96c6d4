use super::*;

#[test]
fn one_process_at_a_time() {
    let tmp = tempfile::tempdir().unwrap();
    let (dir, id) = DataDir::init(&tmp.path().join("node"), "test", AddressPreset::Local).unwrap();
    assert_eq!(dir.identity().unwrap().id(), id);
    assert!(!dir.is_locked().unwrap());
    let lock = dir.lock().unwrap();
    assert!(dir.is_locked().unwrap());
    let error = dir.lock().unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "data dir {} is locked by process {}: stop it or use another --data-dir",
            dir.path().display(),
            std::process::id()
        )
    );
    drop(lock);
    assert!(!dir.is_locked().unwrap());
    dir.lock().unwrap();
}
