//! Every verb that reads or writes files, with all that it needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::*;

/// A verb as it is run in [`Case::folder`].
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// Words apart by spaces.
    pub(super) line: &'static str,
    pub(super) kind: Kind,
}

/// What a verb writes, by what is promised of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No file.
    Reads,
    /// Files that are whole or not there, or as they were.
    Whole,
    /// A new ledger: after a kill it is a ledger with some of its chunks, after an error it is not there.
    NewLedger,
    /// A ledger that was there: after anything, a ledger.
    Ledger,
    /// A new folder of whole files, of which some may be there.
    Folder,
}

const fn case(kind: Kind, line: &'static str) -> Case {
    Case { line, kind }
}

pub(super) const CASES: &[Case] = &[
    case(Kind::Whole, "beacon emit window.npy out.bit docs m p"),
    case(Kind::Whole, "beacon emit window.npy out.bit --baseline baseline.npy --hmac-key-file key"),
    case(Kind::Reads, "beacon show a-beacon.bit --hmac-key-file key"),
    case(Kind::Reads, "verify a-beacon.bit a.ledger"),
    case(Kind::Reads, "route a-beacon.bit"),
    case(Kind::Reads, "inspect a-beacon.bit"),
    case(Kind::Whole, "scl export a-beacon.bit out.npz"),
    case(Kind::Whole, "scl import archive.npz out.bit --delta-q16 auto"),
    case(Kind::NewLedger, "ledger ingest t.txt out.ledger --chunk-tokens 500 --passkey 7=49"),
    case(Kind::Ledger, "ledger ingest t.txt a.ledger --append --chunk-tokens 500"),
    case(Kind::Reads, "ledger recall a.ledger 7"),
    case(Kind::Reads, "ledger span a.ledger words"),
    case(Kind::Reads, "ledger passkeys a.ledger"),
    case(Kind::Reads, "ledger verify a.ledger"),
    case(Kind::Ledger, "ledger index a.ledger --anchor-stride 3"),
    case(Kind::Ledger, "ledger recover torn.ledger"),
    case(Kind::Whole, "ledger prove a.ledger 1 out.proof"),
    case(Kind::Whole, "ledger extract a.ledger 1 out.chunk"),
    case(Kind::Reads, "ledger check-proof a.proof a.chunk --root ROOT"),
    case(Kind::Whole, "ledger prove-consistency a.ledger 2 out.proof"),
    case(Kind::NewLedger, "ledger import-tinymind tiny out.ledger"),
    case(Kind::Folder, "ledger export-tinymind a.ledger out"),
    case(Kind::Folder, "ledger evidence out --tokens 2000"),
    case(Kind::Whole, "mirror diff window.npy window.npy out.bit"),
    case(Kind::Whole, "mirror apply master.bit agent.bit out.npy"),
    case(Kind::Reads, "mirror stats master.bit agent.bit"),
    case(Kind::Whole, "mirror master window.npy out.bit"),
    case(Kind::Whole, "mirror rebase master.bit master.bit agent.bit out.bit"),
    case(Kind::Reads, "engram state chat.state"),
    case(Kind::Whole, "engram keys chat.state out.npy"),
    case(Kind::Whole, "engram fingerprint keys.npy out.npy --method mean"),
    case(Kind::Whole, "engram whiten fit out.bit kv m p keys.npy"),
    case(Kind::Reads, "engram whiten show white.bit"),
    case(
        Kind::Whole,
        "engram eng write out.eng --perdoc vec_perdoc.npy --fcdb vec_fcdb.npy --center joint_center.npy --created-at 2026-11-21T10:09:13",
    ),
    case(Kind::Reads, "engram eng show a.eng"),
    case(Kind::Whole, "engram index build out.bit kv llama svd vectors.npy --entries entries.jsonl"),
    case(Kind::Whole, "engram index add few.bit more.npy --entries more.jsonl"),
    case(Kind::Whole, "engram index remove few.bit c3 c4"),
    case(Kind::Reads, "engram index show few.bit"),
    case(Kind::Reads, "engram index search few.bit vectors.npy"),
    case(Kind::Whole, "engram proof keys.npy values.npy keys.npy out.json --egr 1000000"),
    case(Kind::Whole, "gist import tensors.safetensors out.bit kv m none"),
    case(Kind::Whole, "gist export gist.bit out.safetensors"),
    case(Kind::Reads, "gist show gist.bit"),
    case(Kind::Whole, "gist mask out.npy --gist-ids 900,901,902 --tokens ids.txt"),
    case(Kind::Whole, "gist niah out.jsonl --lengths 99"),
    case(Kind::NewLedger, "gist niah out.jsonl --lengths 99 --ledger out.ledger"),
    case(Kind::Whole, "gist score answers.jsonl --svg out.svg"),
    case(Kind::Folder, "recover capture out"),
    case(Kind::Reads, "completions bash"),
    case(Kind::Reads, "man"),
];

/// Files by name, folders by their name and a slash.
pub(super) type Snapshot = BTreeMap<String, Vec<u8>>;

pub(super) fn snapshot(folder: &Path) -> Snapshot {
    fn add(files: &mut Snapshot, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                add(files, &entry.path(), &format!("{name}/"));
                files.insert(format!("{name}/"), Vec::new());
            } else {
                files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut files = Snapshot::new();
    add(&mut files, folder, "");
    files
}

/// A folder with all inputs of all cases.
fn inputs() -> &'static Snapshot {
    static INPUTS: OnceLock<Snapshot> = OnceLock::new();
    INPUTS.get_or_init(|| {
        let folder = with_embeddings();
        let data: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data"].iter().collect();
        for (from, to) in [
            ("gist/f32.safetensors", "tensors.safetensors"),
            ("gist/f32.json", "tensors.json"),
            ("engram/index/vectors.npy", "vectors.npy"),
            ("llama_state/v0336_llama_f16_fa_n37_savestate.bin", "chat.state"),
        ] {
            fs::copy(data.join(from), folder.path(to)).unwrap();
        }
        for part in ["vec_perdoc", "vec_fcdb", "joint_center"] {
            let name = format!("engram/eigengram/r116_fourier2048_v2_2048.in.{part}.npy");
            fs::copy(data.join(name), folder.path(format!("{part}.npy"))).unwrap();
        }
        for (name, bytes) in snapshot(&data.join("tinymind/small/ledger")) {
            let to = folder.path(format!("tiny/{name}"));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            if !name.ends_with('/') {
                fs::write(to, bytes).unwrap();
            }
        }
        let entries = |range: std::ops::Range<u32>| -> String {
            range.map(|i| format!("{{\"cache_id\":\"c{i}\"}}\n")).collect()
        };
        folder.put("entries.jsonl", entries(0..40));
        folder.put("more.jsonl", entries(40..80));
        fs::copy(folder.path("vectors.npy"), folder.path("more.npy")).unwrap();
        folder.put("t.txt", (0..3000).map(|i| format!("{} ", i * 7 % 1000)).collect::<String>());
        folder.put("key", KEY_HEX);
        folder.put("ids.txt", "1 2 900 901 3 902\n");
        for line in [
            "beacon emit window.npy a-beacon.bit --hmac-key-file key",
            "scl export a-beacon.bit archive.npz",
            "ledger ingest t.txt a.ledger --chunk-tokens 500 --passkey 3=21 --span words=5+9",
            "ledger prove a.ledger 1 a.proof",
            "ledger extract a.ledger 1 a.chunk",
            "mirror master window.npy master.bit",
            "mirror diff master.bit window.npy agent.bit",
            "engram index build few.bit kv llama svd vectors.npy --entries entries.jsonl",
            "engram keys chat.state keys.npy",
            "engram keys chat.state values.npy --values",
            "engram whiten fit white.bit kv m p keys.npy",
            "engram eng write a.eng --perdoc vec_perdoc.npy --fcdb vec_fcdb.npy --center joint_center.npy",
            "gist import tensors.safetensors gist.bit kv m none",
            "gist niah samples.jsonl --lengths 99",
        ] {
            folder.bitwire(line).good();
        }
        let samples = String::from_utf8(folder.read("samples.jsonl")).unwrap();
        folder.put("answers.jsonl", samples.replace("\"answer\"", "\"prediction\""));
        let beacon = folder.read("a-beacon.bit");
        folder.put("capture", [&beacon, &b"noise"[..], &beacon, b"BIT"].concat());
        let ledger = folder.read("a.ledger");
        folder.put("torn.ledger", [&ledger[..], &ledger[..50]].concat());
        fs::copy(folder.path("a.ledger.idx"), folder.path("torn.ledger.idx")).unwrap();
        folder.put("root", crate::ledger::root_of(&folder, "a.ledger"));
        snapshot(&folder.path(""))
    })
}

impl Case {
    /// The words after the program's name.
    pub(super) fn words(&self) -> Vec<String> {
        let root = String::from_utf8_lossy(&inputs()["root"]).into_owned();
        self.line.split(' ').map(|word| word.replace("ROOT", &root)).collect()
    }

    /// A folder with the inputs that the words name, and what belongs to them.
    pub(super) fn folder(&self) -> Folder {
        let folder = Folder::new();
        for (name, bytes) in inputs() {
            let belongs = |word: &str| {
                let stem = word.split('.').next().unwrap_or_default();
                let rest = name.strip_prefix(stem).unwrap_or("x");
                name == word || rest.starts_with('.') || rest.starts_with('/')
            };
            if self.line.split(' ').any(belongs) {
                let to = folder.path(name);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                if !name.ends_with('/') {
                    fs::write(to, bytes).unwrap();
                }
            }
        }
        folder
    }

    pub(super) fn run(&self, folder: &Folder) -> Run {
        folder.run(self.words())
    }

    /// Whether two runs may write different bytes under this name: a report has the time, and how long things took.
    pub(super) fn varies(&self, name: &str) -> bool {
        self.line.starts_with("ledger evidence") && name.contains("report.")
            || self.line.starts_with("engram proof") && name == "out.json"
    }
}

/// Whether this name is that of a file on its way to another name.
pub(super) fn is_temporary(name: &str) -> bool {
    let mut parts = name.split('/');
    name.ends_with(".idx.new") || parts.any(|part| part.starts_with(".bitwire-") && part.ends_with(".tmp"))
}

#[test]
fn every_case_runs() {
    for case in CASES {
        let folder = case.folder();
        let before = snapshot(&folder.path(""));
        let run = case.run(&folder);
        assert_eq!(run.status, Some(0), "{}: {run:?}", case.line);
        let after = snapshot(&folder.path(""));
        assert_eq!(before == after, case.kind == Kind::Reads, "{}", case.line);
        assert!(!after.keys().any(|name| is_temporary(name)), "{}", case.line);
    }
}
