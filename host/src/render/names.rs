//! The names of artifacts: what a path may be, and that no two artifacts get into each other's way. Pure.

use std::collections::BTreeMap;

use crate::error::Failure;

/// The longest path and the longest name in it, in bytes; file systems end at 255 for a name.
const LONGEST_PATH: usize = 1024;
const LONGEST_NAME: usize = 255;

/// Returns why a path cannot be that of an artifact.
pub fn refuse(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("it is empty".to_owned());
    }
    if path.starts_with('/') {
        return Some("it is absolute".to_owned());
    }
    if path.len() > LONGEST_PATH {
        return Some(format!("it is longer than {LONGEST_PATH} bytes"));
    }
    if path.contains('\\') {
        return Some("it has a backslash; write `/`".to_owned());
    }
    // What an adapter says is cleaned of them before: then a replacement stands there.
    if path.chars().any(|c| c.is_control() || c == '\u{fffd}') {
        return Some("it has a character that cannot be shown".to_owned());
    }
    path.split('/').find_map(refuse_name)
}

fn refuse_name(name: &str) -> Option<String> {
    match name {
        "" => Some("it has an empty name between two slashes".to_owned()),
        "." | ".." => Some(format!("it has `{name}`")),
        _ if name.eq_ignore_ascii_case(".git") => {
            Some("git would take `.git` for a repository".to_owned())
        }
        _ if name.len() > LONGEST_NAME => {
            Some(format!("a name in it is longer than {LONGEST_NAME} bytes"))
        }
        _ => None,
    }
}

/// All paths that are taken, with their owners.
#[derive(Debug, Default)]
pub struct Names {
    /// By lower-case path: how it is written, who has it, whether it is a file.
    taken: BTreeMap<String, (String, String, bool)>,
}

impl Names {
    /// Takes a path for an owner.
    pub fn take(&mut self, owner: &str, path: &str) -> Result<(), Failure> {
        if let Some(why) = refuse(path) {
            return Err(Failure::failed(format!(
                "adapter `{owner}` rendered an artifact with the path `{path}`: {why}"
            ))
            .help("this is a bug of the adapter; tell its author"));
        }
        let ends = path.match_indices('/').map(|(end, _)| end);
        for end in ends {
            self.enter(owner, &path[..end], false)?;
        }
        self.enter(owner, path, true)
    }

    fn enter(&mut self, owner: &str, path: &str, is_file: bool) -> Result<(), Failure> {
        let key = path.to_lowercase();
        let Some((known, other, known_is_file)) = self.taken.get(&key) else {
            self.taken
                .insert(key, (path.to_owned(), owner.to_owned(), is_file));
            return Ok(());
        };
        let why = if known != path {
            format!("`{path}` and `{known}` differ only in upper and lower case")
        } else if *known_is_file != is_file {
            format!("`{path}` is a file and a directory")
        } else if is_file {
            format!("both have the artifact `{path}`")
        } else {
            return Ok(());
        };
        let (who, help) = if owner == other {
            (
                format!("adapter `{owner}`"),
                "this is a bug of the adapter; tell its author",
            )
        } else {
            let help = "paths are unique among all adapters; where two sections use the same one, it is made for one section only: leave one out, or tell its author";
            (format!("adapters `{other}` and `{owner}`"), help)
        };
        Err(Failure::failed(format!(
            "artifacts of {who} get into each other's way: {why}"
        ))
        .help(help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(path: &str, why: &str) {
        assert_eq!(refuse(path).as_deref(), Some(why), "{path}");
    }

    #[test]
    fn paths_stay_below_their_directory() {
        assert_eq!(refuse("os/talos/nodes/cp01/config.yaml"), None);
        refused("", "it is empty");
        refused("/etc/passwd", "it is absolute");
        refused("a/../b", "it has `..`");
        refused("./a", "it has `.`");
        refused("a//b", "it has an empty name between two slashes");
        refused("a/", "it has an empty name between two slashes");
        refused("a\\b", "it has a backslash; write `/`");
        refused("a\0b", "it has a character that cannot be shown");
        refused("x/.GIT/config", "git would take `.git` for a repository");
        refused(&"x".repeat(256), "a name in it is longer than 255 bytes");
        refused(&"x/".repeat(600), "it is longer than 1024 bytes");
    }

    #[track_caller]
    fn clash(paths: &[(&str, &str)], message: &str) {
        let mut names = Names::default();
        let results: Vec<_> = paths
            .iter()
            .map(|(owner, path)| names.take(owner, path))
            .collect();
        let (last, before) = results.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok));
        assert_eq!(last.as_ref().unwrap_err().message, message);
    }

    #[test]
    fn artifacts_do_not_get_into_each_others_way() {
        let way = "get into each other's way:";
        clash(
            &[("a", "x/y"), ("b", "x/y")],
            &format!("artifacts of adapters `a` and `b` {way} both have the artifact `x/y`"),
        );
        clash(
            &[("a", "x/y"), ("a", "x/Y")],
            &format!(
                "artifacts of adapter `a` {way} `x/Y` and `x/y` differ only in upper and lower case"
            ),
        );
        clash(
            &[("a", "X/y"), ("b", "x/z")],
            &format!(
                "artifacts of adapters `a` and `b` {way} `x` and `X` differ only in upper and lower case"
            ),
        );
        clash(
            &[("a", "x/y"), ("b", "x/y/z")],
            &format!("artifacts of adapters `a` and `b` {way} `x/y` is a file and a directory"),
        );
        clash(
            &[("a", "x/y/z"), ("b", "x/y")],
            &format!("artifacts of adapters `a` and `b` {way} `x/y` is a file and a directory"),
        );
    }
}
