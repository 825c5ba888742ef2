//! What goes wrong outside: calls of the system that fail, kills, two writers at once, folders and disks that take nothing,
//! readers that went away, files that change, and names that mean harm; for every verb that reads or writes files.

mod inject;
mod inside;
mod maps;
mod places;
mod streams;
mod traits;
mod verbs;
mod writers;
