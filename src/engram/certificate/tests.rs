//! Against the files that the original's encoder wrote, and what its decoder made of them (tests/data/engram/eigengram).

use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, fs, vec};

use serde_json::{Value, json};

use super::halves::narrowed;
use super::view::{ExtensionRaw, FurtherRaw, HeaderRaw};
use super::*;
use crate::ErrorKind;

fn data(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/engram");
    fs::read(folder.join(name)).unwrap()
}

fn expected() -> Value {
    serde_json::from_slice(&data("eigengram/expected.json")).unwrap()
}

fn file(case: &str) -> Vec<u8> {
    data(&format!("eigengram/{case}.eng"))
}

/// The f32 of a one-dimensional .npy file.
fn npy(name: &str) -> Vec<f32> {
    let file = data(name);
    let header = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    assert!(file[..header].windows(5).any(|part| part == b"'<f4'"), "{name}");
    file[header..].as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

fn bits(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

fn f32_of(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}

fn vector<'a>(raw: &RawCertificate<'a>, name: &str) -> HalfVector<'a> {
    match name {
        "vec_perdoc" => raw.vec_perdoc(),
        "vec_fcdb" => raw.vec_fcdb(),
        "joint_center" => raw.joint_center(),
        "vec_fourier" => raw.vec_fourier(),
        "vec_fourier_v2" => raw.vec_fourier_v2(),
        _ => panic!("{name}"),
    }
}

fn numbers(raw: &RawCertificate<'_>) -> Value {
    json!({
        "version": 1,
        "basis_rank": raw.basis_rank(),
        "n_corpus": raw.n_corpus(),
        "layer_range": [raw.layer_range().0, raw.layer_range().1],
        "context_len": raw.context_len(),
        "l2_norm": f64::from(raw.l2_norm()),
        "scs": f64::from(raw.scs()),
        "margin_proof": f64::from(raw.margin_proof()),
        "local_density": raw.local_density(),
        "eigenform_score": f64::from(raw.eigenform_score()),
    })
}

/// The case's numbers, and what its vectors are: values where the original's are kept, else their number.
fn check_raw(id: &str, raw: &RawCertificate<'_>, case: &Value) {
    let decoded = &case["decoded"];
    for (name, number) in numbers(raw).as_object().unwrap() {
        assert_eq!(number, &decoded[name], "{id}: {name}");
    }
    for name in ["vec_perdoc", "vec_fcdb", "joint_center", "vec_fourier", "vec_fourier_v2"] {
        let found = vector(raw, name);
        match &case["decoded_vectors"][name] {
            Value::String(path) => assert_eq!(bits(found.iter()), bits(npy(path)), "{id}: {name}"),
            Value::Array(shape) => assert_eq!(json!([found.len()]), json!(shape), "{id}: {name}"),
            _ if name.contains("fourier") => assert!(found.is_empty(), "{id}: {name}"),
            _ => {}
        }
        let mut copy = vec![7.0; found.len()];
        found.copy_into(&mut copy).unwrap();
        assert_eq!(bits(copy), bits((0..found.len()).map(|i| found.get(i).unwrap())));
        assert_eq!(found.get(found.len()), None);
    }
    for (name, offset) in raw.offsets() {
        let name = if name == "extension" { "v12_extension" } else { name };
        if let Some(stated) = case["offsets"][name].as_u64() {
            assert_eq!(offset, stated, "{id}: {name}");
        }
    }
}

#[test]
fn every_file_of_the_encoder_is_read_as_its_decoder_reads_it() {
    let expected = expected();
    let cases = expected["cases"].as_object().unwrap();
    assert_eq!(cases.len(), 23);
    let mut read = 0;
    for (id, case) in cases {
        let bytes = file(id);
        if case["tail_bytes"].as_u64().unwrap_or(0) > 0 || id == "r16_text_cut_mid_utf8" {
            continue; // below
        }
        let found = Certificate::parse(&bytes).unwrap();
        let layout = if case["header_bytes"] == 99 { Layout::Header99 } else { Layout::Header107 };
        assert_eq!((found.layout(), found.missing(), found.rest()), (layout, 0, &[][..]), "{id}");
        check_raw(id, &found, case);
        let decoded = &case["decoded"];
        assert_eq!(found.corpus_hash(), decoded["corpus_hash"], "{id}");
        assert_eq!(found.created_at(), decoded["created_at"], "{id}");
        assert_eq!(found.model_id(), decoded["model_id"], "{id}");
        assert_eq!(found.task_description(), decoded["task_description"], "{id}");
        assert_eq!(found.cache_id(), decoded["cache_id"], "{id}");
        assert_eq!(found.confusion_flag(), decoded["confusion_flag"].as_bool().unwrap(), "{id}");
        assert_eq!(found.has_extension(), case["has_v12_extension"].as_bool().unwrap_or(false), "{id}");
        if let Some(path) = case["in_vec_perdoc"].as_str() {
            // f16: the elements of the file themselves.
            assert_eq!(found.vec_perdoc().as_bytes(), &data(path)[128..], "{id}");
        }
        read += 1;
    }
    assert_eq!(read, 19);
}

#[test]
fn text_cut_within_a_character_is_refused_and_can_be_rescued() {
    let bytes = file("r16_text_cut_mid_utf8");
    let error = Certificate::parse(&bytes).unwrap_err();
    // 427 + 85 characters of 3 bytes.
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Utf8 { field: "task_description" }, 682));
    let raw = RawCertificate::parse(&bytes).unwrap();
    let expected = expected();
    let case = &expected["cases"]["r16_text_cut_mid_utf8"];
    check_raw("r16_text_cut_mid_utf8", &raw, case);
    let whole = |name: &str| case["decoded"][name].as_str().unwrap().trim_end_matches('\u{FFFD}').to_string();
    assert_eq!(raw.task_description_prefix(), (&*whole("task_description"), &"本".as_bytes()[..1]));
    assert_eq!(raw.cache_id_prefix(), (&*whole("cache_id"), &"к".as_bytes()[..1]));
    assert_eq!(raw.task_description_bytes(), &bytes[427..683]);
    assert_eq!(raw.cache_id_bytes(), &bytes[683..747]);
    let error = Certificate::from_raw(&raw).unwrap_err();
    assert_eq!(error.offset(), 682);
}

#[test]
fn bytes_after_a_certificate_are_refused_and_can_be_rescued() {
    let whole = file("spec_v10_r16");
    for (id, tail) in [("spec_v10_r16_plus2", 2), ("spec_v10_r16_plus4", 4), ("spec_v10_r16_plus5", 5)] {
        let bytes = file(id);
        let error = Certificate::parse(&bytes).unwrap_err();
        let ErrorKind::CertificateLength { found, header_99, header_107 } = error.kind() else {
            panic!("{error}");
        };
        assert_eq!((found, header_99), (438 + tail, 438));
        // The first component read as a Fourier dimension.
        let fourier = u64::from(u16::from_le_bytes([bytes[99], bytes[100]]));
        assert_eq!(header_107, 446 + 2 * fourier);
        assert_eq!(error.offset(), found);
        let error = RawCertificate::parse_as(&bytes, Layout::Header99).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::TrailingBytes { count: tail }, 438));
        let raw = RawCertificate::locate(&bytes, Layout::Header99).unwrap();
        assert_eq!((raw.rest(), raw.missing(), raw.expected_len()), (&bytes[438..], 0, 438));
        let own = RawCertificate::parse(&whole).unwrap();
        assert_eq!(raw.vec_perdoc(), own.vec_perdoc());
        assert_eq!(
            (raw.task_description_bytes(), raw.cache_id_bytes()),
            (&b"legacy task"[..], &b"legacy-1"[..])
        );
        // What is right of it is a certificate.
        let end = usize::try_from(raw.expected_len()).unwrap();
        assert_eq!(Certificate::parse(&bytes[..end]).unwrap().cache_id(), "legacy-1");
    }
    let mut bytes = file("r116_fourier2048");
    bytes.push(0);
    let kind = ErrorKind::CertificateLength { found: 4976, header_99: 871, header_107: 4975 };
    let error = Certificate::parse(&bytes).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (kind, 4975));
}

#[test]
fn every_cut_is_refused_but_the_one_that_has_the_other_layouts_length() {
    for id in ["r16_plain", "r116_fourier256", "r16_fourier8_v2_8_noflag", "r0_empty", "spec_v10_r16"] {
        let bytes = file(id);
        let layout = RawCertificate::parse(&bytes).unwrap().layout();
        let header_99 = HeaderLengths::of(&bytes).header_99();
        let mut whole = Vec::new();
        for len in 0..bytes.len() {
            let cut = &bytes[..len];
            match RawCertificate::parse(cut) {
                Ok(_) => whole.push(len),
                Err(error) => {
                    assert!(error.offset() <= len as u64, "{id} {len}");
                    assert!(Certificate::parse(cut).is_err());
                }
            }
            let as_it_was = RawCertificate::parse_as(cut, layout);
            if len == HeaderLengths::of(&bytes).without_extension() {
                // What is cut off is the extension, all of it.
                assert!(!as_it_was.unwrap().has_extension());
            } else {
                let error = as_it_was.unwrap_err();
                // One or two bytes of an extension are none.
                assert!(
                    matches!(error.kind(), ErrorKind::Truncated { .. } | ErrorKind::TrailingBytes { .. }),
                    "{id} {len}: {error}"
                );
            }
        }
        let mut known = Vec::new();
        if layout == Layout::Header107 {
            known.push(header_99);
        }
        if HeaderLengths::of(&bytes).without_extension() < bytes.len() {
            known.push(HeaderLengths::of(&bytes).without_extension());
        }
        assert_eq!(whole, known, "{id}");
    }
    // The one that the length cannot find out is found out by its text, which is in part the centre.
    let bytes = &file("r16_plain")[..471];
    assert_eq!(RawCertificate::parse(bytes).unwrap().layout(), Layout::Header99);
    let error = Certificate::parse(bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Utf8 { field: "task_description" });
    // Whoever knows the encoder asks for its layout.
    let error = RawCertificate::parse_as(bytes, Layout::Header107).unwrap_err();
    assert_eq!((error.kind().name(), error.offset()), ("Truncated", 107));
    // What the original decodes to wrong vectors.
    let expected = expected();
    let window = &expected["truncation_of_r16_plain"][3];
    assert_eq!((&window["from_len"], &window["to_len"]), (&json!(419), &json!(475)));
}

/// The lengths worked out from the fields one by one.
struct HeaderLengths<'a>(&'a [u8]);

impl<'a> HeaderLengths<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn field(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn header_99(&self) -> usize {
        99 + 4 * self.field(73) + 256 + self.field(95) + self.field(97)
    }

    /// Of the 107-byte layout; of a file of the other one its own length.
    fn without_extension(&self) -> usize {
        if self.0.len() == self.header_99() {
            return self.0.len();
        }
        self.header_99() + 8 + 2 * self.field(99)
    }
}

#[test]
fn no_file_has_both_lengths() {
    // Rank, texts, Fourier and extension vary; the bytes of the further header are also the first of a vector.
    for rank in 0..5u16 {
        for (td, ci) in [(0u16, 0u16), (8, 0), (0, 8), (256, 64)] {
            for fourier in [0u16, 1, 2, 4] {
                for tail in 0..24 {
                    let mut bytes = vec![0; 355];
                    bytes[..5].copy_from_slice(b"EGR1\x01");
                    bytes[73..75].copy_from_slice(&rank.to_le_bytes());
                    bytes[95..97].copy_from_slice(&td.to_le_bytes());
                    bytes[97..99].copy_from_slice(&ci.to_le_bytes());
                    bytes[99..101].copy_from_slice(&fourier.to_le_bytes());
                    bytes.resize(HeaderLengths(&bytes).header_99() + tail, 0);
                    let as_99 = RawCertificate::parse_as(&bytes, Layout::Header99);
                    let as_107 = RawCertificate::parse_as(&bytes, Layout::Header107);
                    assert!(as_99.is_err() || as_107.is_err());
                    let parsed = RawCertificate::parse(&bytes).map(|raw| raw.layout());
                    assert_eq!(parsed.is_ok(), as_99.is_ok() || as_107.is_ok());
                    assert_eq!(parsed == Ok(Layout::Header99), as_99.is_ok());
                    let ends = [8, 11].map(|more| more + 2 * usize::from(fourier));
                    assert_eq!(as_99.is_ok(), tail == 0);
                    assert_eq!(as_107.is_ok(), ends.contains(&tail), "{rank} {td} {ci} {fourier} {tail}");
                }
            }
        }
    }
}

/// What parsing says of `id`'s file with `change` at `at`.
fn changed(id: &str, at: usize, change: &[u8]) -> (ErrorKind, u64) {
    let mut bytes = file(id);
    bytes[at..at + change.len()].copy_from_slice(change);
    let error = Certificate::parse(&bytes).unwrap_err();
    (error.kind(), error.offset())
}

#[test]
fn every_breach_has_its_kind_and_place() {
    let plain = |at: usize, change: &[u8]| changed("r16_plain", at, change);
    let magic = |found| ErrorKind::CertificateMagic { found, safetensors: false };
    assert_eq!(plain(0, b"XXXX"), (magic(*b"XXXX"), 0));
    assert_eq!(plain(4, &[0]), (ErrorKind::CertificateVersion { found: 0 }, 4));
    assert_eq!(plain(4, &[2]), (ErrorKind::CertificateVersion { found: 2 }, 4));
    let text = |field| ErrorKind::CertificateText { field };
    assert_eq!(plain(10, &[0xE9]), (text("corpus_hash"), 5));
    assert_eq!(plain(10, &[0]), (text("corpus_hash"), 5));
    assert_eq!(plain(56, &[0x80]), (text("created_at"), 37));
    assert_eq!(plain(72, b"x"), (text("model_id"), 57));
    for (at, field) in [(83, "l2_norm"), (87, "scs"), (91, "margin_proof"), (103, "eigenform_score")] {
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert_eq!(plain(at, &bad.to_le_bytes()), (ErrorKind::Number { field }, at as u64));
        }
    }
    let long = |field, max, found| ErrorKind::TooLarge { field, max, found };
    assert_eq!(plain(95, &[1, 1]), (long("task_description_len", 256, 257), 95));
    assert_eq!(plain(97, &[65, 0]), (long("cache_id_len", 64, 65), 97));
    assert_eq!(plain(430, &[0xC3, b'x']), (ErrorKind::Utf8 { field: "task_description" }, 430));
    assert_eq!(plain(478, &[0xC3]), (ErrorKind::Utf8 { field: "cache_id" }, 478));
    let flag = ErrorKind::Code { field: "confusion_flag", found: 2 };
    assert_eq!(changed("r16_flag_only", 479, &[2]), (flag, 479));
    // A higher rank claims more than there is, a lower one leaves something.
    let kind = ErrorKind::CertificateLength { found: 479, header_99: 475, header_107: 483 };
    assert_eq!(plain(73, &[17, 0]), (kind, 479));
    let kind = ErrorKind::Truncated { field: "the body", needed: 384, available: 380 };
    assert_eq!(plain(73, &[19, 0]), (kind, 99));
    // Of several the first.
    let error = Certificate::parse(&file("r16_plain")[..3]).unwrap_err();
    let kind = ErrorKind::Truncated { field: "magic", needed: 4, available: 3 };
    assert_eq!((error.kind(), error.offset()), (kind, 0));
    let error = Certificate::parse(b"EGR1").unwrap_err();
    assert_eq!((error.kind().name(), error.offset()), ("Truncated", 4));
    let error = Certificate::parse(&file("r16_plain")[..98]).unwrap_err();
    let kind = ErrorKind::Truncated { field: "the header", needed: 94, available: 93 };
    assert_eq!((error.kind(), error.offset()), (kind, 5));
}

#[test]
fn a_safetensors_file_of_the_same_name_is_recognised() {
    let json = br#"{"__metadata__":{"engram_version":"0.1.0"}}"#;
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    let error = Certificate::parse(&bytes).unwrap_err();
    assert!(error.to_string().contains("safetensors"), "{error}");
    for other in [&bytes[..bytes.len() - 1], &b"XXXXXXXXXX"[..]] {
        let error = Certificate::parse(other).unwrap_err();
        assert!(error.to_string().contains("the magic is not 45 47 52 31"), "{error}");
    }
}

/// What the original's encoder was given.
struct Given {
    case: Value,
    vectors: Vec<(String, Vec<f32>)>,
}

impl Given {
    fn of(case: &Value) -> Self {
        let vectors = case["inputs_f32"].as_object().unwrap();
        let vectors = vectors.iter().map(|(name, path)| (name.clone(), npy(path.as_str().unwrap())));
        Self { case: case.clone(), vectors: vectors.collect() }
    }

    fn vector(&self, name: &str) -> &[f32] {
        self.vectors.iter().find(|(own, _)| own == name).map_or(&[], |(_, vector)| vector)
    }

    fn builder(&self) -> CertificateBuilder<'_> {
        let decoded = &self.case["decoded"];
        let text = |name: &str| decoded[name].as_str().unwrap();
        let layer = |i: usize| i8::try_from(decoded["layer_range"][i].as_i64().unwrap()).unwrap();
        let number = |name: &str| decoded[name].as_u64().unwrap();
        CertificateBuilder {
            corpus_hash: text("corpus_hash"),
            created_at: text("created_at"),
            model_id: text("model_id"),
            n_corpus: number("n_corpus") as u16,
            layer_range: (layer(0), layer(1)),
            context_len: number("context_len") as u32,
            l2_norm: f32_of(&decoded["l2_norm"]),
            scs: f32_of(&decoded["scs"]),
            margin_proof: f32_of(&decoded["margin_proof"]),
            task_description: text("task_description"),
            cache_id: text("cache_id"),
            local_density: number("local_density") as u16,
            eigenform_score: f32_of(&decoded["eigenform_score"]),
            confusion_flag: decoded["confusion_flag"].as_bool().unwrap(),
            vec_perdoc: self.vector("vec_perdoc"),
            vec_fcdb: self.vector("vec_fcdb"),
            joint_center: self.vector("joint_center"),
            vec_fourier: self.vector("vec_fourier"),
            vec_fourier_v2: self.vector("vec_fourier_v2"),
            excess: Excess::Refuse,
        }
    }
}

#[test]
fn every_file_of_the_encoder_is_written_byte_by_byte() {
    let expected = expected();
    let mut written = 0;
    for (id, case) in expected["cases"].as_object().unwrap() {
        if case["header_bytes"] != 107 {
            continue;
        }
        let given = Given::of(case);
        let mut builder = given.builder();
        match id.as_str() {
            // Its encoder took the first half of what it was given; that is refused.
            "r16_center256_cut_to_128" => {
                let kind = ErrorKind::Shape { field: "joint_center", needed: 128, found: 256 };
                assert_eq!(builder.encoded_len().unwrap_err().kind(), kind);
                builder.joint_center = &builder.joint_center[..128];
            }
            // 1e30, 65520: beyond f16.
            "r16_specials_f16" => {
                let kind = ErrorKind::Number { field: "vec_perdoc" };
                assert_eq!(builder.encoded_len().unwrap_err().kind(), kind);
                builder.excess = Excess::Original;
            }
            "r16_text_cut_mid_utf8" => {
                builder.task_description = &TASK;
                builder.cache_id = &CACHE;
                let kind = ErrorKind::TooLarge { field: "task_description", max: 256, found: 18 * 30 };
                assert_eq!(builder.encoded_len().unwrap_err().kind(), kind);
                builder.excess = Excess::Original;
            }
            "r16_long_ids_cut" => {
                builder.corpus_hash = "ffffffffffffffffffffffffffffffffffffffffffffffff";
                builder.model_id = "Llama-3.1-8B-Instruct";
                let kind = ErrorKind::TooLarge { field: "corpus_hash", max: 32, found: 48 };
                assert_eq!(builder.encoded_len().unwrap_err().kind(), kind);
                builder.excess = Excess::Trim;
            }
            _ => {}
        }
        let bytes = file(id);
        let mut out = vec![0xAA; bytes.len() + 3];
        assert_eq!(builder.encode_into(&mut out), Ok(bytes.len()), "{id}");
        assert_eq!(&out[..bytes.len()], bytes, "{id}");
        assert_eq!(out[bytes.len()..], [0xAA; 3]);
        assert_eq!(builder.encoded_len(), Ok(bytes.len()));
        #[cfg(feature = "alloc")]
        assert_eq!(builder.to_vec().unwrap(), bytes);
        let mut short = vec![0xAA; bytes.len() - 1];
        let kind = builder.encode_into(&mut short).unwrap_err().kind();
        let (needed, available) = (bytes.len() as u64, bytes.len() as u64 - 1);
        assert_eq!(kind, ErrorKind::BufferTooSmall { needed, available });
        assert!(short.iter().all(|byte| *byte == 0xAA));
        written += 1;
    }
    assert_eq!(written, 18);
}

static TASK: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "日本語の説明".repeat(30));
static CACHE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "ключ-".repeat(20));

#[test]
fn trimmed_text_ends_with_a_whole_character() {
    let case = &expected()["cases"]["r16_text_cut_mid_utf8"];
    let given = Given::of(case);
    let builder = CertificateBuilder {
        task_description: &TASK,
        cache_id: &CACHE,
        excess: Excess::Trim,
        ..given.builder()
    };
    let mut out = [0; 1000];
    let len = builder.encode_into(&mut out).unwrap();
    let found = Certificate::parse(&out[..len]).unwrap();
    assert_eq!(found.task_description().len(), 255);
    assert!(TASK.starts_with(found.task_description()));
    // "ключ-" has 9 bytes: seven of them are 63, and the next character does not fit.
    assert_eq!(found.cache_id(), "ключ-".repeat(7));
}

#[test]
fn what_the_original_damages_is_refused() {
    let given = Given::of(&expected()["cases"]["r16_plain"]);
    let builder = given.builder();
    let refusal = |builder: CertificateBuilder<'_>| {
        let mut out = [0xAA; 1000];
        let error = builder.encode_into(&mut out).unwrap_err();
        assert_eq!((error.place(), Err(error)), (None, builder.encoded_len()));
        assert!(out.iter().all(|byte| *byte == 0xAA));
        error.kind()
    };
    let shape = |field, needed, found| ErrorKind::Shape { field, needed, found };
    let (vector, center) = (given.vector("vec_perdoc"), given.vector("joint_center"));
    let found = refusal(CertificateBuilder { vec_fcdb: &vector[..8], ..builder.clone() });
    assert_eq!(found, shape("vec_fcdb", 16, 8));
    let found = refusal(CertificateBuilder { joint_center: &center[..100], ..builder.clone() });
    assert_eq!(found, shape("joint_center", 128, 100));
    let many = vec![0.0; 65536];
    let large = |field| ErrorKind::TooLarge { field, max: 65535, found: 65536 };
    assert_eq!(refusal(CertificateBuilder { vec_perdoc: &many, ..builder.clone() }), large("vec_perdoc"));
    assert_eq!(refusal(CertificateBuilder { vec_fourier: &many, ..builder.clone() }), large("vec_fourier"));
    assert_eq!(
        refusal(CertificateBuilder { vec_fourier_v2: &many, ..builder.clone() }),
        large("vec_fourier_v2")
    );
    for excess in [Excess::Refuse, Excess::Trim, Excess::Original] {
        for text in ["é", "a\0b"] {
            let builder = CertificateBuilder { excess, ..builder.clone() };
            let named = |kind: ErrorKind, field: &str| kind.to_string().starts_with(field);
            let found = refusal(CertificateBuilder { corpus_hash: text, ..builder.clone() });
            assert!(named(found, "corpus_hash"), "{found}");
            let found = refusal(CertificateBuilder { created_at: text, ..builder.clone() });
            assert!(named(found, "created_at"), "{found}");
            let found = refusal(CertificateBuilder { model_id: text, ..builder.clone() });
            assert!(named(found, "model_id"), "{found}");
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let builder = CertificateBuilder { excess, ..builder.clone() };
            let number = |field| ErrorKind::Number { field };
            assert_eq!(refusal(CertificateBuilder { scs: bad, ..builder.clone() }), number("scs"));
            let found = refusal(CertificateBuilder { eigenform_score: bad, ..builder });
            assert_eq!(found, number("eigenform_score"));
        }
    }
    // The largest that there can be.
    let most = &many[1..];
    let task = "t".repeat(256);
    let builder = CertificateBuilder {
        vec_perdoc: most,
        vec_fcdb: most,
        vec_fourier: most,
        vec_fourier_v2: most,
        task_description: &task,
        cache_id: &task[..64],
        ..builder
    };
    let mut out = vec![0; builder.encoded_len().unwrap()];
    assert_eq!(out.len(), 107 + 4 * 65535 + 256 + 320 + 2 * 65535 + 3 + 2 * 65535);
    builder.encode_into(&mut out).unwrap();
    let found = Certificate::parse(&out).unwrap();
    assert_eq!((found.vec_fourier_v2().len(), found.cache_id().len()), (65535, 64));
}

#[test]
fn narrowing_is_numpys_at_the_edges() {
    // Every f16 comes back, NaN included.
    for half in 0..=u16::MAX {
        let bytes = half.to_le_bytes();
        assert_eq!(narrowed(HalfVector::new(&bytes).get(0).unwrap()), half);
    }
    // numpy.float16(numpy.uint32(bits).view("f4")).view("u2"), NumPy 2.4
    for (bits, half) in [
        (0x7F80_0001, 0x7C01),
        (0xFF80_0001, 0xFC01),
        (0x7FC0_0000, 0x7E00),
        (0xFFC0_0000, 0xFE00),
        (0x7FFF_FFFF, 0x7FFF),
        (0x7F80_2000, 0x7C01),
        (0x477F_EFFF, 0x7BFF),
        (0x477F_F000, 0x7C00),
        (0x3300_0000, 0x0000),
        (0x3300_0001, 0x0001),
        (0xB380_0000, 0x8001),
    ] {
        assert_eq!(narrowed(f32::from_bits(bits)), half, "{bits:08X}");
    }
}

/// Offset, size and name of the fields of the table under the heading `title` in spec/engram.md.
fn table(title: &str) -> Vec<(usize, usize, String)> {
    let spec = include_str!("../../../spec/engram.md");
    let section =
        spec.split("\n#").find(|part| part.lines().next().unwrap().trim_matches(['#', ' ']) == title);
    let section = section.unwrap_or_else(|| panic!("no section {title}"));
    let rows = section.lines().skip_while(|line| *line != "| off | size | type | field |").skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].parse().unwrap(), cells[1].parse().unwrap(), cells[3].to_string())
        })
        .collect()
}

#[test]
fn layouts_are_those_of_the_specification() {
    let own = |fields: &[(usize, usize, &str)], base: usize| -> Vec<_> {
        fields.iter().map(|&(off, size, name)| (off + base, size, name.to_string())).collect()
    };
    assert_eq!(own(HeaderRaw::FIELDS, 0), table("Certificate header"));
    assert_eq!(own(FurtherRaw::FIELDS, 99), table("Further header"));
    assert_eq!(own(ExtensionRaw::FIELDS, 0), table("Certificate extension"));
    assert_eq!((Layout::Header99.header_len(), Layout::Header107.header_len()), (99, 107));
}
