//! Names of published files and paths inside a tree. Pure; what does not have the form is refused here, before any file is opened.

use semver::Version;

use crate::platform::structure::is_name;

/// What the executable of every adapter is called at its beginning.
pub(crate) const PREFIX: &str = "ztc-adapter-";

/// The systems for which adapters are published, as this program calls them itself.
const SYSTEMS: [&str; 2] = ["linux", "macos"];

/// The name of a published executable, taken apart: `ztc-adapter-<name>-<version>-<os>-<arch>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileName {
    pub(crate) name: String,
    pub(crate) version: Version,
    /// Such as `linux-x86_64`.
    pub(crate) platform: String,
}

impl FileName {
    /// Takes a file name apart; nothing where it is another form.
    pub(crate) fn parse(file: &str) -> Option<Self> {
        let mut parts = file.strip_prefix(PREFIX)?.rsplitn(3, '-');
        let (arch, os, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (name, version) = split_version(rest);
        let platform = format!("{os}-{arch}");
        (is_name(name) && is_platform(&platform)).then_some(Self {
            name: name.to_owned(),
            version: version.filter(|version| version.build.is_empty())?,
            platform,
        })
    }

    /// Writes it.
    pub(crate) fn file(&self) -> String {
        format!("{PREFIX}{}-{}-{}", self.name, self.version, self.platform)
    }

    /// Where it lies in a tree.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}/{}", self.name, self.version, self.file())
    }
}

/// Splits `bgp-check-1.2.0` into its name and its version.
pub(crate) fn split_version(file: &str) -> (&str, Option<Version>) {
    let splits = file
        .match_indices('-')
        .map(|(at, _)| (&file[..at], &file[at + 1..]));
    let found = splits
        .filter_map(|(name, rest)| Some((name, Version::parse(rest).ok()?)))
        .next();
    found.map_or((file, None), |(name, version)| (name, Some(version)))
}

/// Whether a text is a system and an architecture, such as `linux-x86_64`.
pub(crate) fn is_platform(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split_once('-').is_some_and(|(os, arch)| {
        SYSTEMS.contains(&os) && !arch.is_empty() && arch.chars().all(word)
    })
}

/// Says why a path must not be followed inside a tree; nothing where it stays inside.
pub(crate) fn path_problem(path: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._+/".contains(c);
    match () {
        () if path.is_empty() => Some("it is empty"),
        () if path.starts_with('/') => Some("it is absolute"),
        () if path.split('/').any(|part| part == "..") => Some("it leaves the tree"),
        () if path.split('/').any(|part| part.is_empty() || part == ".") => {
            Some("it has empty parts")
        }
        () if !path.chars().all(plain) => {
            Some("it has characters other than letters, digits, `-`, `.`, `_`, `+` and `/`")
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_taken_apart() {
        let parse = |file: &str| {
            FileName::parse(file).map(|it| format!("{} {} {}", it.name, it.version, it.platform))
        };
        for (file, expected) in [
            (
                "ztc-adapter-bgp-check-1.2.0-linux-x86_64",
                Some("bgp-check 1.2.0 linux-x86_64"),
            ),
            (
                "ztc-adapter-a-1.0.0-rc.1-macos-aarch64",
                Some("a 1.0.0-rc.1 macos-aarch64"),
            ),
            ("ztc-adapter-a-1.0.0+b-linux-x86_64", None),
            ("ztc-adapter-a-1.0.0-windows-x86_64", None),
            ("ztc-adapter-a-linux-x86_64", None),
            ("ztc-adapter-A-1.0.0-linux-x86_64", None),
            ("ztc-adapter-a-1.0.0-linux-x86_64.minisig", None),
            ("other-1.0.0-linux-x86_64", None),
        ] {
            assert_eq!(parse(file).as_deref(), expected, "{file}");
            if let Some(name) = FileName::parse(file) {
                assert_eq!(name.file(), file);
            }
        }
    }

    #[test]
    fn paths_stay_inside() {
        for (path, problem) in [
            ("a/1.0.0/ztc-adapter-a-1.0.0-linux-x86_64", None),
            ("..b/c", None),
            ("", Some("it is empty")),
            ("/etc/passwd", Some("it is absolute")),
            ("../a", Some("it leaves the tree")),
            ("a/../../b", Some("it leaves the tree")),
            ("a//b", Some("it has empty parts")),
            ("./a", Some("it has empty parts")),
        ] {
            assert_eq!(path_problem(path), problem, "{path}");
        }
        for strange in ["a\\b", "https:a", "a b", "a\u{202e}b", "a%2e%2e", "a?b"] {
            assert!(path_problem(strange).is_some(), "{strange}");
        }
    }

    #[test]
    fn versions_are_told_from_names() {
        for (file, name, version) in [
            ("bgp", "bgp", None),
            ("bgp-check-1.2.0", "bgp-check", Some("1.2.0")),
            ("k8s-2", "k8s-2", None),
            ("a-1.0.0-rc.1", "a", Some("1.0.0-rc.1")),
        ] {
            let (found, found_version) = split_version(file);
            assert_eq!(
                (
                    found,
                    found_version.map(|version| version.to_string()).as_deref()
                ),
                (name, version)
            );
        }
    }
}
