use super::*;
use crate::ledger::evidence::EvidenceStream;
use serde_json::Value;
use std::collections::BTreeMap;
use std::string::ToString;
use std::{format, vec};

const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tinymind/small/ledger");

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What Python gives of the ledgers here.
fn expected() -> Value {
    json(include_str!("../../../tests/data/tinymind/expected.json"))
}

fn tokens_of(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(|token| token.as_u64()?.try_into().ok()).collect()
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256_text(tokens: &[u32]) -> String {
    compact_json_sha256(tokens).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file under a folder, by its path from there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in [folder.to_path_buf(), folder.join("chunks")] {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap().to_str().unwrap().to_string();
                let name = if folder.ends_with("chunks") { format!("chunks/{name}") } else { name };
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A copy of the small ledger to spoil.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("chunks")).unwrap();
        for (name, bytes) in files(Path::new(SMALL)) {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self { folder }
    }

    fn replace(&self, name: &str, from: &str, to: &str) -> &Self {
        let path = self.folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
        self
    }

    fn read(&self) -> Result<(TinyMindLedger, Vec<u32>), FileError> {
        let ledger = TinyMindLedger::open(self.folder.path())?;
        let mut tokens = Vec::new();
        for chunk in ledger.chunks() {
            tokens.extend(chunk?);
        }
        Ok((ledger, tokens))
    }

    /// The file at fault, and why.
    fn error(&self) -> (String, ErrorKind) {
        let error = self.read().unwrap_err();
        let name = error.path().strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_string();
        (name.replace('\\', "/"), error.cause().format().unwrap().kind())
    }
}

#[test]
fn digests_are_pythons() {
    let vectors = json(include_str!("../../../tests/data/tinymind/digest_vectors.json"));
    let mut checked = 0;
    for vector in vectors.as_array().unwrap() {
        // One is of negative tokens, one names the stream.
        if let Some(tokens) = tokens_of(&vector["tokens"]) {
            assert_eq!(sha256_text(&tokens), vector["sha256"]);
            checked += 1;
        }
    }
    assert_eq!(checked, 5);
    // hashlib over json.dumps(tokens, separators=(",", ":")).
    for (tokens, digest) in [
        (&[u32::MAX][..], "0baffe30c2aede655455b2f6339e415ddc334f06eef1621a7de0d8532ae8b808"),
        (
            &[0, 9, 10, 99, 100, 999, 1000, u32::MAX],
            "56d50417b6106f0f096583bdf59b5ef318c0fa78c6c743ab1efb002337129bff",
        ),
    ] {
        assert_eq!(sha256_text(tokens), digest);
    }
    // Longer than a part, most of them 10 digits.
    let many: Vec<u32> = (0..5000_u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
    assert_eq!(sha256_text(&many), "27ecbcb0aa1bbbdd0cc675e6e62c1db6d72b0a05d6ac500862885f1be1d2b929");
    // Every place at which a part can end.
    for len in 0..1500 {
        let text: Vec<String> = many[..len].iter().map(ToString::to_string).collect();
        assert_eq!(sha256_text(&many[..len]), sha256(format!("[{}]", text.join(","))));
    }

    let stream = EvidenceStream::new(2_000_000).unwrap();
    let mut tokens = vec![0; 8192];
    assert_eq!(stream.fill(0, &mut tokens), 8192);
    assert_eq!(sha256_text(&tokens), "d465a27ac8ff36c74504ee3cc1e2f20533797e16d520ed272a5b8afaf7926fea");
    let last = stream.fill(244 * 8192, &mut tokens);
    assert_eq!(last, 1152);
    assert_eq!(
        sha256_text(&tokens[..last]),
        "189ae3c2caa8aa6c8c2adf0ab2ac597f1546e849bf79a10cc8f09eb58a181878"
    );
}

#[test]
fn the_small_ledger_is_read() {
    let expected = expected();
    let ledger = TinyMindLedger::open(SMALL).unwrap();
    assert_eq!((ledger.total_tokens(), ledger.chunk_tokens(), ledger.chunk_count()), (70, 16, 5));
    let mut some = ledger.chunks();
    assert_eq!((some.size_hint(), some.nth(1).unwrap().unwrap().len()), ((0, Some(5)), 16));
    assert_eq!((some.size_hint(), some.count()), ((0, Some(3)), 3));
    let chunks: Vec<Vec<u32>> = ledger.chunks().map(Result::unwrap).collect();
    assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 16, 16, 6]);
    assert_eq!(Some(chunks.concat()), tokens_of(&expected["small"]["tokens"]));
    assert_eq!(ledger.passkeys(), [0, 20, 69]);
    assert_eq!(ledger.spans(), [("cross".into(), 10, 30), ("tail_short".into(), 60, 10)]);
    for (name, start, length) in ledger.spans() {
        let (start, length) = (usize::try_from(*start).unwrap(), usize::try_from(*length).unwrap());
        let span = chunks.concat()[start..start + length].to_vec();
        assert_eq!(Some(span), tokens_of(&expected["small"]["spans"][name]["tokens"]));
    }
    let notes: Vec<String> = ledger.notes().iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "the passkey at position 69 is 553, where 999 was expected",
            "span 'empty' at 5 has no tokens: left out",
            "span 'tail_short' of 50 tokens at 60 reaches past the end: 10 tokens are carried",
        ]
    );
}

#[test]
fn the_small_ledger_is_written_to_the_byte() {
    let tokens = tokens_of(&expected()["small"]["tokens"]).unwrap();
    let passkeys = [
        TinyMindPasskey::new(0, 0),
        TinyMindPasskey::new(20, 740),
        TinyMindPasskey { position: 69, token: 553, expected: 999 },
    ];
    let spans = [("tail_short", 60, 50), ("cross", 10, 30), ("empty", 5, 0)];
    for piece in [1, 5, 16, 17, 33, 70] {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("ledger");
        let mut writer = TinyMindWriter::create_with_prefix(&dir, "small/ledger", 16).unwrap();
        for piece in tokens.chunks(piece) {
            writer.push(piece).unwrap();
        }
        writer.finish(&passkeys, &spans).unwrap();
        assert_eq!(files(&dir), files(Path::new(SMALL)), "{piece}");
    }
}

/// The ledger of TinyMind's benchmark with 100,000 tokens; its files from Python have these hashes.
#[test]
fn a_longer_ledger_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let stream = EvidenceStream::new(100_000).unwrap();
    let mut writer = TinyMindWriter::create_with_prefix(folder.path(), "bench100k/ledger/", 8192).unwrap();
    let mut all = vec![0; 100_000];
    stream.fill(0, &mut all);
    for piece in all.chunks(1000) {
        writer.push(piece).unwrap();
    }
    let passkeys = stream.passkeys().map(|(position, token)| TinyMindPasskey::new(position, token));
    writer.finish(&passkeys, &stream.spans()).unwrap();

    let files = files(folder.path());
    assert_eq!(files.len(), 16);
    for (name, digest) in [
        ("manifest.json", "776b808dd23ac9ce520146080505e90c0463a3f528baa07dabd385cd9741779b"),
        ("passkey_index.json", "800711cbfbe2f7f2a32009dc52077c1eb456aa05c02801ef58da4ff42e158eb4"),
        ("semantic_index.json", "cd4e4df494d6bb508d9059881528956c467b194817b0af3d600f226ebb81c572"),
    ] {
        assert_eq!(sha256(&files[name]), digest, "{name}");
    }
    let chunks: Vec<u8> = files
        .iter()
        .filter(|(name, _)| name.starts_with("chunks/"))
        .flat_map(|(_, bytes)| bytes.clone())
        .collect();
    assert_eq!(chunks.len(), 667_081);
    assert_eq!(sha256(chunks), "ad6c86f98fc549fda8f3293d0ae3861de8c4804433ab0f6ca4ef734f1e76a7d7");

    let ledger = TinyMindLedger::open(folder.path()).unwrap();
    let read: Vec<u32> = ledger.chunks().flat_map(Result::unwrap).collect();
    assert!(read == all);
    assert_eq!(ledger.passkeys(), [0, 33_333, 66_666, 99_999]);
    let spans = [("first".into(), 0, 16), ("last_window".into(), 99_984, 16), ("middle".into(), 50_000, 16)];
    assert_eq!(ledger.spans(), spans);
    assert!(ledger.notes().is_empty());
}

/// The six ways in which expected.json has the original refuse the small ledger.
#[test]
fn what_the_original_refuses_is_refused() {
    const CHUNK: &str = "chunks/chunk_00000002.jsonl";
    let manifest = |place| ErrorKind::TinyMindHash { place };

    let copy = Copy::new();
    copy.replace(CHUNK, "739]", "740]");
    assert_eq!(copy.error(), (CHUNK.into(), manifest("its row")));

    let copy = Copy::new();
    let tokens = tokens_of(&expected()["small"]["tokens"]).unwrap();
    let mut changed = tokens[32..48].to_vec();
    changed[15] = 740;
    copy.replace(CHUNK, "739]", "740]").replace(CHUNK, &sha256_text(&tokens[32..48]), &sha256_text(&changed));
    assert_eq!(copy.error(), (CHUNK.into(), manifest("the manifest")));

    let copy = Copy::new();
    copy.replace(CHUNK, "\"start\": 32", "\"start\": 33");
    assert_eq!(copy.error(), (CHUNK.into(), ErrorKind::Shape { field: "start", needed: 32, found: 33 }));

    let copy = Copy::new();
    fs::remove_file(copy.folder.path().join(CHUNK)).unwrap();
    let error = copy.read().unwrap_err();
    assert!(error.is_io() && error.path().ends_with(CHUNK));

    let whole = fs::read(Path::new(SMALL).join(CHUNK)).unwrap();
    let copy = Copy::new();
    for len in 0..whole.len() - 2 {
        fs::write(copy.folder.path().join(CHUNK), &whole[..len]).unwrap();
        let reason = "the JSON ends too early";
        assert_eq!(copy.error(), (CHUNK.into(), ErrorKind::TinyMindJson { reason }), "{len}");
    }

    let copy = Copy::new();
    copy.replace(CHUNK, "[184,", "[592,").replace("chunks/chunk_00000001.jsonl", "[592,", "[184,");
    assert_eq!(copy.error(), ("chunks/chunk_00000001.jsonl".into(), manifest("its row")));
}

/// Whatever happens to one byte of any file: the tokens are those of the ledger, or there is an error.
#[test]
fn no_changed_byte_changes_a_token() {
    let tokens = tokens_of(&expected()["small"]["tokens"]).unwrap();
    let copy = Copy::new();
    let mut refused = 0;
    for (name, bytes) in files(Path::new(SMALL)) {
        // They are in the manifest, so not read.
        if name.ends_with("_index.json") {
            continue;
        }
        let path = copy.folder.path().join(&name);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            match at % 4 {
                0 => changed[at] ^= 1,
                1 => changed[at] = b'"',
                2 => changed[at] = 0xFF,
                _ => drop(changed.remove(at)),
            }
            fs::write(&path, changed).unwrap();
            match copy.read() {
                Ok((_, read)) => assert_eq!(read, tokens, "{name}, byte {at}"),
                Err(_) => refused += 1,
            }
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(refused > 1500, "{refused}");
    assert_eq!(copy.read().unwrap().1, tokens);
}

#[test]
fn tokens_are_whole_numbers_of_32_bits() {
    const CHUNK: &str = "chunks/chunk_00000004.jsonl";
    for bad in
        ["-1", "4294967296", "1.0", "1e3", "99999999999999999999999", "\"405\"", "null", "true", "[1]", "{}"]
    {
        let copy = Copy::new();
        copy.replace(CHUNK, "442", bad);
        assert_eq!(copy.error(), (CHUNK.into(), ErrorKind::TinyMindToken { index: 2 }), "{bad}");
    }
    let copy = Copy::new();
    copy.replace(CHUNK, "442", "-1");
    let text = copy.read().unwrap_err().to_string();
    // The last byte of "-1".
    let at = fs::read_to_string(copy.folder.path().join(CHUNK)).unwrap().find("-1").unwrap() + 1;
    let message = "token 2 of the chunk is not a whole number from 0 to 4294967295";
    assert!(text.ends_with(&format!("chunk_00000004.jsonl: {message} (at byte {at})")), "{text}");

    let reason = "more tokens than the manifest gives the chunk";
    let copy = Copy::new();
    copy.replace(CHUNK, "553]", "553, 1]");
    assert_eq!(copy.error(), (CHUNK.into(), ErrorKind::TinyMindJson { reason }));
    let copy = Copy::new();
    copy.replace(CHUNK, ", 553]", "]");
    let field = "the number of tokens";
    assert_eq!(copy.error(), (CHUNK.into(), ErrorKind::Shape { field, needed: 6, found: 5 }));
    for after in ["{}", "x", "]"] {
        let copy = Copy::new();
        copy.replace(CHUNK, "\n", after);
        assert_eq!(copy.error().1, ErrorKind::TinyMindJson { reason: "it is no valid JSON" }, "{after}");
    }
}

#[test]
fn other_json_with_the_same_content_will_do() {
    let reference = Copy::new().read().unwrap();
    let check = |change: &dyn Fn(&Copy)| {
        let copy = Copy::new();
        change(&copy);
        let (ledger, tokens) = copy.read().unwrap();
        assert_eq!(tokens, reference.1);
        assert_eq!(ledger.spans(), reference.0.spans());
        assert_eq!(ledger.passkeys(), reference.0.passkeys());
        ledger.notes().len()
    };
    let without = |copy: &Copy, member: &str| {
        let path = copy.folder.path().join("manifest.json");
        let mut manifest = json(&fs::read_to_string(&path).unwrap());
        assert!(manifest.as_object_mut().unwrap().remove(member).is_some());
        fs::write(path, manifest.to_string()).unwrap();
    };
    // The indices beside the manifest, if it has none.
    assert_eq!(check(&|copy| without(copy, "passkeys")), 3);
    assert_eq!(check(&|copy| without(copy, "semantic_spans")), 3);
    assert_eq!(check(&|copy| without(copy, "rolling_sha256")), 3);
    assert_eq!(check(&|copy| without(copy, "schema_version")), 3);
    let replaced = |name: &str, from: &str, to: &str| {
        check(&|copy| {
            copy.replace(name, from, to);
        })
    };
    assert_eq!(replaced("manifest.json", "\"rolling", "\"more\": [{\"a\": 1.5}], \"rolling"), 3);
    assert_eq!(replaced("chunks/chunk_00000001.jsonl", "{", "\r\n{ \"x\": {}, \"y\": null, "), 3);
    // Paths of another machine.
    let path = "\"small/ledger/chunks/chunk_00000003.jsonl\"";
    for other in
        ["../../../etc/chunk_00000003.jsonl", "C:\\\\x\\\\chunk_00000003.jsonl", "chunk_00000003.jsonl"]
    {
        assert_eq!(replaced("manifest.json", path, &format!("\"{other}\"")), 3);
    }
    // Spans as lists, passkeys as bare numbers: there is no note where nothing is said of the token there.
    let object = "\"cross\": {\n      \"length\": 30,\n      \"start\": 10\n    }";
    assert_eq!(replaced("manifest.json", object, "\"cross\": [10, 30]"), 3);
    assert_eq!(
        check(&|copy| {
            without(copy, "passkeys");
            fs::write(
                copy.folder.path().join("passkey_index.json"),
                "{\"0\": 0, \"20\": {}, \"69\": {\"expected\": null}}",
            )
            .unwrap();
        }),
        2
    );

    // Neither there: a ledger without marks.
    let copy = Copy::new();
    without(&copy, "passkeys");
    without(&copy, "semantic_spans");
    for name in ["passkey_index.json", "semantic_index.json"] {
        fs::remove_file(copy.folder.path().join(name)).unwrap();
    }
    let (ledger, tokens) = copy.read().unwrap();
    assert_eq!(tokens, reference.1);
    assert!(ledger.passkeys().is_empty() && ledger.spans().is_empty() && ledger.notes().is_empty());
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused() {
    let shape = |field, needed, found| ErrorKind::Shape { field, needed, found };
    let reason = |reason| ErrorKind::TinyMindJson { reason };
    let too_large = |field, max, found| ErrorKind::TooLarge { field, max, found };
    for (from, to, kind) in [
        ("\"chunk_count\": 5", "\"chunk_count\": 4", shape("chunk_count", 5, 4)),
        ("\"total_tokens\": 70", "\"total_tokens\": 71", shape("total_tokens", 70, 71)),
        ("\"chunk_tokens\": 16", "\"chunk_tokens\": 0", shape("chunk_tokens", 1, 0)),
        ("\"chunk_tokens\": 16", "\"chunk_tokens\": 15", too_large("the length of a chunk", 15, 16)),
        (
            "\"chunk_tokens\": 16",
            "\"chunk_tokens\": 4294967296",
            too_large("chunk_tokens", 4_294_967_295, 4_294_967_296),
        ),
        ("\"chunk_id\": 3,\n      \"length\"", "\"chunk_id\": 4,\n      \"length\"", shape("chunk_id", 3, 4)),
        ("\"start\": 48", "\"start\": 47", shape("start", 48, 47)),
        ("\"length\": 16", "\"length\": 0", shape("length", 1, 0)),
        (
            "\"length\": 16",
            "\"length\": 4294967296",
            reason("length has to be a whole number that a ledger can hold"),
        ),
        (
            "\"length\": 16",
            "\"length\": -1",
            reason("length has to be a whole number that a ledger can hold"),
        ),
        ("7be9fda4", "7be9fda5", ErrorKind::TinyMindHash { place: "rolling_sha256" }),
        ("a99daa2c", "a99daa2d", ErrorKind::TinyMindHash { place: "rolling_sha256" }),
        ("a99daa2c", "a99daa2", reason("a SHA-256 has to be a string of 64 hexadecimal digits")),
        ("a99daa2c", "a99daa2g", reason("a SHA-256 has to be a string of 64 hexadecimal digits")),
        ("a99daa2c", "+99daa2c", reason("a SHA-256 has to be a string of 64 hexadecimal digits")),
        (
            "chunk_00000003.jsonl",
            "chunk_00000002.jsonl",
            reason("a chunk's path does not end in its file name"),
        ),
        ("chunk_00000003.jsonl", "x/../../../passwd", reason("a chunk's path does not end in its file name")),
        (
            "\"chunk_id\": 3,\n      \"length\"",
            "\"length\"",
            reason("a chunk lacks chunk_id, start, length or sha256"),
        ),
        (
            "\"total_tokens\"",
            "\"tokens\"",
            reason("total_tokens, chunk_tokens, chunk_count or chunks is missing"),
        ),
        ("\"chunk_count\": 5", "\"chunk_count\": \"5\"", reason("chunk_count has to be a whole number")),
        ("\"chunk_count\": 5", "\"chunk_count\": 5, \"chunk_count\": 5", reason("a member comes twice")),
        ("\"20\"", "\"0\"", reason("a key comes twice")),
        ("\"20\"", "\"020\"", reason("a passkey's position has to be a whole number")),
        ("\"20\"", "\"-20\"", reason("a passkey's position has to be a whole number")),
        ("\"20\"", "\"+20\"", reason("a passkey's position has to be a whole number")),
        ("\"20\"", "\"18446744073709551616\"", reason("a passkey's position has to be a whole number")),
        ("\"20\"", "\"\"", reason("a passkey's position has to be a whole number")),
        ("\"20\"", "\"70\"", too_large("the position of a passkey", 69, 70)),
        ("\"20\"", "\"21\"", shape("a passkey's offset", 5, 4)),
        ("\"20\"", "\"36\"", shape("a passkey's chunk_id", 2, 1)),
        ("\"cross\"", "\"empty\"", reason("a key comes twice")),
        ("\"start\": 5", "\"begin\": 5", reason("a span lacks start or length")),
        ("\"start\": 5", "\"start\": -5", reason("start has to be a whole number")),
        ("\"cross\"", "\"\\ud800\"", reason("it is no valid JSON")),
        ("\"cross\": {", "\"cross\": [], \"x\": {", reason("a span has to be an object or a list of two")),
        (
            "\"cross\": {",
            "\"cross\": [1, 2, 3], \"x\": {",
            reason("a span has to be an object or a list of two"),
        ),
        ("\"passkeys\": {", "\"passkeys\": [], \"x\": {", reason("passkeys has to be an object")),
        ("\"chunks\": [", "\"chunks\": [0, ", reason("chunks has to be a list of objects")),
        ("{", "[{", reason("an object is needed here")),
        ("{", "", reason("an object is needed here")),
    ] {
        let copy = Copy::new();
        copy.replace("manifest.json", from, to);
        assert_eq!(copy.error(), ("manifest.json".into(), kind), "{from} to {to}");
    }
    // What the index says of a token is compared with the token, when its chunk is read.
    let copy = Copy::new();
    copy.replace("manifest.json", "\"token\": 740", "\"token\": 741");
    let mut chunks = TinyMindLedger::open(copy.folder.path()).unwrap();
    assert!(matches!(
        chunks.notes()[0],
        ImportNote::PasskeyDiffers { position: 20, expected: 740, token: 741 }
    ));
    chunks.passkeys_from = "passkey_index.json";
    let results: Vec<_> = chunks.chunks().collect();
    assert_eq!(results.len(), 2, "ends after an error");
    let error = results[1].as_ref().unwrap_err();
    assert!(error.path().ends_with("passkey_index.json"));
    let kind = shape("a passkey's token", 740, 741);
    assert_eq!(error.cause().format().unwrap().kind(), kind);
}

#[test]
fn an_error_names_its_place() {
    let text = b"{\n  \"chunks\": [\n    {\"chunk_id\": 0,\n";
    assert_eq!(json::manifest(text).map(drop).unwrap_err().offset(), u64::try_from(text.len()).unwrap());
    let text = b"{\n  \"chunk_count\": 1,\n \"chunk_tokens\": x }";
    assert_eq!(text[json::manifest(text).map(drop).unwrap_err().offset() as usize], b'x');
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!("{{\"x\": {}", "[".repeat(1 << 20));
    assert!(json::manifest(deep.as_bytes()).is_err());
    let deep = format!("{{\"0\": {{\"expected\": {}", "[".repeat(1 << 20));
    assert!(json::passkeys(deep.as_bytes()).is_err());

    // Holes in a file: long, and nothing on the disk.
    let copy = Copy::new();
    for (name, max) in [("chunks/chunk_00000000.jsonl", MAX_CHUNK_FILE), ("manifest.json", MAX_INDEX_FILE)] {
        let file = fs::OpenOptions::new().write(true).open(copy.folder.path().join(name)).unwrap();
        for found in [max + 2, max + 1] {
            file.set_len(found).unwrap();
            let field = "the file's length";
            assert_eq!(copy.error(), (name.into(), ErrorKind::TooLarge { field, max, found }));
        }
    }
    let path = copy.folder.path().join("manifest.json");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(copy.read().unwrap_err().to_string().ends_with("manifest.json: not a file"));
}

#[test]
fn spans_and_names_at_the_edges() {
    let folder = tempfile::tempdir().unwrap();
    let long = "n".repeat(65_535);
    let write = |dir: &Path, spans: &[(&str, u64, u64)]| {
        let mut writer = TinyMindWriter::create(dir, 4).unwrap();
        writer.push(&[1, 2, 3, 4, 5]).unwrap();
        writer.finish(&[], spans)
    };
    let dir = folder.path().join("a");
    let spans = [
        ("", 0, 1),
        ("at the end", 5, 1),
        ("all", 0, u64::MAX),
        ("far", u64::MAX, u64::MAX),
        ("last", 4, 1),
        ("\u{1b}[2J", 7, 0),
        (&long, 1, 1),
        ("für", 3, 2),
    ];
    write(&dir, &spans).unwrap();
    let ledger = TinyMindLedger::open(&dir).unwrap();
    let carried: Vec<_> =
        ledger.spans().iter().map(|(name, start, len)| (name.as_str(), *start, *len)).collect();
    assert_eq!(carried, [("all", 0, 5), ("für", 3, 2), ("last", 4, 1), (&long, 1, 1)]);
    let notes: Vec<String> = ledger.notes().iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "the span of 1 tokens at 0 has an empty name: left out",
            "span '\\u{1b}[2J' at 7 has no tokens: left out",
            "span 'all' of 18446744073709551615 tokens at 0 reaches past the end: 5 tokens are carried",
            "span 'at the end' of 1 tokens at 5 is past the end: left out",
            "span 'far' of 18446744073709551615 tokens at 18446744073709551615 is past the end: left out",
        ]
    );
    let path = dir.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"last\"", &format!("\"{long}n\""));
    fs::write(&path, text).unwrap();
    let error = TinyMindLedger::open(&dir).unwrap_err();
    let field = "the length of a span's name";
    let kind = ErrorKind::TooLarge { field, max: 65_535, found: 65_536 };
    assert_eq!(error.cause().format().unwrap().kind(), kind);
    let error = write(&folder.path().join("b"), &[(&format!("{long}n"), 0, 1)]).unwrap_err();
    assert_eq!(error.cause().format().unwrap().kind(), kind);
}

#[test]
fn texts_are_escaped_and_sorted_as_python_does() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ledger");
    let mut writer = TinyMindWriter::create_with_prefix(&dir, "über \"q\"", 100).unwrap();
    writer.push(&[7; 101]).unwrap();
    let passkeys = [9, 10, 100].map(|position| TinyMindPasskey::new(position, 7));
    writer
        .finish(&passkeys, &[("q\"\\\n\t\u{1}\u{7f}/", 0, 1), ("z\u{2028}", 3, 0), ("für \u{1f600}", 1, 2)])
        .unwrap();
    // json.dumps(..., indent=2, sort_keys=True, ensure_ascii=False).
    assert_eq!(
        fs::read_to_string(dir.join("semantic_index.json")).unwrap(),
        "{\n  \"für \u{1f600}\": {\n    \"length\": 2,\n    \"start\": 1\n  },\n  \"q\\\"\\\\\\n\\t\\u0001\u{7f}/\": {\n    \
         \"length\": 1,\n    \"start\": 0\n  },\n  \"z\u{2028}\": {\n    \"length\": 0,\n    \"start\": 3\n  }\n}"
    );
    let text = fs::read_to_string(dir.join("passkey_index.json")).unwrap();
    let places = ["\"10\": {", "\"100\": {", "\"9\": {"].map(|key| text.find(key).unwrap());
    assert!(places.is_sorted(), "{text}");
    assert!(text.contains("\"chunk_path\": \"über \\\"q\\\"/chunks/chunk_00000001.jsonl\""));
    assert_eq!(TinyMindLedger::open(&dir).unwrap().passkeys(), [9, 10, 100]);
}

#[test]
fn an_empty_ledger() {
    let folder = tempfile::tempdir().unwrap();
    TinyMindWriter::create_with_prefix(folder.path(), "", 16).unwrap().finish(&[], &[]).unwrap();
    assert_eq!(fs::read(folder.path().join("passkey_index.json")).unwrap(), b"{}");
    // SHA-256 of nothing, from FIPS 180-4's examples.
    assert_eq!(
        fs::read_to_string(folder.path().join("manifest.json")).unwrap(),
        "{\n  \"chunk_count\": 0,\n  \"chunk_tokens\": 16,\n  \"chunks\": [],\n  \"passkeys\": {},\n  \"rolling_sha256\": \
         \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\n  \"schema_version\": \
         \"tinymind-evidence-ledger-v2\",\n  \"semantic_spans\": {},\n  \"total_tokens\": 0\n}"
    );
    let ledger = TinyMindLedger::open(folder.path()).unwrap();
    assert_eq!((ledger.total_tokens(), ledger.chunks().count()), (0, 0));
}

#[test]
fn what_the_writer_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |error: FileError| error.cause().format().unwrap().kind();
    let argument = |expected| ErrorKind::Argument { expected };

    assert!(TinyMindWriter::create(folder.path().join("no/such"), 16).unwrap_err().is_io());
    let dir = folder.path().join("ledger");
    let refused = TinyMindWriter::create(&dir, 0).unwrap_err();
    assert_eq!(kind(refused), argument("chunk_tokens has to be at least 1"));
    assert!(!dir.exists());
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("mine"), "x").unwrap();
    let refused = TinyMindWriter::create(&dir, 16).unwrap_err();
    assert_eq!(kind(refused), argument("the folder is not empty"));
    assert_eq!(files_in(&dir), ["mine"]);
    assert!(TinyMindWriter::create(dir.join("mine"), 16).unwrap_err().is_io(), "a file");

    let writer = |name: &str| {
        let mut writer = TinyMindWriter::create(folder.path().join(name), 2).unwrap();
        writer.push(&[5, 6, 7]).unwrap();
        writer
    };
    let field = "the position of a passkey";
    let refused = writer("a").finish(&[TinyMindPasskey::new(3, 7)], &[]).unwrap_err();
    assert_eq!(kind(refused), ErrorKind::TooLarge { field, max: 2, found: 3 });
    // Without a manifest there is no ledger.
    assert!(TinyMindLedger::open(folder.path().join("a")).unwrap_err().is_io());
    for (name, positions) in [("b", [1, 1]), ("c", [1, 0])] {
        let passkeys = positions.map(|position| TinyMindPasskey::new(position, 6));
        let refused = writer(name).finish(&passkeys, &[]).unwrap_err();
        assert_eq!(kind(refused), argument("passkeys have to increase in position"));
    }
    let refused = writer("d").finish(&[], &[("x", 0, 1), ("y", 0, 1), ("x", 1, 1)]).unwrap_err();
    assert_eq!(kind(refused), argument("no two spans may have one name"));

    // A chunk that could not be written is not passed over.
    let mut broken = writer("e");
    fs::create_dir(folder.path().join("e/chunks/chunk_00000001.jsonl")).unwrap();
    assert!(broken.push(&[8]).unwrap_err().is_io());
    fs::remove_dir(folder.path().join("e/chunks/chunk_00000001.jsonl")).unwrap();
    let expected = "a chunk could not be written: nothing can be written after it";
    assert_eq!(kind(broken.push(&[8, 9]).unwrap_err()), argument(expected));
    assert_eq!(kind(broken.finish(&[], &[]).unwrap_err()), argument(expected));
}

fn files_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
