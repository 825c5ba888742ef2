//! llama.cpp state blobs, read without copying (spec/engram.md, "State blobs").
