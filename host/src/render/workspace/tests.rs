//! Tests of the commit: what changes, what stays, and every place at which it can be cut off.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::disk::Fuse;
use super::*;
use crate::render::output::Output;

struct World {
    directory: tempfile::TempDir,
    repository: Repository,
}

/// Everything in the repository but the cache: path → what it is.
type Snapshot = BTreeMap<String, String>;

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        Self {
            directory,
            repository,
        }
    }

    /// A repository with an older render and things that do not belong there.
    fn with_old_render() -> Self {
        let world = Self::new();
        world.put("platform.yaml", "x");
        for path in [
            "same",
            "changed",
            "dir-to-file/a",
            "file-to-dir",
            "old/deep/er/gone",
            "nodes/n1/config.yaml",
        ] {
            world.put(&format!("platform/generated/{path}"), path);
        }
        world.put("platform/lock.json", "old lock");
        world.put("platform/mine.txt", "the operator's");
        world.put("outside/target", "not ours");
        std::os::unix::fs::symlink("../../outside", world.path("platform/generated/link")).unwrap();
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn snapshot(&self) -> Snapshot {
        fn walk(root: &Path, directory: &Path, found: &mut Snapshot) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().display().to_string();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if name == ".zerotouch-cache" {
                    continue;
                } else if metadata.is_dir() {
                    found.insert(name, "directory".into());
                    walk(root, &path, found);
                } else if metadata.is_file() {
                    let executable = metadata.permissions().mode() & 0o100 != 0;
                    found.insert(
                        name,
                        format!("{} {executable}", fs::read_to_string(&path).unwrap()),
                    );
                } else {
                    found.insert(name, "link".into());
                }
            }
        }
        let mut found = Snapshot::new();
        walk(self.directory.path(), self.directory.path(), &mut found);
        found
    }

    fn commit(&self, tree: &Tree, disk: &Disk) -> Result<(), Failure> {
        let changes = Changes::find(self.directory.path(), tree).unwrap();
        commit_with(&self.repository, tree, &changes, disk)
    }

    fn is_clean(&self) -> bool {
        leftovers(&self.repository).unwrap().is_empty()
    }
}

fn disk(after: usize, for_good: bool) -> Disk {
    Disk {
        fuse: Some(Fuse {
            after: Cell::new(after),
            for_good,
        }),
    }
}

fn tree() -> Tree {
    let script = Output {
        content: b"#!".to_vec(),
        executable: true,
    };
    let generated =
        |path: &str, content: &str| (format!("platform/generated/{path}"), Output::text(content));
    Tree::from([
        generated("same", "same"),
        generated("changed", "new"),
        generated("dir-to-file", "now a file"),
        generated("file-to-dir/b", "now below a directory"),
        generated("link/c", "where a link was"),
        generated("nodes/n1/config.yaml", "nodes/n1/config.yaml"),
        generated("nodes/n2/config.yaml", "n2"),
        generated("nodes/n2/more.yaml", "n2"),
        ("platform/generated/debug/run.sh".to_owned(), script),
        ("platform/lock.json".to_owned(), Output::text("new lock")),
        (
            "bootstrap/pipeline/production.yaml".to_owned(),
            Output::text("stages: []\n"),
        ),
    ])
}

#[test]
fn a_commit_changes_what_differs_and_nothing_else() {
    let world = World::with_old_render();
    let inode = |path: &str| {
        fs::metadata(world.path(path))
            .map(|metadata| (metadata.ino(), metadata.mtime_nsec()))
            .unwrap()
    };
    let before = (
        inode("platform/generated/same"),
        inode("platform/generated/nodes/n1/config.yaml"),
    );
    let changes = Changes::find(world.directory.path(), &tree()).unwrap();
    let generated = |paths: &[&str]| {
        paths
            .iter()
            .map(|path| format!("platform/generated/{path}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        changes.added,
        [
            vec!["bootstrap/pipeline/production.yaml".to_owned()],
            generated(&[
                "debug/run.sh",
                "file-to-dir/b",
                "link/c",
                "nodes/n2/config.yaml",
                "nodes/n2/more.yaml"
            ]),
        ]
        .concat()
    );
    assert_eq!(
        changes.changed,
        [
            generated(&["changed", "dir-to-file"]),
            vec!["platform/lock.json".to_owned()]
        ]
        .concat()
    );
    assert_eq!(changes.removed, generated(&["old/deep/er/gone"]));
    assert_eq!(changes.unchanged, 2);

    world.commit(&tree(), &Disk::default()).unwrap();
    assert_eq!(
        (
            inode("platform/generated/same"),
            inode("platform/generated/nodes/n1/config.yaml")
        ),
        before
    );
    let snapshot = world.snapshot();
    for (path, output) in tree() {
        assert_eq!(
            snapshot[&path],
            format!(
                "{} {}",
                String::from_utf8(output.content).unwrap(),
                output.executable
            )
        );
    }
    assert_eq!(snapshot["outside/target"], "not ours false");
    assert_eq!(snapshot["platform/mine.txt"], "the operator's false");
    assert!(!snapshot.contains_key("platform/generated/old"));
    assert!(world.is_clean());
    assert!(
        Changes::find(world.directory.path(), &tree())
            .unwrap()
            .is_empty()
    );
}

/// Returns the state before, the state after and the number of operations of a whole commit.
fn ends() -> (Snapshot, Snapshot, usize) {
    let world = World::with_old_render();
    let old = world.snapshot();
    let disk = disk(usize::MAX / 2, false);
    world.commit(&tree(), &disk).unwrap();
    let left = disk.fuse.unwrap().after.get();
    (old, world.snapshot(), usize::MAX / 2 - left)
}

#[test]
fn a_commit_that_is_killed_anywhere_is_repaired_to_old_or_new() {
    let (old, new, operations) = ends();
    assert!(operations > 20, "{operations}");
    let (mut olds, mut news) = (0, 0);
    for cut in 0..=operations {
        let world = World::with_old_render();
        let _ = world.commit(&tree(), &disk(cut, true));
        repair(&world.repository).unwrap();
        let found = world.snapshot();
        assert!(
            found == old || found == new,
            "mixed after {cut} operations: {found:#?}"
        );
        assert!(world.is_clean(), "left over after {cut} operations");
        if found == old { olds += 1 } else { news += 1 }
    }
    assert!(olds > 0 && news > 0);
}

#[test]
fn a_repair_that_is_killed_anywhere_is_repaired_too() {
    let (old, new, operations) = ends();
    for cut in 0..=operations {
        for second in (cut % 12..=operations).step_by(12) {
            let world = World::with_old_render();
            let _ = world.commit(&tree(), &disk(cut, true));
            let _ = repair_with(&world.repository, &disk(second, true));
            repair(&world.repository).unwrap();
            let found = world.snapshot();
            assert!(
                found == old || found == new,
                "mixed after {cut} and {second} operations: {found:#?}"
            );
        }
    }
}

#[test]
fn an_operation_that_fails_leaves_the_old_state() {
    let (old, new, operations) = ends();
    for cut in 0..operations {
        let world = World::with_old_render();
        match world.commit(&tree(), &disk(cut, false)) {
            Ok(()) => assert_eq!(world.snapshot(), new),
            Err(failure) => {
                assert_eq!(failure.message, "failed to write `the rendered files`");
                assert_eq!(failure.details[1], "nothing was changed");
                assert_eq!(world.snapshot(), old, "after {cut} operations");
                assert!(world.is_clean(), "left over after {cut} operations");
            }
        }
    }
}

#[test]
fn a_directory_that_cannot_be_written_leaves_the_old_state() {
    let world = World::with_old_render();
    let old = world.snapshot();
    let nodes = world.path("platform/generated/nodes");
    fs::set_permissions(&nodes, fs::Permissions::from_mode(0o555)).unwrap();
    let result = world.commit(&tree(), &Disk::default());
    fs::set_permissions(&nodes, fs::Permissions::from_mode(0o755)).unwrap();
    // The administrator may write everywhere.
    if !rustix::process::geteuid().is_root() {
        assert_eq!(
            result.unwrap_err().message,
            "failed to write `the rendered files`"
        );
        assert_eq!(world.snapshot(), old);
    }
}

#[test]
fn a_first_render_makes_everything() {
    let world = World::new();
    world.commit(&tree(), &Disk::default()).unwrap();
    let files = world
        .snapshot()
        .into_iter()
        .filter(|(_, kind)| kind != "directory")
        .count();
    assert_eq!(files, tree().len());
}

#[test]
fn directories_of_the_operator_are_not_written_through_links() {
    let world = World::new();
    fs::create_dir(world.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", world.path("platform")).unwrap();
    let failure = Changes::find(world.directory.path(), &tree()).unwrap_err();
    assert_eq!(
        failure.message,
        "`platform` is not a directory, and ztc does not write through links"
    );
    assert_eq!(failure.exit, crate::error::Exit::Refused);
}

#[test]
fn one_render_at_a_time() {
    let world = World::new();
    let held = RenderLock::take(&world.repository, Duration::ZERO).unwrap();
    let failure = RenderLock::take(&world.repository, Duration::ZERO).unwrap_err();
    assert_eq!(
        failure.message,
        "another `ztc` is rendering in this repository"
    );
    drop(held);
    RenderLock::take(&world.repository, Duration::ZERO).unwrap();
}

#[test]
fn kept_files_replace_those_kept_before_and_survive_a_repair() {
    let world = World::new();
    let first = keep(
        &world.repository,
        &BTreeMap::from([("talos/params.json".to_owned(), b"{}".to_vec())]),
    )
    .unwrap();
    let second = keep(
        &world.repository,
        &BTreeMap::from([("talos/params.json".to_owned(), b"[]".to_vec())]),
    )
    .unwrap();
    assert_eq!(repair(&world.repository).unwrap(), Repaired::Nothing);
    assert!(!first.exists());
    assert_eq!(fs::read(second.join("talos/params.json")).unwrap(), b"[]");
}
