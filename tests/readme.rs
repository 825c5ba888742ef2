//! Runs the README's commands as it has them, on the real embeddings.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_main_job() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("target")).unwrap();
    let commands: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|command| command.contains("bitwire ") || command.contains(" -- "))
        .collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let arguments = command
            .strip_prefix("cargo run --release --features cli -- ")
            .or_else(|| command.strip_prefix("target/release/bitwire "))
            .unwrap_or_else(|| panic!("{command}"));
        let output = Command::new(env!("CARGO_BIN_EXE_bitwire"))
            .args(arguments.split(' ').map(|argument| match argument.strip_prefix("tests/") {
                Some(rest) => root.join("tests").join(rest).into_os_string(),
                None => argument.into(),
            }))
            .current_dir(&folder)
            .env_remove("BITWIRE_HMAC_KEY_HEX")
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty(), "{command}");
    }
}
