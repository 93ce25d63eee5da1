//! The outside: files, sockets, threads, clocks and random sources, behind the engine's words.

pub mod keyfile;
