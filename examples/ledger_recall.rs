//! Tokens back out of a ledger: by position, by range, by name; then all of it verified.
//!
//! ```console
//! $ cargo run --example ledger_recall -- target/chat.ledger
//! ```

use bitwire::ledger::{LedgerError, LedgerReader};

fn main() -> Result<(), LedgerError> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "target/chat.ledger".into());
    let reader = LedgerReader::open(&path)?;
    if let Some(tail) = reader.tail() {
        println!("torn: {} bytes from byte {} on", tail.len, tail.offset);
    }

    println!("position 0: token {}", reader.recall(0)?);
    println!(
        "from the end: {:?}",
        reader.recall_range(reader.total_tokens().saturating_sub(3)..reader.total_tokens())?
    );
    for passkey in reader.passkeys()? {
        println!("passkey at {}: token {}", passkey.position, passkey.token);
    }
    for span in reader.spans()? {
        println!("{}: {:?}", span.name, reader.recall_range(span.start..span.end())?);
    }
    let verified = reader.verify(|_| ())?;
    println!("{} chunks, {} tokens verified", verified.chunks, verified.tokens);
    Ok(())
}
