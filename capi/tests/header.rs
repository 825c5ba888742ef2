//! include/bitwire.h is what cbindgen makes of the sources; `UPDATE_HEADER=1 cargo test -p bitwire-capi --test header` writes it.

use std::path::Path;
use std::{env, fs};

#[test]
fn the_header_is_that_of_the_sources() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    // In the order of reading.
    let sources = ["abi.rs", "status.rs", "error.rs", "frame.rs", "beacon.rs"];
    let builder = sources.iter().fold(cbindgen::Builder::new().with_config(config), |b, name| {
        b.with_src(here.join("src").join(name))
    });
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();

    let path = here.join("include/bitwire.h");
    if env::var_os("UPDATE_HEADER").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == committed,
        "include/bitwire.h is not that of the sources: UPDATE_HEADER=1 writes it anew"
    );

    // Every function is there, once.
    for file in fs::read_dir(here.join("src")).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            if let Some(rest) = line.split("extern \"C\" fn ").nth(1).filter(|_| line.starts_with("pub ")) {
                let name = rest.split('(').next().unwrap();
                assert_eq!(made.matches(&format!("{name}(")).count(), 1, "{name}");
            }
        }
    }
}
