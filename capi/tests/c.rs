//! Builds C programs against the header and the static library, and runs them: test.c, and the example of README.md.
//!
//! Takes `$CC`, or cc, and `$CXX`, or c++.

use std::ffi::OsString;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

use bitwire_capi::{bitwire_beacon, bitwire_error, bitwire_frame};

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The static library, as `cargo build` makes it; cargo says where it is.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--lib", "--message-format=json", "--manifest-path"])
            .arg(here("Cargo.toml"))
            .arg("--target-dir")
            .arg(target_dir)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let messages = String::from_utf8(built.stdout).unwrap();
        messages
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|message| message["target"]["name"] == "bitwire_capi")
            .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
            .map(|name| PathBuf::from(name.as_str().unwrap()))
            .find(|path| path.extension().is_some_and(|extension| extension == "a"))
            .unwrap()
    })
}

fn compiler(variable: &str, usual: &str) -> Command {
    Command::new(env::var_os(variable).unwrap_or_else(|| OsString::from(usual)))
}

fn run(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?}: {error}"),
    }
}

fn run_well(command: &mut Command) -> String {
    let output = run(command);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Compiles a C program, warnings being errors, and links it with the library.
fn build(source: &Path, program: &str, options: &[&str]) -> PathBuf {
    let program = scratch(program);
    let mut cc = compiler("CC", "cc");
    cc.arg("-std=c99").args(STRICT).args(options).arg("-I").arg(here("include"));
    run_well(cc.arg(source).arg(library()).arg("-o").arg(&program));
    program
}

fn run_test(program: &Path) {
    let mut test = Command::new(program);
    let out = run_well(test.arg(here("../tests/data/beacon.bit")).arg(here("tests/data/signed.bit")));
    assert_eq!(out, "as expected\n");
}

#[test]
fn test_c() {
    run_test(&build(&here("tests/test.c"), "test_c", &["-O2"]));
}

#[test]
fn test_c_under_sanitizers() {
    let sanitize = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let (empty, program) = (scratch("empty.c"), scratch("empty_sanitized"));
    fs::write(&empty, "int main(void) { return 0; }\n").unwrap();
    let mut cc = compiler("CC", "cc");
    if !run(cc.args(sanitize).arg(&empty).arg("-o").arg(program)).status.success() {
        // Past the capture of tests: nothing is skipped silently.
        writeln!(stderr(), "SKIPPED: test.c under sanitizers, which {:?} has not", cc.get_program()).unwrap();
        return;
    }
    let options = [&sanitize[..], &["-DSTRIDE=11"]].concat();
    run_test(&build(&here("tests/test.c"), "test_c_sanitized", &options));
}

/// The header by itself, twice, in the dialects that there are.
#[test]
fn the_header_is_c_and_cpp() {
    let source = "#include \"bitwire.h\"\n#include \"bitwire.h\"\n\
                  int main(void) { bitwire_status s = BITWIRE_ERR_CRC; return bitwire_status_name(s) == NULL; }\n";
    let (c, cpp) = (scratch("header.c"), scratch("header.cpp"));
    fs::write(&c, source).unwrap();
    fs::write(&cpp, source).unwrap();
    for (variable, usual, file, dialects) in [
        ("CC", "cc", &c, ["-std=c99", "-std=c11", "-std=gnu17"]),
        ("CXX", "c++", &cpp, ["-std=c++11", "-std=c++17", "-std=c++20"]),
    ] {
        for dialect in dialects {
            let program = scratch(&format!("header{dialect}"));
            let mut compiler = compiler(variable, usual);
            compiler.arg(dialect).args(STRICT).arg("-Wconversion").arg("-I").arg(here("include"));
            run_well(compiler.arg(file).arg(library()).arg("-o").arg(&program));
            run_well(&mut Command::new(program));
        }
    }
}

/// A verified frame and any other are different types, and a status wants to be looked at: compilers say so.
#[test]
fn what_compilers_refuse() {
    let refused = |name: &str, statement: &str| {
        let source = scratch(&format!("{name}.c"));
        let text = format!(
            "#include \"bitwire.h\"\nvoid f(bitwire_frame *frame, bitwire_beacon *beacon);\n\
             void f(bitwire_frame *frame, bitwire_beacon *beacon)\n{{\n    {statement};\n}}\n"
        );
        fs::write(&source, text).unwrap();
        let mut cc = compiler("CC", "cc");
        cc.arg("-std=c99")
            .args(STRICT)
            .arg("-I")
            .arg(here("include"))
            .arg("-c")
            .arg("-o")
            .arg(scratch(&format!("{name}.o")));
        let output = run(cc.arg(source));
        (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(
        refused("fine", "if (bitwire_beacon_open_unverified(frame, beacon, NULL) != BITWIRE_OK) return"),
        None
    );
    let types =
        refused("types", "if (bitwire_beacon_open(frame, beacon, NULL) != BITWIRE_OK) return").unwrap();
    assert!(types.contains("incompatible") && types.contains("bitwire_authenticated_frame"), "{types}");
    let unused = refused("unused", "bitwire_beacon_open_unverified(frame, beacon, NULL)").unwrap();
    assert!(unused.contains("unused"), "{unused}");
}

/// README.md's program, with what it prints.
#[test]
fn the_example_of_the_readme() {
    let readme = fs::read_to_string(here("README.md")).unwrap();
    let block = |fence: &str| readme.split(fence).nth(1).unwrap().split("```").next().unwrap();
    let source = scratch("example.c");
    fs::write(&source, block("```c\n")).unwrap();
    let program = build(&source, "example", &["-O2"]);
    let (session, mut shown) = (block("```console\n$ ./example"), String::new());
    let expected = session.split_once('\n').unwrap().1;
    for name in ["tests/data/signed.bit", "../tests/data/beacon.bit"] {
        shown += &run_well(
            Command::new("sh").arg("-c").arg(r#""$0" "$1" 2>&1 || true"#).arg(&program).arg(here(name)),
        );
    }
    let expected: String =
        expected.lines().filter(|line| !line.starts_with('$')).map(|line| format!("{line}\n")).collect();
    assert_eq!(shown, expected);

    let sizes = [size_of::<bitwire_frame>(), size_of::<bitwire_beacon>(), size_of::<bitwire_error>()];
    let [frame, beacon, error] = sizes;
    if cfg!(target_pointer_width = "64") {
        assert!(
            readme.contains(&format!("frame {frame} bytes, beacon {beacon}, error {error}.")),
            "{sizes:?}"
        );
    }
}
