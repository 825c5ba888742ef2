//! Needle in a haystack: samples with a planted passkey, and what of them was found again (spec/gist.md, "Needle in a haystack").
