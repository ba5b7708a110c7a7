//! What the compiler cannot check about the sources: structure, documents, forbidden things.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns every Rust source of the workspace with its text.
pub(crate) fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for directory in [
        "protocol",
        "adapter-sdk",
        "adapters",
        "host",
        "examples",
        "tests",
    ] {
        walk(&root().join(directory), &mut files);
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                walk(&path, files);
            }
        } else {
            files.push(path);
        }
    }
}

/// Fails with every source for which `wrong` says why.
#[track_caller]
fn none(wrong: impl Fn(&str, &str) -> Option<String>) {
    let found: Vec<String> = sources()
        .iter()
        .filter_map(|(name, text)| Some(format!("{name}: {}", wrong(name, text)?)))
        .collect();
    assert_eq!(found, Vec::<String>::new());
}

/// Says which of the words a text contains outside this file.
fn contains(name: &str, text: &str, words: &[&str]) -> Option<String> {
    let words = words
        .iter()
        .filter(|_| !name.ends_with("tidy.rs"))
        .filter(|word| text.contains(**word));
    words.map(|word| format!("contains `{word}`")).next()
}

#[test]
fn every_source_says_what_it_owns() {
    none(|_, text| (!text.starts_with("//!")).then(|| "does not begin with `//!`".to_owned()));
}

#[test]
fn no_source_is_longer_than_it_can_be_read() {
    none(|_, text| match text.lines().count() {
        lines @ 601.. => Some(format!("{lines} lines")),
        _ => None,
    });
}

#[test]
fn nothing_is_unfinished_or_silenced() {
    none(|name, text| {
        contains(
            name,
            text,
            &["TODO", "FIXME", "#[ignore", "#[allow(", "#![allow("],
        )
    });
}

#[test]
fn the_protocol_does_no_input_or_output() {
    none(|name, text| {
        let inside = name.starts_with("protocol/src");
        inside
            .then(|| {
                contains(
                    name,
                    text,
                    &["std::fs", "std::net", "std::process", "std::env", "tokio"],
                )
            })
            .flatten()
    });
}

#[test]
fn programs_are_started_in_three_places_only() {
    none(|name, text| {
        let allowed = [
            "host/src/process.rs",
            "host/src/adapter/process.rs",
            "adapter-sdk/src/tool.rs",
        ]
        .contains(&name);
        let product = ["protocol/", "adapter-sdk/", "adapters/", "host/"]
            .iter()
            .any(|part| name.starts_with(part) && !name.contains("/tests/"));
        (product && !allowed)
            .then(|| contains(name, text, &["Command::new("]))
            .flatten()
    });
}

#[test]
fn every_integration_test_file_is_compiled() {
    let main = fs::read_to_string(root().join("tests/integration/main.rs")).unwrap();
    for entry in fs::read_dir(root().join("tests/integration")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            assert!(
                main.contains(&format!("mod {name};")),
                "tests/integration/{name}.rs is not in main.rs"
            );
        }
    }
}

#[test]
fn the_readme_is_short() {
    let lines = fs::read_to_string(root().join("README.md"))
        .unwrap()
        .lines()
        .count();
    assert!(lines <= 150, "README.md has {lines} lines");
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let without: Vec<&str> = table
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with("ztc") && !line.starts_with('#'))
        .filter(|line| {
            line.split_once("# ")
                .is_none_or(|(_, reason)| reason.len() < 4)
        })
        .collect();
    assert_eq!(without, Vec::<&str>::new());
}

/// Returns what of a text is not inside of brackets that open behind `from`: the rest of one expression.
fn expression(text: &str) -> &str {
    let (mut depth, mut in_string, mut is_escaped) = (0_i32, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return &text[..at],
            ')' | ']' | '}' => depth -= 1,
            ';' | ',' if depth == 0 => return &text[..at],
            _ => {}
        }
    }
    text
}

#[test]
fn every_refusal_of_plugins_ends_with_what_to_type() {
    // These hand on what their callers finish with help, or have help that depends on what is near.
    let finished_elsewhere = [
        "Failure::new(Exit::Missing, message)",
        "Failure::new(Exit::Refused, message)",
        "is not installed\"",
        "no key of `{source}` is pinned",
        "answers with status {status} for `{what}`",
        "failed to keep `{path}` of `{place}`",
        "`{place}` cannot be reached",
    ];
    none(|name, text| {
        let is_plugins = ["host/src/plugins", "host/src/commands/plugins"]
            .iter()
            .any(|part| name.starts_with(part));
        let text = text.split("#[cfg(test)]\nmod tests").next()?;
        let makers = ["Failure::new(", "Failure::failed(", "Failure::invalid("];
        let places = makers.iter().flat_map(|maker| text.match_indices(maker));
        let mut wrong = places
            .filter(|_| is_plugins)
            .map(|(at, _)| expression(&text[at..]))
            .filter(|made| !made.contains(".help("))
            .filter(|made| !finished_elsewhere.iter().any(|known| made.contains(known)));
        wrong.next().map(|made| format!("no help: {made}"))
    });
}
