use std::fs;

use super::*;

fn open(path: &Path) -> Result<Watched<Secret>, FileError> {
    let path = path.to_owned();
    Watched::open(move |reader| reader.line(&path))
}

fn bytes(watched: &Watched<Secret>) -> Vec<u8> {
    watched.current().0.as_bytes().to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_seen_at_the_next_look_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "first\r\n").unwrap();
    let watched = open(&path).unwrap();
    fs::write(&path, "second\n\n").unwrap();
    assert_eq!(bytes(&watched), b"first");
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(bytes(&watched), b"second");
    assert_eq!(watched.current().1, 1);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_swapped_is_a_change_as_kubernetes_does_it() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("..data");
    for name in ["one", "two"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("token"), name).unwrap();
    }
    std::os::unix::fs::symlink("one", &link).unwrap();
    let watched = open(&link.join("token")).unwrap();
    std::os::unix::fs::symlink("two", dir.path().join("new")).unwrap();
    fs::rename(dir.path().join("new"), &link).unwrap();
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(bytes(&watched), b"two");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_vanishes_or_breaks_leaves_the_old_value_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "first").unwrap();
    let watched = open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(bytes(&watched), b"first");
    fs::write(&path, "\n").unwrap();
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(bytes(&watched), b"first");
    fs::write(&path, "second").unwrap();
    tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(bytes(&watched), b"second");
}

#[tokio::test(start_paused = true)]
async fn rereading_does_not_wait_and_the_same_content_is_the_same_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "first").unwrap();
    let watched = open(&path).unwrap();
    fs::write(&path, "first").unwrap();
    assert_eq!(watched.reread().1, 0);
    fs::write(&path, "other").unwrap();
    assert_eq!(watched.reread().1, 1);
}

#[test]
fn what_cannot_be_a_secret_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let refused = || open(&path).err().unwrap();
    assert!(matches!(refused(), FileError::Read { .. }));
    fs::write(&path, " \n").unwrap();
    assert!(matches!(refused(), FileError::Empty { .. }));
    fs::write(&path, vec![b'a'; MAX_FILE_BYTES + 1]).unwrap();
    assert!(matches!(refused(), FileError::TooLarge { .. }));
    fs::write(&path, vec![b'a'; MAX_FILE_BYTES]).unwrap();
    assert!(open(&path).is_ok());
    assert!(matches!(open(dir.path()).err().unwrap(), FileError::Read { .. }));
}

#[test]
fn a_word_has_no_space_in_it_but_may_have_some_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "  abc.def \r\n").unwrap();
    assert_eq!(Reader::new().word(&path).unwrap().as_bytes(), b"abc.def");
    for content in ["Bearer abc", "abc\ndef", "ab\u{e9}"] {
        fs::write(&path, content).unwrap();
        assert!(matches!(Reader::new().word(&path), Err(FileError::Parse { .. })), "{content}");
    }
}
