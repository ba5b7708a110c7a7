//! What a render would change, as a unified diff. Reads, and changes nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

use crate::render::output::Tree;
use crate::render::workspace::Changes;

/// How long the best diff of one file is searched for; after that a longer one will do.
const PATIENCE: Duration = Duration::from_millis(500);

/// Writes the differences between a repository and what was rendered.
pub(crate) fn unified(root: &Path, tree: &Tree, changes: &Changes) -> String {
    let mut paths: Vec<&String> = changes.paths().collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| file(root, tree, path))
        .collect()
}

fn file(root: &Path, tree: &Tree, path: &str) -> String {
    let place = root.join(path);
    let is_file = fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_file());
    let before = if is_file { fs::read(&place).ok() } else { None };
    let after = tree.get(path).map(|output| &output.content);
    let (from, to) = (
        side("a", path, before.is_some()),
        side("b", path, after.is_some()),
    );
    let (before, after) = (
        before.unwrap_or_default(),
        after.cloned().unwrap_or_default(),
    );
    if before == after {
        return format!(
            "--- {from}\n+++ {to}\n# {}\n",
            same_bytes(tree, path, is_file)
        );
    }
    match (std::str::from_utf8(&before), std::str::from_utf8(&after)) {
        (Ok(before), Ok(after)) => TextDiff::configure()
            .timeout(PATIENCE)
            .diff_lines(before, after)
            .unified_diff()
            .context_radius(3)
            .header(&from, &to)
            .to_string(),
        _ => format!("--- {from}\n+++ {to}\n# not text\n"),
    }
}

fn side(letter: &str, path: &str, exists: bool) -> String {
    if exists {
        format!("{letter}/{path}")
    } else {
        "/dev/null".to_owned()
    }
}

/// Says what else changes in a file whose bytes stay.
fn same_bytes(tree: &Tree, path: &str, is_file: bool) -> &'static str {
    match tree.get(path) {
        Some(output) if is_file && output.executable => "becomes executable",
        Some(_) if is_file => "is no longer executable",
        Some(_) => "becomes an empty file",
        None if is_file => "an empty file that goes",
        None => "not a file; it goes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::Output;

    #[test]
    fn every_kind_of_change_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let generated = directory.path().join("platform/generated");
        fs::create_dir_all(&generated).unwrap();
        for (name, content) in [
            ("changed", &b"1\n2\n3\n"[..]),
            ("gone", b"x\n"),
            ("mode", b"#!\n"),
            ("binary", b"\xff"),
        ] {
            fs::write(generated.join(name), content).unwrap();
        }
        let path = |name: &str| format!("platform/generated/{name}");
        let tree = Tree::from([
            (path("changed"), Output::text("1\ntwo\n3\n")),
            (
                path("mode"),
                Output {
                    content: b"#!\n".to_vec(),
                    executable: true,
                },
            ),
            (
                path("binary"),
                Output {
                    content: b"\xfe".to_vec(),
                    executable: false,
                },
            ),
            (path("new"), Output::text("y\n")),
        ]);
        let changes = Changes::find(directory.path(), &tree).unwrap();
        assert_eq!(
            unified(directory.path(), &tree, &changes),
            "\
--- a/platform/generated/binary
+++ b/platform/generated/binary
# not text
--- a/platform/generated/changed
+++ b/platform/generated/changed
@@ -1,3 +1,3 @@
 1
-2
+two
 3
--- a/platform/generated/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
--- a/platform/generated/mode
+++ b/platform/generated/mode
# becomes executable
--- /dev/null
+++ b/platform/generated/new
@@ -0,0 +1 @@
+y
"
        );
    }
}
