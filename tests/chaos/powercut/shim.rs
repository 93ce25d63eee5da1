//! Building the shim, and running a program under it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the environment of a program must have so that it is logged.
pub struct Shim {
    library: PathBuf,
}

impl Shim {
    /// Builds it. Without a C compiler there is none, and what needs it cannot be tested.
    pub fn build(folder: &Path) -> Option<Shim> {
        let library = folder.join("powercut.so");
        compile("powercut/shim.c", &library, &["-shared", "-fPIC"]).then_some(Shim { library })
    }

    pub fn variables<'a>(&'a self, folder: &'a Path, log: &'a Path) -> [(&'static str, &'a Path); 3] {
        [("LD_PRELOAD", &self.library), ("HYDROGEN_POWERCUT_FOLDER", folder), ("HYDROGEN_POWERCUT_LOG", log)]
    }
}

/// Builds a C program or library of the folder `tests/chaos`. False if there is no compiler.
pub fn compile(source: &str, to: &Path, options: &[&str]) -> bool {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos").join(source);
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    command.args(options).args(["-O1", "-o"]).arg(to).arg(&source).args(["-ldl", "-lpthread"]);
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "{command:?} failed");
            true
        }
        Err(error) => {
            println!("\n*** skipped: no C compiler, so nothing is known about {}: {error}\n", source.display());
            false
        }
    }
}
