//! The memory as a guest and an operator see it, on a real file.

use super::*;

const QUOTA: usize = 4 << 20;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> Result<Kv, OpenError> {
        Kv::open(self.0.path(), "node", "mock", QUOTA)
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("kv/node/mock.kv")
    }
}

fn put(kv: &Kv, key: &str, value: &[u8]) {
    kv.put(key.to_owned(), value.to_vec()).unwrap();
}

#[test]
fn what_was_put_is_there_after_a_restart() {
    let place = Place::new();
    let kv = place.open().unwrap();
    put(&kv, "pod/b", b"2");
    put(&kv, "pod/a", b"1");
    put(&kv, "other", b"x");
    put(&kv, "pod/a", b"3");
    kv.delete("other").unwrap();
    kv.delete("never").unwrap();
    drop(kv);
    let kv = place.open().unwrap();
    assert_eq!(kv.entries("pod/"), [("pod/a".to_owned(), b"3".to_vec()), ("pod/b".to_owned(), b"2".to_vec())]);
    assert_eq!(kv.get("other"), None);
}

#[test]
fn a_torn_last_change_is_dropped_and_the_others_stay() {
    let place = Place::new();
    let kv = place.open().unwrap();
    put(&kv, "a", b"1");
    put(&kv, "b", b"2");
    drop(kv);
    let whole = std::fs::read(place.file()).unwrap();
    std::fs::write(place.file(), &whole[..whole.len() - 3]).unwrap();
    let kv = place.open().unwrap();
    assert_eq!((kv.get("a"), kv.get("b")), (Some(b"1".to_vec()), None));
    put(&kv, "c", b"3");
    drop(kv);
    let kv = place.open().unwrap();
    assert_eq!((kv.get("a"), kv.get("c")), (Some(b"1".to_vec()), Some(b"3".to_vec())));
}

#[test]
fn history_is_rewritten_away_and_the_file_is_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    let kv = place.open().unwrap();
    let value = vec![7; 64 << 10];
    for _ in 0..100 {
        put(&kv, "same", &value);
    }
    put(&kv, "last", b"1");
    let file = std::fs::metadata(place.file()).unwrap();
    assert!(file.len() < 2 << 20, "{} bytes", file.len());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    drop(kv);
    let kv = place.open().unwrap();
    assert_eq!((kv.get("same"), kv.get("last")), (Some(value), Some(b"1".to_vec())));
}

#[test]
fn limits_are_told_and_leave_the_memory_as_it_was() {
    let place = Place::new();
    let kv = place.open().unwrap();
    assert!(matches!(kv.put("k".repeat(513), Vec::new()), Err(KvError::TooLarge(_))));
    assert!(matches!(kv.put("k".to_owned(), vec![0; (256 << 10) + 1]), Err(KvError::TooLarge(_))));
    let value = vec![0; 256 << 10];
    for n in 0..15 {
        put(&kv, &n.to_string(), &value);
    }
    assert!(
        matches!(kv.put("full".to_owned(), value.clone()), Err(KvError::TooLarge(text)) if text.contains("4194304"))
    );
    put(&kv, "3", &value);
    kv.delete("3").unwrap();
    put(&kv, "full", &value);
}

#[test]
fn two_hosts_cannot_share_a_memory() {
    let place = Place::new();
    let first = place.open().unwrap();
    let error = place.open().err().unwrap();
    assert!(error.to_string().contains("another pluglet"), "{error}");
    drop(first);
    place.open().unwrap();
}

#[test]
fn a_file_of_another_kind_is_not_overwritten() {
    let place = Place::new();
    drop(place.open().unwrap());
    std::fs::write(place.file(), b"precious").unwrap();
    assert!(matches!(place.open(), Err(OpenError::Format(_))));
    assert_eq!(std::fs::read(place.file()).unwrap(), b"precious");
}

#[test]
fn tiny_keys_are_not_free() {
    let place = Place::new();
    let kv = place.open().unwrap();
    let refused = (0..33_000).find(|n| kv.put(format!("{n:x}"), Vec::new()).is_err()).unwrap();
    assert!(refused >= 30_000, "{refused}");
    drop(kv);
    // Counted likewise when the file is read.
    let kv = place.open().unwrap();
    assert!(matches!(kv.put("other".to_owned(), Vec::new()), Err(KvError::TooLarge(_))));
    kv.delete("0").unwrap();
    put(&kv, "9", b"");
}

#[test]
fn a_file_of_tiny_entries_is_not_taken_for_garbage() {
    let place = Place::new();
    // So many that what their records have besides keys is more than the history that is tolerated.
    let map: BTreeMap<String, Vec<u8>> = (0..300_000).map(|n| (format!("{n:x}"), Vec::new())).collect();
    let (mut journal, _) = Journal::open(place.0.path(), "mock").unwrap();
    journal.rewrite(&map).unwrap();
    assert!(!journal.is_mostly_garbage(cost_of(&map)));
}

#[test]
fn what_is_over_the_quota_can_be_made_smaller() {
    let place = Place::new();
    let kv = place.open().unwrap();
    put(&kv, "a", &[0; 2000]);
    drop(kv);
    let kv = Kv::open(place.0.path(), "node", "mock", 1000).unwrap();
    assert!(kv.put("b".to_owned(), Vec::new()).is_err());
    put(&kv, "a", &[0; 1500]);
}
