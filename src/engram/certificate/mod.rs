//! EIGENGRAM certificates, `.eng` (spec/engram.md, "Certificates").
