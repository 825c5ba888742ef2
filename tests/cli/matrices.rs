//! .npy files of every kind, and those that are no window or no baseline.

use crate::support::*;

/// Neither as a window nor as a baseline; nothing is written.
#[track_caller]
fn refused(folder: &Folder, file: &str, message: &str) {
    let before = folder.names();
    folder.bitwire(&format!("beacon emit {file} out.bit")).refused(&format!("{file}: {message}"));
    folder
        .bitwire(&format!("beacon emit small.npy out.bit --baseline {file}"))
        .refused(&format!("{file}: {message}"));
    assert_eq!(folder.names(), before);
}

#[test]
fn every_type_byte_order_and_memory_order_makes_the_same_beacon() {
    // NumPy's own files of one matrix, whose values every type holds exactly.
    let folder = with_small();
    let mut first = None;
    for kind in ["f2", "f4", "f8"] {
        for order in ["le_c", "le_fortran", "be_c", "be_fortran"] {
            let file = numpy_file(&format!("{kind}_{order}.npy"));
            folder.run(["beacon".as_ref(), "emit".as_ref(), file.as_os_str(), "out.bit".as_ref()]).good();
            let beacon = folder.read("out.bit");
            assert_eq!(&beacon, first.get_or_insert(beacon.clone()), "{kind}_{order}");
        }
    }

    // And real numbers, which are not exact: bytes swapped, rows and columns swapped.
    let window = std::fs::read(embeddings("window.npy")).unwrap();
    let data = window[128..].as_chunks::<4>().0;
    let swapped: Vec<u8> = data.iter().flat_map(|&[a, b, c, d]| [d, c, b, a]).collect();
    let columns: Vec<u8> =
        (0..384).flat_map(|column| (0..100).flat_map(move |row| data[row * 384 + column])).collect();
    let wide = data.iter().map(|&x| f64::from(f32::from_le_bytes(x)));
    folder.put("window.npy", &window);
    folder.put("swapped.npy", npy(">f4", false, &[100, 384], &swapped));
    folder.put("columns.npy", npy("<f4", true, &[100, 384], &columns));
    folder.put("wide.npy", npy("<f8", false, &[100, 384], &f64s(wide)));
    folder.bitwire("beacon emit window.npy window.bit").good();
    for file in ["swapped", "columns", "wide"] {
        folder.bitwire(&format!("beacon emit {file}.npy out.bit")).good();
        assert_eq!(folder.read("out.bit"), folder.read("window.bit"), "{file}");
        folder
            .bitwire(&format!("beacon emit small.npy out.bit --baseline {file}.npy"))
            .usage("row 0 has 384 columns");
    }
}

#[test]
fn a_value_that_is_not_finite_is_placed_by_row_and_column() {
    let folder = with_small();
    // One, NaN and both infinities in each type.
    let f16 = |x: u16| x.to_le_bytes().to_vec();
    let f32 = |x: f32| x.to_le_bytes().to_vec();
    let f64 = |x: f64| x.to_le_bytes().to_vec();
    let types = [
        ("<f2", [0x3C00, 0x7E00, 0x7C00, 0xFC00].map(f16)),
        ("<f4", [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(f32)),
        ("<f8", [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(f64)),
    ];
    for (descr, [one, bad @ ..]) in types {
        for bad in bad {
            for (row, column) in [(0, 0), (2, 1), (4, 2)] {
                for fortran in [false, true] {
                    let mut values = vec![one.clone(); 15];
                    values[if fortran { column * 5 + row } else { row * 3 + column }] = bad.clone();
                    folder.put("bad.npy", npy(descr, fortran, &[5, 3], &values.concat()));
                    refused(
                        &folder,
                        "bad.npy",
                        &format!("the value at row {row}, column {column} is not finite"),
                    );
                }
            }
        }
    }
    // A value that is finite and whose square is not.
    folder.put("huge.npy", npy("<f8", false, &[2, 1], &f64s([1e200, -1e200])));
    folder.bitwire("beacon emit huge.npy out.bit").usage("bitwire: huge.npy: ");
    // One in a row that is not asked for does no harm.
    let values = f64s([1.0, 2.0, 3.0, 4.0, f64::NAN, 6.0]);
    folder.put("late.npy", npy("<f8", false, &[3, 2], &values));
    folder.bitwire("beacon emit late.npy late.bit --max-rows 2").good();
    assert_eq!(folder.names(), ["bad.npy", "huge.npy", "late.bit", "late.npy", "other.npy", "small.npy"]);
}

#[test]
fn a_window_without_rows_or_columns_is_refused() {
    let folder = with_small();
    folder.put("no_rows.npy", npy("<f4", false, &[0, 3], b""));
    folder.put("no_columns.npy", npy("<f4", false, &[5, 0], b""));
    let needed = "at least 2 are needed, or 1 with --baseline";
    folder
        .bitwire("beacon emit no_rows.npy out.bit")
        .refused(&format!("no_rows.npy: a window of 0 rows; {needed}"));
    folder
        .bitwire("beacon emit no_rows.npy out.bit --baseline small.npy")
        .refused("no_rows.npy: the window has 0 rows, at least 1 are needed");
    folder
        .bitwire("beacon emit small.npy out.bit --baseline no_rows.npy")
        .refused("no_rows.npy: the window has 0 rows, at least 1 are needed");
    folder
        .bitwire("beacon emit no_columns.npy out.bit")
        .refused("no_columns.npy: the matrix needs at least one column");
    for (rows, found) in [("0", 0), ("1", 1)] {
        let message = format!("small.npy: a window of {found} rows; {needed}");
        folder.bitwire(&format!("beacon emit small.npy out.bit --max-rows {rows}")).refused(&message);
    }
    folder.bitwire("beacon emit small.npy one.bit --max-rows 1 --baseline other.npy").good();
    assert!(!folder.path("out.bit").exists());
}

#[test]
fn arrays_that_are_no_matrix_of_floats_are_refused_by_name() {
    let folder = with_small();
    for (name, message) in [
        ("object", "the array's type is '|O', needed is f2, f4 or f8 (at byte 20)"),
        ("int32", "the array's type is '<i4', needed is f2, f4 or f8 (at byte 20)"),
        ("complex64", "the array's type is '<c8', needed is f2, f4 or f8 (at byte 20)"),
        ("bool", "the array's type is '|b1', needed is f2, f4 or f8 (at byte 20)"),
        ("structured", "the array's type is 'structured', needed is one plain number type (at byte 20)"),
        ("0d", "the array has 0 dimensions, needed is a matrix (rows, dim) (at byte 60)"),
        ("1d", "the array has 1 dimension, needed is a matrix (rows, dim) (at byte 60)"),
        ("3d", "the array has 3 dimensions, needed is a matrix (rows, dim) (at byte 60)"),
    ] {
        let file = format!("{name}.npy");
        std::fs::copy(numpy_file(&format!("refused_{file}")), folder.path(&file)).unwrap();
        refused(&folder, &file, message);
    }
}

#[test]
fn a_file_cut_short_or_too_long_is_refused() {
    let folder = with_small();
    let whole = folder.read("small.npy");
    let data = whole.len() - 120;
    for (len, message) in [
        (0, "truncated: the .npy magic needs 6 bytes, 0 are there (at byte 0)".to_owned()),
        (5, "truncated: the .npy magic needs 6 bytes, 5 are there (at byte 0)".to_owned()),
        (data, format!("truncated: the array's data needs 120 bytes, 0 are there (at byte {data})")),
        (
            whole.len() - 1,
            format!("truncated: the array's data needs 120 bytes, 119 are there (at byte {data})"),
        ),
    ] {
        folder.put("cut.npy", &whole[..len]);
        refused(&folder, "cut.npy", &message);
    }
    folder.put("cut.npy", [&whole[..], b"!"].concat());
    refused(
        &folder,
        "cut.npy",
        &format!("1 bytes follow where the input should end (at byte {})", whole.len()),
    );
    let text = ".npy: not a NumPy file: the first six bytes are not 93 4E 55 4D 50 59 (at byte 0)";
    folder.put("cut.npy", "0.1 0.2 0.3\n");
    refused(&folder, "cut.npy", text);
    // A header that promises more than any machine has is no reason to ask for it: 128 MiB have to be enough, of which an
    // unoptimised program takes half for itself.
    for shape in [[1 << 40, 1 << 20], [2, 1 << 31], [2, 1 << 30], [0, 1 << 31], [1 << 62, 1 << 62]] {
        for fortran in [false, true] {
            folder.put("cut.npy", npy("<f4", fortran, &shape, &[0; 100]));
            for line in ["beacon emit cut.npy out.bit", "beacon emit small.npy out.bit --baseline cut.npy"] {
                let run =
                    folder.sh(&format!("ulimit -v 131072 && exec \"$0\" {line}")).usage("bitwire: cut.npy: ");
                let found = ["truncated", "size", "largest", "where the input should end", "columns"];
                assert!(found.iter().any(|found| run.err.contains(found)), "{shape:?}: {}", run.err);
            }
        }
    }
    assert_eq!(folder.names(), ["cut.npy", "other.npy", "small.npy"]);
}

#[test]
fn a_baseline_has_to_fit_the_window() {
    let folder = with_small();
    for name in ["window.npy", "baseline.npy"] {
        std::fs::copy(embeddings(name), folder.path(name)).unwrap();
    }
    folder
        .bitwire("beacon emit small.npy out.bit --baseline baseline.npy")
        .refused("baseline.npy: row 0 has 384 columns, needed are 3");
    folder
        .bitwire("beacon emit window.npy out.bit --baseline small.npy")
        .refused("small.npy: row 0 has 3 columns, needed are 384");
    folder.bitwire("beacon emit baseline.npy base.bit docs minilm en").good();
    let theirs = r#"{"dim":384,"model_id":"minilm","pi_id":"en","space_id":"docs"}"#;
    for (ids, window, ours) in [
        ("docs minilm fr", "window", r#"{"dim":384,"model_id":"minilm","pi_id":"fr","space_id":"docs"}"#),
        ("docs minilm en", "small", r#"{"dim":3,"model_id":"minilm","pi_id":"en","space_id":"docs"}"#),
    ] {
        folder
            .bitwire(&format!("beacon emit {window}.npy out.bit {ids} --baseline base.bit"))
            .refused(&format!("base.bit: the baseline's context is {theirs}, the window's is {ours}"));
    }
    folder.bitwire("beacon emit window.npy good.bit docs minilm en --baseline base.bit").good();
    // A beacon that is not whole, and one that is followed by another.
    let beacon = folder.read("base.bit");
    folder.put("bad.bit", &beacon[..beacon.len() / 2]);
    folder
        .bitwire("beacon emit window.npy out.bit docs minilm en --baseline bad.bit")
        .usage("bitwire: bad.bit: truncated");
    folder.put("bad.bit", beacon.repeat(2));
    folder
        .bitwire("beacon emit window.npy out.bit docs minilm en --baseline bad.bit")
        .usage("bytes follow where the input should end");
    folder
        .bitwire("beacon emit window.npy out.bit --baseline none")
        .refused("none: No such file or directory");
    folder.bitwire("beacon emit window.npy out.bit --baseline .").refused(".: Is a directory");
    assert!(!folder.path("out.bit").exists());
}

#[test]
fn archives_that_are_no_statistics_are_refused() {
    let folder = Folder::new();
    for name in ["no_mu", "mu_nan", "sigma_skew", "t_backwards", "w_negative", "empty"] {
        let from = format!("{}/tests/data/npz/bad_{name}.npz", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(from, folder.path("bad.npz")).unwrap();
        folder.bitwire("scl import bad.npz out.bit --delta-q16 auto").usage("bitwire: bad.npz: ");
    }
    folder.put("bad.npz", "no archive");
    let message = "bad.npz: .npz: not a zip archive, or a damaged one";
    folder.bitwire("scl import bad.npz out.bit --delta-q16 auto").refused(message);
    folder.bitwire("scl import none out.bit --delta-q16 auto").refused("none: No such file or directory");
    folder.bitwire("scl import . out.bit --delta-q16 auto").usage("bitwire: .: ");
    assert_eq!(folder.names(), ["bad.npz"]);
}
