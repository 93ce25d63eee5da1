//! The machine's filesystems and the room in them.
//!
//! Only those on a disk or in memory are asked: a file server that does not answer would hold the
//! asking thread for good.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use super::percent::percent;

/// Filesystems that are asked.
const FILESYSTEMS: usize = 64;
/// Kinds that have room of their own and no device under `/dev`.
const WITHOUT_DEVICE: [&str; 4] = ["btrfs", "overlay", "tmpfs", "zfs"];

/// One filesystem. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Filesystem {
    /// What is mounted.
    pub device: String,
    /// Where.
    pub mount_point: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its size.
    pub total_space: u64,
    /// What is taken.
    pub used_space: u64,
    /// What ordinary users may still take.
    pub available_space: u64,
    /// The share that is taken, of what ordinary users may take.
    pub used_percent: String,
}

/// The filesystems, by mount point; those that cannot be asked are left out.
pub fn read_filesystems() -> BTreeMap<String, Filesystem> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    parse_mounts(&mounts).into_values().filter_map(measure).map(|found| (found.mount_point.clone(), found)).collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    mount_point: String,
    kind: String,
}

/// The mounts to ask, by mount point. Of two at the same place the later one covers the other.
fn parse_mounts(text: &str) -> BTreeMap<String, Mount> {
    let mut mounts = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(mount_point), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let mount_point = unescape(mount_point);
        if !may_ask(device, kind) {
            mounts.remove(&mount_point);
        } else if mounts.len() < FILESYSTEMS || mounts.contains_key(&mount_point) {
            let mount = Mount { device: unescape(device), mount_point: mount_point.clone(), kind: kind.into() };
            mounts.insert(mount_point, mount);
        }
    }
    mounts
}

fn may_ask(device: &str, kind: &str) -> bool {
    // A program serves a FUSE mount, and may never answer, whatever its device is called.
    !kind.starts_with("fuse") && (device.starts_with("/dev/") || WITHOUT_DEVICE.contains(&kind))
}

/// The kernel writes blanks, tabs, line ends, backslashes and hashes as `\040`.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match code {
            Some(code) => {
                text.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

fn measure(mount: Mount) -> Option<Filesystem> {
    let stat = rustix::fs::statvfs(mount.mount_point.as_str()).ok()?;
    let blocks = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    (stat.f_blocks > 0).then(|| Filesystem {
        total_space: blocks(stat.f_blocks),
        used_space: blocks(used),
        available_space: blocks(stat.f_bavail),
        used_percent: percent(used, used.saturating_add(stat.f_bavail)),
        device: mount.device,
        mount_point: mount.mount_point,
        kind: mount.kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_on_disks_and_in_memory_are_asked_and_no_others() {
        let text = "\
proc /proc proc rw,relatime 0 0
/dev/vda / ext4 rw,relatime 0 0
tmpfs /dev/shm tmpfs rw 0 0
server:/export /srv/nfs nfs4 rw 0 0
//server/share /srv/cifs cifs rw 0 0
/dev/sdb1 /mnt/usb fuseblk rw 0 0
me@host:/ /mnt/ssh fuse.sshfs rw 0 0
/dev/sdc1 /mnt/with\\040blank\\134 xfs rw 0 0
systemd-1 /mnt/auto autofs rw 0 0
/dev/sdd1 /covered ext4 rw 0 0
server:/export /covered nfs4 rw 0 0
tmpfs /twice tmpfs rw 0 0
/dev/sde1 /twice ext4 rw 0 0
short line
";
        let found: Vec<_> = parse_mounts(text).into_values().map(|mount| (mount.mount_point, mount.device)).collect();
        let expected =
            [("/", "/dev/vda"), ("/dev/shm", "tmpfs"), ("/mnt/with blank\\", "/dev/sdc1"), ("/twice", "/dev/sde1")];
        assert_eq!(found, expected.map(|(at, device)| (at.to_owned(), device.to_owned())));
    }

    #[test]
    fn mounts_are_bounded() {
        let text: String = (0..1000).map(|n| format!("/dev/sd{n} /mnt/{n} ext4 rw 0 0\n")).collect();
        assert_eq!(parse_mounts(&text).len(), FILESYSTEMS);
    }

    #[test]
    fn escapes_that_are_none_stay_as_they_are() {
        for (field, text) in
            [("a", "a"), ("\\", "\\"), ("\\04", "\\04"), ("\\09x", "\\09x"), ("\\777", "\\777"), ("\\é9", "\\é9")]
        {
            assert_eq!(unescape(field), text);
        }
    }

    #[test]
    fn this_machine_has_a_filesystem_with_room_in_it() {
        let filesystems = read_filesystems();
        let is_sane = |found: &Filesystem| {
            found.total_space >= found.used_space
                && found.used_percent.parse().is_ok_and(|used| (0.0..=100.0).contains(&used))
        };
        assert!(!filesystems.is_empty() && filesystems.values().all(is_sane), "{filesystems:?}");
    }
}
