//! How the program ends: one table of exit codes, and the way in which a command stops early.

use std::fmt::Display;
use std::process::ExitCode;

macro_rules! exits {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $meaning:literal;)*) => {
        /// Every exit code of the program.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Exit { $($(#[$doc])* $variant,)* }

        impl Exit {
            /// All of them, in the order of their codes.
            pub const ALL: &'static [Exit] = &[$(Exit::$variant,)*];

            /// The code that the shell sees.
            pub fn code(self) -> u8 {
                match self { $(Exit::$variant => $code,)* }
            }

            /// What it means, as `docs/cli.md` has it.
            pub fn meaning(self) -> &'static str {
                match self { $(Exit::$variant => $meaning,)* }
            }
        }
    };
}

exits! {
    /// All is well; also when the reader of a pipe has closed it.
    Ok = 0, "All is well. Also when the reader of standard output has closed it.";
    /// The server answered with an error.
    Answered = 1, "The server answered a command with an error.";
    /// The command line, the configuration or a file that it names is wrong.
    Usage = 2, "The command line is wrong, or the configuration or a file that it names.";
    /// No connection, or it ended too early.
    Lost = 3, "No connection to the server, or it ended too early.";
    /// The server lets nobody in with this key.
    Refused = 4, "The server refused the connection (401, 403, 429) or ended it for the key's sake (1008, 4001).";
    /// The server did not answer in time.
    Timeout = 5, "No answer, or not as many events as asked for, within the timeout.";
    /// Something in the store is damaged.
    Damaged = 6, "Something in the store is damaged.";
    /// A defect of the program or the server's library.
    Internal = 70, "A defect of this program.";
    /// The machine refused what was needed.
    System = 71, "The machine refused: no permission, a full disk, a port in use.";
    /// Ctrl-C.
    Interrupted = 130, "Interrupted by Ctrl-C.";
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        exit.code().into()
    }
}

/// Why a command stops before its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Stop {
    /// The code to exit with.
    pub exit: Exit,
    /// What to write to standard error. Holds no secret.
    pub message: Option<String>,
}

impl Stop {
    /// A stop that says why, in the program's name.
    pub fn new(exit: Exit, why: impl Display) -> Stop {
        Stop { exit, message: Some(format!("hydrogen: {why}")) }
    }

    /// The command line or a file is wrong.
    pub fn usage(why: impl Display) -> Stop {
        Stop::new(Exit::Usage, why)
    }

    /// The server's error, which is passed on as it is.
    pub fn answered(error_json: impl Into<String>) -> Stop {
        Stop { exit: Exit::Answered, message: Some(error_json.into()) }
    }

    /// A stop about which everything was said, or nothing is to be said.
    pub fn silent(exit: Exit) -> Stop {
        Stop { exit, message: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_differ() {
        assert!(Exit::ALL.is_sorted_by(|a, b| a.code() < b.code()));
        assert_eq!(Exit::ALL[0].code(), 0);
    }

    #[test]
    fn the_page_has_the_table_as_it_is() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
        for exit in Exit::ALL {
            let row = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(page.contains(&row), "docs/cli.md lacks: {row}");
        }
    }
}
