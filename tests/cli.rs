//! The program `hydrogen` from outside: its words, its exit codes, and its client commands against
//! a server that plays a script.

#[path = "cli/program.rs"]
mod program;
#[path = "cli/script.rs"]
mod script;

#[path = "cli/clients.rs"]
mod clients;
#[path = "cli/dead_letters.rs"]
mod dead_letters;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/guaranteed.rs"]
mod guaranteed;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/rooms.rs"]
mod rooms;
