//! Tokens into a ledger, in two sessions, with a passkey and a span; what was committed survives any crash.
//!
//! ```console
//! $ cargo run --example ledger_ingest -- target/chat.ledger
//! ```

use bitwire::ledger::{LedgerError, LedgerOptions, LedgerWriter};

fn main() -> Result<(), LedgerError> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "target/chat.ledger".into());
    for old in [path.clone(), format!("{path}.idx")] {
        let _ = std::fs::remove_file(old);
    }

    // The tokens of a conversation, as a tokenizer gives them.
    let mut writer = LedgerWriter::create(&path, LedgerOptions::new())?;
    writer.extend((0..100_000_u32).map(|i| i * 7 % 32_000))?;
    writer.mark_passkey(33_333, 33_333 * 7 % 32_000)?;
    writer.mark_span("the question", 50_000, 16)?;
    let first = writer.commit()?;
    println!("{} tokens in {} chunks, {} bytes", first.tokens, first.chunks, first.ledger_len);
    drop(writer);

    // Later, perhaps after a crash: a torn end is cut off, what was committed is there.
    let mut writer = LedgerWriter::open(&path, LedgerOptions::new())?;
    writer.extend_from_slice(&[1, 2, 3])?;
    let second = writer.commit()?;
    let root: String = second.root.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{} tokens, root {root} of {} chunks", second.tokens, second.chunks);
    Ok(())
}
