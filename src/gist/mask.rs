//! Attention masks of gists: who may look at what (spec/gist.md, "The mask").
