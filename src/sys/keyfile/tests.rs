use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Barrier;

use super::*;
use crate::engine::auth::Refused;
use ring::rand::SystemRandom;

const NOW: Wall = Wall(1_772_131_500_000);

fn new_key(name: &str) -> NewKey {
    let permissions = Permissions::parse(&["connect", "publish:sensors.>"]).unwrap();
    NewKey { name: name.into(), permissions, expires: None, signing: NewSigning::None }
}

fn create(path: &Path, key: NewKey) -> Created {
    create_key(path, key, NOW, &SystemRandom::new()).unwrap()
}

fn in_folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    (folder, path)
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn polled(watcher: &mut Watcher) -> KeyRing {
    watcher.poll().unwrap().unwrap().0
}

#[test]
fn a_created_key_opens_the_ring_and_leaves_no_secret_in_the_file() {
    let (folder, path) = in_folder();
    let created = create(&path, new_key("alice"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&created.token.expose()[22..]));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path()), BTreeSet::from(["keys.json".into(), "keys.json.lock".into()]));
    let ring = polled(&mut Watcher::new(&path, None));
    let identity = ring.authenticate(&created.token.expose(), NOW).unwrap();
    assert_eq!((&*identity.name, identity.key_id()), ("alice", Some(created.token.id())));
    assert!(identity.permissions.may_publish("sensors.a"));
}

#[test]
fn signing_keys_are_registered_or_made() {
    let (_folder, path) = in_folder();
    let made = create(&path, NewKey { signing: NewSigning::HmacSha256, ..new_key("alice") });
    let public = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned();
    create(&path, NewKey { signing: NewSigning::Ed25519(public.clone()), ..new_key("bob") });
    let records = list(&path).unwrap();
    let secret = made.signing_secret.unwrap();
    assert_eq!(records[0].signing, Some(Signing::hmac_sha256(secret.expose()).unwrap()));
    assert_eq!(records[1].signing, Some(Signing::ed25519(&public).unwrap()));
    assert_eq!(format!("{secret:?}"), "***");
}

#[test]
fn keys_that_make_no_sense_are_not_created() {
    let (_folder, path) = in_folder();
    for key in [
        new_key("a b"),
        new_key("configured"),
        NewKey { expires: Some(NOW), ..new_key("a") },
        NewKey { signing: NewSigning::Ed25519("short".into()), ..new_key("a") },
    ] {
        let error = create_key(&path, key, NOW, &SystemRandom::new()).unwrap_err();
        assert!(matches!(error, KeyFileError::Misuse(_)), "{error}");
    }
    assert!(list(&path).unwrap_err().is_missing());
}

#[test]
fn a_key_is_revoked_by_id_or_all_keys_by_name() {
    let (_folder, path) = in_folder();
    let [one, two, three] = ["alice", "alice", "bob"].map(|name| create(&path, new_key(name)).token);
    assert_eq!(revoke(&path, one.id().as_str(), Wall(5)).unwrap(), vec![one.id()]);
    assert_eq!(revoke(&path, "alice", Wall(6)).unwrap(), vec![two.id()]);
    assert_eq!(revoke(&path, "alice", Wall(7)).unwrap(), vec![]);
    assert!(matches!(revoke(&path, "carol", NOW), Err(KeyFileError::Misuse(_))));
    let revoked: Vec<_> = list(&path).unwrap().iter().map(|record| record.revoked).collect();
    assert_eq!(revoked, [Some(Wall(5)), Some(Wall(6)), None]);
    let ring = polled(&mut Watcher::new(&path, None));
    assert_eq!(ring.authenticate(&two.expose(), NOW), Err(Refused::Unknown));
    assert!(ring.authenticate(&three.expose(), NOW).is_ok());
}

#[test]
fn creating_from_several_threads_loses_nothing() {
    let (_folder, path) = in_folder();
    let start = Barrier::new(2);
    let created: BTreeSet<KeyId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (0..20).map(|_| create(&path, new_key("alice")).token.id()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let kept: BTreeSet<KeyId> = list(&path).unwrap().iter().map(|record| record.id).collect();
    assert_eq!(created.len(), 40);
    assert_eq!(kept, created);
}

#[test]
fn a_reader_never_sees_half_a_file() {
    let (_folder, path) = in_folder();
    create(&path, new_key("alice"));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..20).for_each(|_| drop(create(&path, new_key("alice")))));
        let mut seen = 1;
        while !writer.is_finished() {
            let now = list(&path).unwrap().len();
            assert!(now >= seen);
            seen = now;
        }
    });
    assert_eq!(list(&path).unwrap().len(), 21);
}

#[test]
fn a_damaged_file_is_not_overwritten() {
    let (_folder, path) = in_folder();
    fs::write(&path, "{\"version\":1,\"keys\":[{}]}").unwrap();
    let error = create_key(&path, new_key("alice"), NOW, &SystemRandom::new()).unwrap_err();
    assert!(matches!(error, KeyFileError::Damaged(..)) && error.to_string().contains("key 1"), "{error}");
    assert!(matches!(revoke(&path, "alice", NOW), Err(KeyFileError::Damaged(..))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"version\":1,\"keys\":[{}]}");
}

#[test]
fn what_is_no_file_is_refused_and_a_wide_mode_is_warned_of() {
    let (folder, path) = in_folder();
    assert!(matches!(load(folder.path()), Err(KeyFileError::NotAFile(_))));
    let error = create_key(folder.path(), new_key("a"), NOW, &SystemRandom::new()).unwrap_err();
    assert!(matches!(error, KeyFileError::NotAFile(_)), "{error}");
    create(&path, new_key("alice"));
    assert_eq!(load(&path).unwrap().warning, None);
    for (mode, expected) in [(0o640, true), (0o604, true), (0o700, false), (0o400, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(load(&path).unwrap().warning.is_some(), expected, "{mode:o}");
    }
}

#[test]
fn a_file_behind_a_link_is_changed_where_it_is_and_leftovers_are_no_hindrance() {
    let (folder, path) = in_folder();
    create(&path, new_key("alice"));
    let link = folder.path().join("link.json");
    symlink(&path, &link).unwrap();
    fs::write(folder.path().join("keys.json.new"), "left by a crash").unwrap();
    create(&link, new_key("bob"));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(list(&path).unwrap().len(), 2);
    assert!(!names(folder.path()).contains("keys.json.new"));
}

#[test]
fn the_watcher_speaks_once_per_change() {
    let (_folder, path) = in_folder();
    let shared = SharedKey::parse("a-shared-key-of-some-length", Permissions::default()).unwrap();
    let mut watcher = Watcher::new(&path, Some(shared));
    assert!(watcher.poll().unwrap().unwrap_err().is_missing());
    assert!(watcher.poll().is_none());
    let token = create(&path, new_key("alice")).token;
    let ring = polled(&mut watcher);
    assert!(ring.authenticate(&token.expose(), NOW).is_ok() && ring.len() == 2);
    assert!(watcher.poll().is_none());
    let other = SharedKey::parse("another-shared-key-of-ours", Permissions::default()).unwrap();
    watcher.set_shared_key(Some(other.clone()));
    let ring = polled(&mut watcher);
    assert!(ring.authenticate("another-shared-key-of-ours", NOW).is_ok());
    assert_eq!(ring.authenticate("a-shared-key-of-some-length", NOW), Err(Refused::Unknown));
    watcher.set_shared_key(Some(other));
    assert!(watcher.poll().is_none());
    revoke(&path, "alice", NOW).unwrap();
    assert_eq!(polled(&mut watcher).authenticate(&token.expose(), NOW), Err(Refused::Unknown));
    fs::write(&path, "{").unwrap();
    assert!(matches!(watcher.poll(), Some(Err(KeyFileError::Damaged(..)))));
    assert!(watcher.poll().is_none());
    fs::remove_file(&path).unwrap();
    assert!(watcher.poll().unwrap().unwrap_err().is_missing());
    assert!(watcher.poll().is_none());
}

#[test]
fn a_held_lock_lets_the_next_one_wait() {
    let (folder, path) = in_folder();
    let held = File::create(folder.path().join("keys.json.lock")).unwrap();
    held.lock().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| create(&path, new_key("alice")));
        std::thread::sleep(std::time::Duration::from_millis(60));
        assert!(!waiting.is_finished() && !path.exists());
        held.unlock().unwrap();
        waiting.join().unwrap();
    });
    assert_eq!(list(&path).unwrap().len(), 1);
}

#[test]
fn what_is_written_belongs_to_whom_the_file_belonged() {
    let (folder, path) = in_folder();
    create(&path, new_key("alice"));
    if std::os::unix::fs::chown(&path, Some(12_345), Some(12_345)).is_err() {
        // Only root may give files away; anybody else could not have to give them back.
        assert_eq!(fs::metadata(&path).unwrap().uid(), fs::metadata(folder.path()).unwrap().uid());
        return;
    }
    let lock = folder.path().join("keys.json.lock");
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    fs::remove_file(&lock).unwrap();
    symlink(&elsewhere, &lock).unwrap();
    create(&path, new_key("bob"));
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (12_345, 12_345, 0o600));
    assert_ne!(fs::metadata(&elsewhere).unwrap().uid(), 12_345, "a link in place of the lock gives nothing away");
}
