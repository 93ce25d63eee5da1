//! The open descriptors of this process, from `/proc/self/fd`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde::Serialize;

/// Descriptors that one list holds: the lowest numbers.
pub const DESCRIPTORS: usize = 256;

const FOLDER: &str = "/proc/self/fd";

/// One open descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Descriptor {
    /// Its number.
    pub fd: u32,
    /// What it is: `file`, `device`, `socket`, `pipe`, or the kernel's word for one without a path.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its path, or the kernel's name for it.
    pub description: String,
}

/// The first descriptors, by number; none if they cannot be read.
pub fn read_descriptors() -> Vec<Descriptor> {
    read_up_to(DESCRIPTORS)
}

fn read_up_to(most: usize) -> Vec<Descriptor> {
    let Ok(entries) = fs::read_dir(FOLDER) else { return Vec::new() };
    let describe = |entry: fs::DirEntry| {
        let fd = entry.file_name().to_str()?.parse().ok()?;
        // It may have been closed meanwhile.
        let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        // The descriptor that this very list is read with.
        let is_this_list = target.starts_with("/proc/") && target.ends_with("/fd");
        (!is_this_list).then(|| Descriptor { fd, kind: kind_of(&target).into(), description: target })
    };
    let mut descriptors: Vec<_> = entries.flatten().filter_map(describe).take(most).collect();
    descriptors.sort_by_key(|descriptor| descriptor.fd);
    descriptors
}

/// How many descriptors are open.
pub(super) fn count() -> Option<u64> {
    // Linux 6.2 and later tell it as the folder's size; before, it was zero.
    let told = fs::metadata(FOLDER).ok()?.size();
    if told > 0 {
        return Some(told);
    }
    // One is the folder's own.
    let counted = fs::read_dir(FOLDER).ok()?.count() as u64;
    Some(counted.saturating_sub(1))
}

/// The kind, from what the link says: `/path`, `socket:[7]`, `anon_inode:[eventpoll]`.
fn kind_of(target: &str) -> &str {
    if target.starts_with("/dev/") {
        return "device";
    }
    if target.starts_with('/') {
        return "file";
    }
    match target.split_once(':') {
        Some(("anon_inode", kind)) => kind.trim_matches(['[', ']']),
        Some((kind, _)) => kind,
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_tells_the_kind() {
        for (target, kind) in [
            ("/var/lib/hydrogen/keys.json", "file"),
            ("/tmp/a:b (deleted)", "file"),
            ("/dev/null", "device"),
            ("socket:[4711]", "socket"),
            ("pipe:[7]", "pipe"),
            ("anon_inode:[eventpoll]", "eventpoll"),
            ("anon_inode:inotify", "inotify"),
            ("net:[4026531840]", "net"),
            ("", "unknown"),
        ] {
            assert_eq!(kind_of(target), kind, "{target}");
        }
    }

    #[test]
    fn an_open_file_and_a_socket_are_listed_and_counted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let _socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        // Other tests of this process may have more open than the list holds.
        let descriptors = read_up_to(usize::MAX);
        let is_file =
            |listed: &Descriptor| listed.kind == "file" && listed.description == file.path().to_string_lossy();
        assert!(descriptors.iter().any(is_file), "{descriptors:?}");
        assert!(descriptors.iter().any(|listed| listed.kind == "socket"), "{descriptors:?}");
        assert!(descriptors.is_sorted_by_key(|listed| listed.fd) && read_descriptors().len() <= DESCRIPTORS);
        assert!(count().is_some_and(|open| open >= 2));
    }

    #[test]
    fn a_descriptor_is_written_with_the_older_names() {
        let descriptor = Descriptor { fd: 3, kind: "socket".into(), description: "socket:[7]".into() };
        let expected = serde_json::json!({"fd": 3, "type": "socket", "description": "socket:[7]"});
        assert_eq!(serde_json::to_value(descriptor).unwrap(), expected);
    }
}
