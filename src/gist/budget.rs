//! KV bytes of a full context beside those of gists.
