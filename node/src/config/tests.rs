use super::*;

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
    assert_ne!(text, in_force);
    for text in [&text, &in_force] {
        std::fs::write(&path, text).unwrap();
        let loaded = load(&path, [], &Flags::default()).unwrap();
        assert_eq!(loaded.config, NodeConfig::default());
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
}
