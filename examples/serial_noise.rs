//! Beacons over a noisy serial line: what is lost, how soon frames come again, and what passes though it is damaged.
//!
//! ```console
//! $ cargo run --release --example serial_noise --features cobs
//! $ cargo run --release --example serial_noise --features cobs -- 7 4    # another seed, and four times the bytes
//! ```
//!
//! The same seed gives the same table on every machine.

use std::env;
use std::process::ExitCode;

#[path = "../tests/common/noise.rs"]
mod noise;

use noise::{Damage, Figures, Framing, Received, Size};

/// Bytes sent for each line of the table.
const BYTES: usize = 4_000_000;

fn main() -> ExitCode {
    let mut args = env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (Ok(seed), Ok(times)) = (args.next().unwrap_or(Ok(1)), args.next().unwrap_or(Ok(1))) else {
        eprintln!("usage: serial_noise [SEED [TIMES]]: both whole numbers");
        return ExitCode::from(2);
    };
    println!(
        "Signed beacons over a noisy line (seed {seed}); readers of frames up to {} bytes.",
        noise::MAX_FRAME
    );
    println!(
        "hit: frames with damage (in COBS also to the zero byte before or after); lost whole: not delivered though not hit;"
    );
    println!(
        "resync: bytes from the first damage to the next frame delivered; held up: bytes that came in behind a frame before it"
    );
    println!(
        "was delivered; false: delivered and never sent, by a reader that checks the CRC alone, and by one with the key.\n"
    );
    println!(
        "{:>6} {:>9} {:>5} | {:>7} {:>7} {:>9} {:>10} | {:>7} {:>7} | {:>7} {:>8} | {:>5} {:>4}",
        "size",
        "damage",
        "",
        "sent",
        "hit",
        "delivered",
        "lost whole",
        "resync:",
        "",
        "held",
        "",
        "false",
        ""
    );
    println!(
        "{:>6} {:>9} {:>5} | {:>7} {:>7} {:>9} {:>10} | {:>7} {:>7} | {:>7} {:>8} | {:>5} {:>4}",
        "bytes", "", "", "", "", "", "", "median", "max", "up, 99%", "max", "CRC", "key"
    );
    let mut broken = 0;
    for size in [Size::Bare, Size::Small, Size::Real] {
        let len = size.beacon(&mut noise::Random(0)).len();
        let count = BYTES / len * usize::try_from(times).unwrap_or(1);
        for (name, line) in lines() {
            for &framing in Framing::ALL {
                let (_, crc, mac): (Received, Figures, Figures) =
                    noise::send(size, count, framing, line, seed);
                let framing = format!("{framing:?}").to_lowercase();
                println!(
                    "{len:>6} {name:>9} {framing:>5} | {:>7} {:>7} {:>9} {:>10} | {:>7} {:>7} | {:>7} {:>8} | {:>5} {:>4}",
                    mac.sent,
                    mac.damaged,
                    mac.delivered,
                    mac.lost_whole,
                    quantile(&mac.resync, 50),
                    quantile(&mac.resync, 100),
                    quantile(&mac.held_up, 99),
                    quantile(&mac.held_up, 100),
                    crc.false_accepts,
                    mac.false_accepts,
                );
                broken += crc.against_the_rule + mac.against_the_rule + mac.false_accepts;
            }
        }
    }
    println!(
        "\nFrames that the rules of spec/stream.md do not account for, and false ones with the key: {broken}\n"
    );

    println!("Frames of 100 bytes with damage in the payload alone, which only the CRC can tell:\n");
    println!("{:>16} | {:>9} {:>6} | {:>9} {:>22}", "damage", "frames", "pass", "one in", "95 %");
    for (name, flip) in [
        ("2 bits", Some(2)),
        ("3 bits", Some(3)),
        ("4 bits", Some(4)),
        ("5 bits", Some(5)),
        ("8 bits", Some(8)),
        ("random bytes", None),
    ] {
        let frames = 10_000_000 * times;
        let Ok(passed) = noise::false_accepts(100, flip, frames, seed) else { return ExitCode::FAILURE };
        let (low, high) = noise::interval(passed, frames);
        let one_in =
            if passed > 0 { format!("{:.0}", frames as f64 / passed as f64) } else { "-".to_owned() };
        let range = if passed > 0 {
            format!("{:.0} to {:.0}", 1.0 / high, 1.0 / low)
        } else {
            format!("over {:.0}", 1.0 / high)
        };
        println!("{name:>16} | {frames:>9} {passed:>6} | {one_in:>9} {range:>22}");
    }
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn lines() -> impl Iterator<Item = (&'static str, Damage)> {
    let flips =
        [("none", 0.0), ("BER 1e-5", 1e-5), ("BER 1e-4", 1e-4), ("BER 1e-3", 1e-3), ("BER 1e-2", 1e-2)];
    let flips = flips.map(|(name, bit_errors)| (name, Damage { bit_errors, ..Damage::default() }));
    let bytes = ("bytes", Damage { lost: 1e-4, doubled: 1e-4, ..Damage::default() });
    flips.into_iter().chain([bytes])
}

fn quantile(sorted: &[u64], percent: usize) -> String {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).map_or("-".to_owned(), u64::to_string)
}
