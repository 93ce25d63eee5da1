//! The commands of the `hydrogen` program.
//!
//! Each command parses its own arguments and runs. Owns no server state.

pub mod bench;
