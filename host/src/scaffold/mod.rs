//! A small working adapter in a language of the author's choice. The templates are working adapters themselves, called `my-adapter`; what is
//! written is their text with the author's name. Writes a new directory and never changes a file that is there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure};

/// The name in the templates.
const TEMPLATE: &str = "my-adapter";

/// The languages that there are templates for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Language {
    /// With the crate ztc-adapter-sdk
    Rust,
    /// Standard library only
    Python,
    /// POSIX sh and jq
    Sh,
    /// No packages
    Node,
}

/// What is wanted.
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    pub(crate) language: Language,
    /// A local copy of the SDK.
    pub(crate) sdk: Option<&'a Path>,
    /// The directory, which must not exist or be empty.
    pub(crate) directory: &'a Path,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// All files, relative to the directory.
    pub(crate) files: Vec<String>,
    /// The adapter's program, relative to the directory; in Rust it must be built first.
    pub(crate) program: PathBuf,
}

struct File {
    path: String,
    text: String,
    executable: bool,
}

/// Writes the adapter.
pub(crate) fn write(wish: &Wish<'_>) -> Result<Written, Failure> {
    check_name(wish.name)?;
    check_place(wish.directory)?;
    let files = files(wish)?;
    for file in &files {
        let path = wish.directory.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| Failure::io("make", parent, &error))?;
        }
        fs::write(&path, &file.text).map_err(|error| Failure::io("write", &path, &error))?;
        if file.executable {
            make_executable(&path)?;
        }
    }
    Ok(Written {
        files: files.into_iter().map(|file| file.path).collect(),
        program: program(wish).into(),
    })
}

/// Writes a path so that it is one for a shell and for `ztc plugins test`, and not a name.
pub(crate) fn with_slash(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains('/') {
        text
    } else {
        format!("./{text}")
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && name.chars().all(plain) && !name.ends_with('-') && name.len() <= 40 {
        return Ok(());
    }
    Err(Failure::invalid(format!("`{name}` cannot be the name of an adapter"))
        .help("use lower-case letters, digits and hyphens, a letter first, at most 40, such as `bgp-check`"))
}

fn check_place(directory: &Path) -> Result<(), Failure> {
    match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::io("open", directory, &error)),
        Ok(false) => Err(Failure::new(
            Exit::Refused,
            format!("the directory `{}` is not empty", directory.display()),
        )
        .help("name another directory with `--to DIR`")),
    }
}

fn program(wish: &Wish<'_>) -> String {
    let name = format!("ztc-adapter-{}", wish.name);
    match wish.language {
        Language::Rust => format!("target/debug/{name}"),
        _ => name,
    }
}

fn files(wish: &Wish<'_>) -> Result<Vec<File>, Failure> {
    let own = |text: &str| {
        text.replace(TEMPLATE, wish.name)
            .replace("my_adapter", &wish.name.replace('-', "_"))
    };
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: own(text),
        executable: false,
    };
    let script = |text: &str| File {
        executable: true,
        ..file(&program(wish), text)
    };
    let readme = |build: &str| {
        let text = include_str!("templates/README.md");
        file(
            "README.md",
            &text
                .replace("PROGRAM", &program(wish))
                .replace("RELEASED", &program(wish).replace("/debug/", "/release/"))
                .replace("SDK_REPOSITORY", env!("CARGO_PKG_REPOSITORY"))
                .replace("BUILD\n", build),
        )
    };
    let workflow = |head: &str| {
        let text = format!("{head}{}", include_str!("templates/release-publish.yml"))
            .replace("ZTC_VERSION", env!("CARGO_PKG_VERSION"))
            .replace("ZTC_REPOSITORY", env!("CARGO_PKG_REPOSITORY"));
        file(".github/workflows/release.yml", &text)
    };
    let script_workflow = || workflow(include_str!("templates/release-script.yml"));
    let ignored = || file(".gitignore", "/tree\n*.key\n");
    Ok(match wish.language {
        Language::Rust => vec![
            readme("Build it with `cargo build`.\n"),
            file("Cargo.toml", &manifest(wish.sdk)?),
            file(".gitignore", "/target\n/tree\n*.key\n"),
            workflow(include_str!("templates/release-rust.yml")),
            file("src/main.rs", include_str!("templates/rust/src/main.rs")),
        ],
        Language::Python => vec![
            readme("It needs Python 3.8 or later and no packages.\n"),
            script(include_str!("templates/python/adapter.py")),
            ignored(),
            script_workflow(),
        ],
        Language::Sh => vec![
            readme("It needs a POSIX shell, `jq` 1.6 or later, and `sha256sum` or `shasum`.\n"),
            script(include_str!("templates/sh/adapter.sh")),
            ignored(),
            script_workflow(),
        ],
        Language::Node => vec![
            readme("It needs Node.js 18 or later and no packages.\n"),
            script(include_str!("templates/node/adapter.js")),
            ignored(),
            script_workflow(),
        ],
    })
}

/// The `Cargo.toml` of an adapter in Rust.
fn manifest(sdk: Option<&Path>) -> Result<String, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let sdk = match sdk {
        None => format!("\"{version}\""),
        Some(path) => {
            let path = fs::canonicalize(path).map_err(|error| {
                Failure::io("open", path, &error)
                    .help("give `--sdk` the directory of the crate ztc-adapter-sdk")
            })?;
            format!(
                "{{ version = \"{version}\", path = {:?} }}",
                path.display().to_string()
            )
        }
    };
    Ok(include_str!("templates/rust/manifest.toml").replace("\"SDK\"", &sdk))
}

fn make_executable(path: &Path) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .map_err(|error| Failure::io("make executable", path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish<'a>(name: &'a str, language: Language, directory: &'a Path) -> Wish<'a> {
        Wish {
            name,
            language,
            sdk: None,
            directory,
        }
    }

    const SCRIPT: [&str; 4] = [
        "README.md",
        "ztc-adapter-bgp-check",
        ".gitignore",
        ".github/workflows/release.yml",
    ];

    #[test]
    fn every_language_gets_its_files_under_the_given_name() {
        for (language, expected) in [
            (
                Language::Rust,
                vec![
                    "README.md",
                    "Cargo.toml",
                    ".gitignore",
                    ".github/workflows/release.yml",
                    "src/main.rs",
                ],
            ),
            (Language::Python, SCRIPT.to_vec()),
            (Language::Sh, SCRIPT.to_vec()),
            (Language::Node, SCRIPT.to_vec()),
        ] {
            let root = tempfile::tempdir().unwrap();
            let directory = root.path().join("new");
            let written = write(&wish("bgp-check", language, &directory)).unwrap();
            assert_eq!(written.files, expected);
            for file in &written.files {
                let text = fs::read_to_string(directory.join(file)).unwrap();
                for word in [
                    TEMPLATE,
                    "my_adapter",
                    "PROGRAM",
                    "BUILD",
                    "RELEASED",
                    "\"SDK\"",
                    "SDK_REPOSITORY",
                    "ZTC_VERSION",
                    "ZTC_REPOSITORY",
                ] {
                    assert!(!text.contains(word), "{language:?} {file}: {word}");
                }
            }
        }
    }

    #[test]
    fn nothing_that_is_there_is_touched() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("mine"), "x").unwrap();
        let failure = write(&wish("bgp", Language::Sh, root.path())).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_are_those_of_adapters() {
        for name in [
            "",
            "Bgp",
            "bgp_check",
            "-bgp",
            "bgp-",
            "1bgp",
            "../x",
            "a/b",
        ] {
            let root = tempfile::tempdir().unwrap();
            let failure = write(&wish(name, Language::Sh, root.path())).unwrap_err();
            assert_eq!(failure.exit, Exit::Invalid, "{name}");
        }
    }

    #[test]
    fn a_local_sdk_is_named_by_its_path() {
        let root = tempfile::tempdir().unwrap();
        let text = manifest(Some(root.path())).unwrap();
        let path = fs::canonicalize(root.path()).unwrap();
        assert!(
            text.contains(&format!("path = {:?}", path.display().to_string())),
            "{text}"
        );
        assert!(manifest(None).unwrap().contains("ztc-adapter-sdk = \""));
    }
}
