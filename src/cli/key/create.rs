//! `hydrogen key create`: the token goes to standard output, alone, and everything else to
//! standard error.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;

use super::{FileArgs, now, stop};
use crate::base::Wall;
use crate::cli::config_file::keys_file;
use crate::cli::exit::{Exit, Stop};
use crate::cli::output::{note, print};
use crate::engine::auth::Permissions;
use crate::sys::keyfile::{self, Created, NewKey, NewSigning};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The identity's name; several keys may share one
    name: String,
    /// What the key may do: connect, subscribe:PATTERN, publish:PATTERN, call:CHANNEL.ACTION, admin.
    /// Given several times, or joined by commas
    #[arg(long = "permit", value_name = "PERMISSION", required = true, value_delimiter = ',')]
    permit: Vec<String>,
    /// When the key ends: after 12h, 30d or 52w, or at a time like 2027-01-01T00:00:00Z
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// The identity signs with the key pair of this Ed25519 public key (base64url)
    #[arg(long, value_name = "PUBLIC", conflicts_with = "hmac")]
    ed25519: Option<String>,
    /// The identity signs with a new shared secret, which is written to this new file (mode 0600)
    #[arg(long, value_name = "FILE")]
    hmac: Option<PathBuf>,
    #[command(flatten)]
    file: FileArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen key create ops --permit admin
  hydrogen key create kitchen --permit connect --permit 'publish:sensors.kitchen.>' --expires 365d
  hydrogen key create wall --permit 'connect,subscribe:sensors.>' --data-dir /var/lib/hydrogen
  export HYDROGEN_KEY=$(hydrogen key create me --permit admin --expires 12h)";

pub fn run(args: Args) -> Result<(), Stop> {
    let now = now();
    let permit: Vec<&str> = args.permit.iter().map(|text| text.trim()).collect();
    let permissions = Permissions::parse(&permit).map_err(Stop::usage)?;
    let may_connect = permissions.may_connect();
    let expires = args.expires.as_deref().map(|text| when(text, now)).transpose()?;
    let signing = match (args.ed25519, &args.hmac) {
        (Some(public), _) => NewSigning::Ed25519(public),
        (None, Some(_)) => NewSigning::HmacSha256,
        (None, None) => NewSigning::None,
    };
    let folder = args.file.data_dir()?;
    let path = keys_file(&folder);
    make_folder(&folder)?;
    let secret_file = args.hmac.as_deref().map(SecretFile::create).transpose()?;
    let key = NewKey { name: args.name, permissions, expires, signing };
    let created = keyfile::create_key(&path, key, now, &SystemRandom::new()).map_err(stop)?;
    if let Err(stop) = deliver(&created, secret_file) {
        // Nobody has the token, so the key must not stay.
        let _ = keyfile::revoke(&path, created.token.id().as_str(), now);
        let message = stop.message.unwrap_or_else(|| "hydrogen: nobody reads the token".into());
        return Err(Stop { exit: Exit::System, message: Some(format!("{message}; the new key is revoked")) });
    }
    let until = expires.map_or_else(|| "it does not expire".into(), |expires| format!("it expires {expires}"));
    note(format_args!("key {} is in {}; {until}", created.token.id(), path.display()));
    if !may_connect {
        note("note: this key may not open a connection; that takes --permit connect");
    }
    Ok(())
}

fn deliver(created: &Created, secret_file: Option<SecretFile>) -> Result<(), Stop> {
    if let (Some(secret), Some(file)) = (&created.signing_secret, secret_file) {
        file.write(secret.expose())?;
    }
    print(created.token.expose())
}

/// A file for a shared secret, which is there for its owner alone before the secret is. It goes
/// again unless the secret was written.
struct SecretFile<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl<'a> SecretFile<'a> {
    fn create(path: &'a Path) -> Result<SecretFile<'a>, Stop> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.map(|file| SecretFile { path, file: Some(file) }).map_err(|error| SecretFile::stop(path, &error))
    }

    fn write(mut self, secret: &str) -> Result<(), Stop> {
        let Some(file) = &mut self.file else { return Ok(()) };
        writeln!(file, "{secret}")
            .and_then(|()| file.sync_all())
            .map_err(|error| SecretFile::stop(self.path, &error))?;
        self.file = None;
        Ok(())
    }

    fn stop(path: &Path, error: &std::io::Error) -> Stop {
        Stop::new(Exit::System, format_args!("cannot write {}: {error}", path.display()))
    }
}

impl Drop for SecretFile<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // An empty file is left behind at worst.
            let _ = fs::remove_file(self.path);
        }
    }
}

/// Others have no business in the data folder, so a new one is its owner's alone.
fn make_folder(folder: &Path) -> Result<(), Stop> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Stop::new(Exit::System, format_args!("cannot make {}: {error}", folder.display())))
}

/// A time from now, as `30d`, or a point in time.
fn when(text: &str, now: Wall) -> Result<Wall, Stop> {
    from_now(text, now)
        .or_else(|| Wall::parse(text))
        .or_else(|| Wall::parse(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| Stop::usage(format_args!("{text:?} is neither like 30d (s, m, h, d, w) nor an RFC 3339 time")))
}

fn from_now(text: &str, now: Wall) -> Option<Wall> {
    let unit = text.chars().next_back()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number > 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds * 1000)?.checked_add(now.0).filter(|ms| *ms <= LATEST.0).map(Wall)
}

/// The last millisecond of the year 9999: RFC 3339 has no later one.
const LATEST: Wall = Wall(253_402_300_799_999);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_time_from_now_or_a_point_in_time() {
        let now = Wall(1_000_000);
        for (text, expected) in [
            ("90s", 1_090_000),
            ("2m", 1_120_000),
            ("1h", 4_600_000),
            ("30d", 2_593_000_000),
            ("1w", 605_800_000),
            ("2027-01-01T00:00:00Z", 1_798_761_600_000),
            ("2027-01-01T01:00:00+01:00", 1_798_761_600_000),
            ("2027-01-01", 1_798_761_600_000),
        ] {
            assert_eq!(when(text, now), Ok(Wall(expected)), "{text}");
        }
        for text in ["", "d", "0d", "-1d", "30", "30y", "tomorrow", "9999999999999d", "5é"] {
            assert_eq!(when(text, now).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }
}
