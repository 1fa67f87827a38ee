//! Real files in a temporary directory.

use std::os::unix::fs::PermissionsExt as _;

use pluglet_model::pod::VolumeFile;

use super::*;

fn volume(files: &[(&str, u32, &str)]) -> Volume {
    let file = |(path, mode, text): &(&str, u32, &str)| VolumeFile {
        path: (*path).to_owned(),
        mode: *mode,
        bytes: text.as_bytes().to_vec(),
    };
    Volume { name: "v".to_owned(), files: files.iter().map(file).collect() }
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_are_replaced_all_at_once_and_nothing_of_the_old_ones_stays() {
    let state = tempfile::tempdir().unwrap();
    let files = Files::open(state.path(), "uid").unwrap();
    files.write(&volume(&[("a", 0o644, "1"), ("gone", 0o600, "2"), ("deep/b", 0o400, "3")]), Owner::default()).unwrap();
    let root = files.volume("v");
    let first = std::fs::read_link(root.join("..data")).unwrap();
    assert_eq!(std::fs::read_to_string(root.join("deep/b")).unwrap(), "3");
    assert_eq!(std::fs::metadata(root.join("deep/b")).unwrap().permissions().mode() & 0o777, 0o400);

    files.write(&volume(&[("a", 0o644, "1"), ("gone", 0o600, "2"), ("deep/b", 0o400, "3")]), Owner::default()).unwrap();
    assert_eq!(std::fs::read_link(root.join("..data")).unwrap(), first, "what has not changed is not written");

    files.write(&volume(&[("a", 0o600, "4")]), Owner::default()).unwrap();
    assert_eq!(std::fs::read_to_string(root.join("a")).unwrap(), "4");
    let second = std::fs::read_link(root.join("..data")).unwrap();
    assert_eq!(names(&root), [second.to_str().unwrap(), "..data", "a"]);
    assert_eq!(second.components().count(), 1, "a link out of the directory would mean another thing in the container");
}

#[test]
fn no_name_leads_out_of_the_pods_directory() {
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("secret"), "s").unwrap();
    let files = Files::open(state.path(), "uid").unwrap();
    for path in ["../x", "/etc/x", "a/../../x", ".."] {
        assert!(files.write(&volume(&[(path, 0o644, "")]), Owner::default()).is_err(), "{path}");
    }
    assert!(Files::open(state.path(), "../other").is_err());
    assert!(Files::remove(state.path(), "../..").is_err());
    files.empty_dir("e", None).unwrap();
    for target in ["/etc", "../../../../../etc", "../../.."] {
        let link = files.volume("e").join("link");
        std::os::unix::fs::symlink(target, &link).unwrap();
        assert!(files.sub_path("e", "link", true).is_err(), "{target}");
        assert!(files.sub_path("e", "link/made", true).is_err(), "{target}");
        std::fs::remove_file(link).unwrap();
    }
    assert!(files.sub_path("e", "../../../secret", false).is_err());
    std::os::unix::fs::symlink("inside", files.volume("e").join("fine")).unwrap();
    for name in ["inside", "fine"] {
        assert_eq!(files.sub_path("e", name, true).unwrap().path, files.volume("e").join("inside"));
    }
    assert!(std::fs::read_to_string(state.path().join("secret")).is_ok());
}

#[test]
fn an_empty_dir_is_everybodys_and_stays_as_its_pod_has_made_it() {
    let state = tempfile::tempdir().unwrap();
    let files = Files::open(state.path(), "uid").unwrap();
    files.empty_dir("e", None).unwrap();
    let mode = || std::fs::metadata(files.volume("e")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o777);
    std::fs::set_permissions(files.volume("e"), std::fs::Permissions::from_mode(0o700)).unwrap();
    files.empty_dir("e", None).unwrap();
    assert_eq!(mode(), 0o700);
    Files::remove(state.path(), "uid").unwrap();
    Files::remove(state.path(), "uid").unwrap();
    assert!(!files.volume("e").exists());
}

#[test]
fn the_pods_group_owns_its_files_and_its_user_what_nobody_else_may_read() {
    use std::os::unix::fs::MetadataExt as _;
    let state = tempfile::tempdir().unwrap();
    let own = std::fs::metadata(state.path()).unwrap();
    // Others can be given away by root only.
    let (user, group) = if own.uid() == 0 { (1234, 5678) } else { (own.uid(), own.gid()) };
    let files = Files::open(state.path(), "uid").unwrap();
    let owner = Owner { user: Some(user), group: Some(group) };
    files.write(&volume(&[("a", 0o644, "1"), ("deep/b", 0o600, "3")]), owner).unwrap();
    files.empty_dir("e", Some(group)).unwrap();
    let of = |path: std::path::PathBuf| std::fs::metadata(path).unwrap();
    assert_eq!(of(files.volume("v").join("a")).gid(), group);
    assert_eq!(of(files.volume("v").join("deep")).gid(), group);
    assert_eq!((of(files.volume("v").join("deep/b")).uid(), of(files.volume("v").join("deep/b")).gid()), (user, group));
    assert_eq!((of(files.volume("e")).gid(), of(files.volume("e")).permissions().mode() & 0o7777), (group, 0o2777));
}

#[test]
fn last_words_are_read_back_and_cut() {
    let state = tempfile::tempdir().unwrap();
    let files = Files::open(state.path(), "uid").unwrap();
    assert_eq!(files.last_words("c", 3), "");
    let path = files.termination_log("c", 3).unwrap();
    std::fs::write(path, "x".repeat(5000)).unwrap();
    assert_eq!(files.last_words("c", 3).len(), 4096);
    assert_eq!(files.last_words("c", 2), "");
}
