//! `hydrogen key revoke`: the key stays in the file, marked, so that a list tells when it ended.

use super::{FileArgs, now, stop};
use crate::cli::exit::Stop;
use crate::cli::output::{Lines, note};
use crate::sys::keyfile;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The key's id, or a name, which stands for all its keys
    #[arg(value_name = "ID_OR_NAME")]
    which: String,
    #[command(flatten)]
    file: FileArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen key revoke 01hzxq8m2p4v7k9c
  hydrogen key revoke kitchen --data-dir /var/lib/hydrogen

Prints the ids that were good before, one a line. A running server ends the connections
that these keys opened.";

pub fn run(args: Args) -> Result<(), Stop> {
    let path = args.file.keys_file()?;
    // Else the change would make a file just to say that it holds no such key.
    keyfile::load(&path).map_err(stop)?;
    let revoked = keyfile::revoke(&path, &args.which, now()).map_err(stop)?;
    if revoked.is_empty() {
        note("note: these keys were revoked before");
    }
    let mut out = Lines::new();
    for id in &revoked {
        out.line(&[id.as_str()])?;
    }
    out.flush()
}
