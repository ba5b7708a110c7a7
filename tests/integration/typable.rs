//! What a failure says that helps can be typed: every option that its `help:` names is one of the command at hand, or of a command that the same
//! line names. Every test of plugins that runs `ztc` comes through here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::environment::{Run, TestEnv};

/// The options of commands, by their words.
static OPTIONS: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

/// Expects that what is said can be typed.
#[track_caller]
pub(crate) fn typable(environment: &TestEnv, arguments: &[&str], run: &Run) {
    let here = command(arguments.iter().copied());
    for help in helps(&run.stderr) {
        let quoted: Vec<&str> = help.split('`').skip(1).step_by(2).collect();
        let named: Vec<String> = quoted
            .iter()
            .filter_map(|text| {
                text.split_once("ztc ")
                    .filter(|(before, _)| is_start(before))
            })
            .map(|(_, rest)| command(rest.split(' ')))
            .collect();
        for text in &quoted {
            let own = text
                .split_once("ztc ")
                .filter(|(before, _)| is_start(before));
            let of: Vec<String> = match own {
                Some((_, rest)) => vec![command(rest.split(' '))],
                None if text.starts_with("--") => [std::slice::from_ref(&here), &named].concat(),
                None => continue,
            };
            for option in text.split(' ').filter_map(option) {
                let known = |command: &String| options(environment, command).contains(option);
                assert!(
                    of.iter().any(known),
                    "`ztc {}` says `{text}`, and `{}` has no `{option}`:\n{run}",
                    arguments.join(" "),
                    of.join("`, `")
                );
            }
        }
    }
}

/// The texts that help: the whole line, for what is not a terminal.
fn helps(stderr: &str) -> impl Iterator<Item = &str> {
    stderr
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("help: "))
}

/// Whether this may stand before the name of the program: nothing, or variables.
fn is_start(before: &str) -> bool {
    before.split_whitespace().all(|word| word.contains('='))
}

/// The words that name a command: `plugins trust add` of `plugins trust add SOURCE KEY`.
fn command<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut found: Vec<&str> = Vec::new();
    for word in words {
        let most = match found.as_slice() {
            ["plugins", "trust", ..] => 3,
            ["plugins" | "secrets", ..] => 2,
            _ => 1,
        };
        if found.len() == most || word.starts_with('-') {
            break;
        }
        found.push(word);
    }
    found.join(" ")
}

fn option(word: &str) -> Option<&str> {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let name = word.split('=').next().unwrap_or(word);
    let rest = name.strip_prefix("--")?;
    rest.starts_with(|c: char| c.is_ascii_lowercase())
        .then_some(name)
}

fn options(environment: &TestEnv, command: &str) -> BTreeSet<String> {
    if let Some(known) = OPTIONS.lock().unwrap().get(command) {
        return known.clone();
    }
    let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
    let help = environment.ztc(&words);
    assert_eq!(help.code, Some(0), "there is no `ztc {command}`: {help}");
    let words = help.stdout.split_whitespace();
    let found: BTreeSet<String> = words.filter_map(option).map(str::to_owned).collect();
    let mut all = OPTIONS.lock().unwrap();
    all.insert(command.to_owned(), found.clone());
    found
}

#[test]
fn what_cannot_be_typed_is_found() {
    let environment = TestEnv::new();
    let said = |arguments: &[&str], help: &str| {
        let run = Run {
            code: Some(5),
            stdout: String::new(),
            stderr: format!("error: no\n  help: {help}\n"),
        };
        std::panic::catch_unwind(|| typable(&environment, arguments, &run)).is_ok()
    };
    let search = ["plugins", "search", "x"];
    assert!(said(&search, "add `--source SOURCE`"));
    assert!(!said(&search, "add `--moved`"));
    assert!(said(&search, "add `--moved` to `ztc plugins install`"));
    assert!(said(
        &search,
        "run `A=b ztc plugins trust add SOURCE KEY --dry-run`"
    ));
    assert!(!said(
        &search,
        "run `ztc plugins trust add SOURCE KEY --yank`"
    ));
}
