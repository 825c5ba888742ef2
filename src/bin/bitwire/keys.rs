//! The HMAC key: from one source, never printed.

use std::env;

use bitwire::frame::Key;
use bitwire::io::key::KeyBytes;
use zeroize::Zeroizing;

use crate::args::KeyArgs;
use crate::exit::{Problem, tell};

const VARIABLE: &str = "BITWIRE_HMAC_KEY_HEX";

/// The key that the arguments or the environment name, if any.
pub(crate) fn key(args: &KeyArgs) -> Result<Option<Key>, Problem> {
    // This copy is wiped; the environment's own, and the argument's, are the caller's.
    let variable = env::var_os(VARIABLE).map(|text| Zeroizing::new(text.into_encoded_bytes()));
    let sources = [variable.is_some(), args.hmac_key_file.is_some(), args.hmac_key_hex.is_some()];
    if sources.into_iter().filter(|&given| given).count() > 1 {
        let message = format!(
            "the HMAC key has two sources; give one of --hmac-key-file, --hmac-key-hex and {VARIABLE}"
        );
        return Err(Problem::Usage(message));
    }
    let hex = |source: &str, text: Option<&str>| {
        let text = text.ok_or_else(|| Problem::Usage(format!("{source}: not hexadecimal")))?;
        KeyBytes::from_hex(text).map_err(|error| Problem::Usage(format!("{source}: {error}")))
    };
    let bytes = if let Some(path) = &args.hmac_key_file {
        KeyBytes::open(path)?
    } else if let Some(text) = &args.hmac_key_hex {
        tell!(
            "bitwire: warning: --hmac-key-hex shows the key to others on this machine; use --hmac-key-file"
        );
        hex("--hmac-key-hex", Some(text))?
    } else if let Some(variable) = &variable {
        hex(VARIABLE, str::from_utf8(variable).ok())?
    } else {
        return Ok(None);
    };
    Key::new(bytes.as_bytes()).map(Some).map_err(|error| Problem::Usage(error.to_string()))
}
