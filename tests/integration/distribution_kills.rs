//! SIGKILL at every point of the commands that change what is installed, believed, locked, mirrored or published: before each change of a file that they
//! make, one after the other. Afterwards every file is the old one or the new one, and the same command does the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::distribution::{Publisher, machine};
use crate::distribution_team::{release, rendered, team};
use crate::environment::{collect, programs};
use crate::needs::tracing;

/// The calls that change files. What is only opened changes nothing yet.
const CHANGES: &str = "/^(rename|unlink|mkdir|rmdir|link|symlink|chmod|fchmod|truncate|ftruncate|fsync|fdatasync|write|pwrite|copy_file|sendfile).*";

/// Everything that is not a program under test.
const PARTS: [&str; 4] = ["repo", "home", "tree", "mirror"];

/// Every file by its path below the environment, without times.
type Files = BTreeMap<String, String>;

/// A state of the world to which every kill goes back.
struct World {
    publisher: Publisher,
}

impl World {
    fn new(publisher: Publisher) -> Self {
        let world = Self { publisher };
        fs::create_dir(world.at("base")).unwrap();
        for part in PARTS.map(|part| world.at(part)) {
            if part.exists() {
                copy(&part, &world.at("base"));
            }
        }
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.publisher.environment.root().join(name)
    }

    fn back(&self) {
        for part in PARTS {
            let _ = fs::remove_dir_all(self.at(part));
            let base = self.at("base").join(part);
            if base.exists() {
                copy(&base, &self.at(""));
            }
        }
    }

    fn files(&self) -> Files {
        let mut files = BTreeMap::new();
        for part in PARTS.map(|part| self.at(part)) {
            if part.exists() {
                collect(&self.at(""), &part, &mut files);
            }
        }
        let text = |(path, content): (String, Vec<u8>)| {
            (path, timeless(&String::from_utf8_lossy(&content)))
        };
        let is_shared = |(path, _): &(String, Vec<u8>)| !path.contains("/.zerotouch-cache/");
        files.into_iter().filter(is_shared).map(text).collect()
    }

    /// Runs a command under `strace`; its arguments say what is killed. Says whether the command was, and what `strace` has seen.
    fn traced(&self, command: &[&str], calls: &str, options: &[&str]) -> (bool, String) {
        let (log, ztc) = (self.at("log"), self.publisher.environment.command(&[]));
        let mut strace = Command::new("strace");
        strace
            .arg("-o")
            .arg(&log)
            .args(["-e", &format!("trace={calls}")])
            .args(options)
            .arg(programs().join("ztc"))
            .args(command)
            .current_dir(self.at("repo"))
            .env_clear()
            .stdin(Stdio::null());
        for (name, value) in ztc.get_envs() {
            strace.env(name, value.unwrap_or_default());
        }
        let output = strace.output().unwrap();
        let killed = output.status.signal() == Some(9);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(killed || output.status.success(), "{command:?}\n{said}");
        (killed, fs::read_to_string(log).unwrap())
    }

    /// Every change of a file that a command makes: the name of the call, and how many of that name there were by then.
    fn changes(&self, command: &[&str]) -> Vec<(String, usize)> {
        let (_, log) = self.traced(command, CHANGES, &[]);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let calls = log.lines().filter_map(|line| Some(line.split_once('(')?.0));
        calls
            .map(|call| {
                let count = counts.entry(call).or_default();
                *count += 1;
                (call.to_owned(), *count)
            })
            .collect()
    }

    /// Kills a command before one of its changes; says which that was.
    fn kill(&self, command: &[&str], (call, number): &(String, usize)) -> String {
        let inject = format!("inject={call}:signal=KILL:when={number}");
        let (killed, log) = self.traced(command, call, &["-e", &inject]);
        assert!(killed, "{command:?} does not come to {call} {number} again");
        let last = log.lines().rev().find(|line| line.contains('('));
        format!("{command:?}, killed before {}", last.unwrap_or_default())
    }

    /// Kills a command before each of its changes. Every file must be old or new, and `mend` must bring all of them to be new. Returns which files had
    /// become new, in the order in which they did.
    fn at_every_point(&self, command: &[&str], mend: impl Fn()) -> String {
        let old = self.files();
        let changes = self.changes(command);
        let new = self.files();
        assert_ne!(old, new, "{command:?} changes nothing");
        let mut steps: Vec<String> = Vec::new();
        for change in &changes {
            self.back();
            let what = self.kill(command, change);
            let now = self.files();
            check(&what, &old, &now, &new);
            let verify = self.publisher.run(&["plugins", "verify"]);
            assert_eq!(verify.code, Some(0), "{what}\n{verify}");
            for step in self.steps(&old, &now, &new) {
                if !steps.contains(&step) {
                    steps.push(step);
                }
            }
            mend();
            same(&what, &self.files(), &new);
        }
        steps.join("\n")
    }

    /// The files that are new already.
    fn steps(&self, old: &Files, now: &Files, new: &Files) -> Vec<String> {
        let is_new =
            |path: &&String| old.get(*path) != new.get(*path) && now.get(*path) == new.get(*path);
        let all: BTreeSet<&String> = old.keys().chain(new.keys()).filter(is_new).collect();
        let named = all.into_iter().map(|path| {
            let word = match (old.get(path), new.get(path)) {
                (None, _) => "made",
                (_, None) => "removed",
                _ => "changed",
            };
            let path = path
                .replace("home/.local/share/ztc/", "")
                .replace("home/.config/ztc/", "");
            let path = self.publisher.environment.filtered(&path);
            // A mirror names its sources by where they are.
            let path = match path
                .strip_prefix("mirror/")
                .and_then(|rest| rest.split_once('/'))
            {
                Some((_, rest)) => format!("mirror/[SOURCE]/{rest}"),
                None => path,
            };
            format!("{word} {}", path.replace(&machine(), "[MACHINE]"))
        });
        named.collect()
    }
}

fn copy(from: &Path, into: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(into).status();
    assert!(copied.unwrap().success());
}

/// Takes out the times of JSON.
fn timeless(text: &str) -> String {
    let is_time = |word: &str| {
        word.len() >= 20
            && word.starts_with("20")
            && word.ends_with('Z')
            && word.as_bytes()[10] == b'T'
    };
    let words = text
        .split('"')
        .map(|word| if is_time(word) { "[TIME]" } else { word });
    words.collect::<Vec<_>>().join("\"")
}

/// Whether a file is still being written, under a name of its own.
fn is_temporary(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap();
    [".tmp", ".incoming-", ".ztc-"]
        .iter()
        .any(|start| name.starts_with(start))
}

fn check(what: &str, old: &Files, now: &Files, new: &Files) {
    for (path, content) in now.iter().filter(|(path, _)| !is_temporary(path)) {
        let fits = [old, new]
            .iter()
            .any(|files| files.get(path) == Some(content));
        assert!(fits, "{what}: `{path}` is neither old nor new:\n{content}");
    }
    for path in old.keys().filter(|path| new.contains_key(*path)) {
        assert!(now.contains_key(path), "{what}: `{path}` is gone");
    }
}

fn same(what: &str, now: &Files, new: &Files) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(now), names(new), "{what}: other files");
    for (path, content) in now {
        assert_eq!(content, &new[path], "{what}: `{path}`");
    }
}

#[test]
fn an_installation_is_survived_at_every_point() {
    if !tracing() {
        return;
    }
    let world = World::new(Publisher::new());
    let install = ["plugins", "install", "hello", "--source", "../tree"];
    let mend = || drop(world.publisher.environment.ztc_ok(&install));
    insta::assert_snapshot!(world.at_every_point(&install, mend), @"
    made plugins.lock
    made store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]
    made trust.json
    made sources/[SHA256].json
    made installed/hello/1.0.0.json
    ");
}

#[test]
fn a_change_of_the_lock_is_survived_at_every_point() {
    if !tracing() {
        return;
    }
    let publisher = team();
    rendered(&publisher);
    release(&publisher, "1.1.0");
    let world = World::new(publisher);
    let install = ["plugins", "install", "hello@^1.1"];
    let mend = || drop(world.publisher.environment.ztc_ok(&install));
    insta::assert_snapshot!(world.at_every_point(&install, mend), @"
    changed sources/[SHA256].json
    made store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]
    made installed/hello/1.1.0.json
    changed repo/platform/lock.json
    ");
    world.back();
    let upgrade = ["plugins", "upgrade", "--yes"];
    let mend = || drop(world.publisher.environment.ztc_ok(&upgrade));
    insta::assert_snapshot!(world.at_every_point(&upgrade, mend), @"
    changed sources/[SHA256].json
    made store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]
    made installed/hello/1.1.0.json
    changed repo/platform/lock.json
    ");
}

#[test]
fn removing_is_survived_at_every_point() {
    if !tracing() {
        return;
    }
    let publisher = Publisher::new();
    publisher.install(&[]);
    let world = World::new(publisher);
    let remove = ["plugins", "remove", "hello"];
    // Where the record is gone there is nothing to remove any more, and what is left of the bytes goes with the next change.
    let mend = || {
        let run = world.publisher.run(&remove);
        assert!([Some(0), Some(4)].contains(&run.code), "{run}");
    };
    insta::assert_snapshot!(world.at_every_point(&remove, mend), @"
    removed installed/hello/1.0.0.json
    removed store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]
    ");
}

#[test]
fn a_mirror_is_survived_at_every_point() {
    if !tracing() {
        return;
    }
    let publisher = team();
    rendered(&publisher);
    let world = World::new(publisher);
    let mirror = ["plugins", "mirror", "../mirror", "--platform", "all"];
    let mend = || drop(world.publisher.environment.ztc_ok(&mirror));
    insta::assert_snapshot!(world.at_every_point(&mirror, mend), @"
    made mirror/[SOURCE]/hello/1.0.0/SHA256SUMS.minisig
    made mirror/[SOURCE]/hello/1.0.0/SHA256SUMS
    made mirror/[SOURCE]/hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]
    made mirror/[SOURCE]/hello/1.0.0/ztc-adapter-hello-1.0.0-macos-riscv64
    made mirror/[SOURCE]/mirror.json
    made mirror/[SOURCE]/index.json.minisig
    made mirror/[SOURCE]/index.json
    ");
}

#[test]
fn keys_are_pinned_and_forgotten_at_once() {
    if !tracing() {
        return;
    }
    let world = World::new(Publisher::new());
    let key = fs::read_to_string(world.at("key.pub")).unwrap();
    let key = key.lines().last().unwrap().to_owned();
    let add = ["plugins", "trust", "add", "../tree", &key];
    let mend = || drop(world.publisher.environment.ztc_ok(&add));
    insta::assert_snapshot!(world.at_every_point(&add, mend), @"
    made plugins.lock
    made trust.json
    ");
    let publisher = world.publisher;
    let _ = fs::remove_dir_all(publisher.environment.root().join("base"));
    let world = World::new(publisher);
    let remove = ["plugins", "trust", "remove", "../tree"];
    // Where it is forgotten already there is nothing to forget.
    let mend = || {
        let run = world.publisher.run(&remove);
        assert!([Some(0), Some(4)].contains(&run.code), "{run}");
    };
    insta::assert_snapshot!(world.at_every_point(&remove, mend), @"changed trust.json");
}

#[test]
fn newer_tables_of_versions_are_survived_at_every_point() {
    if !tracing() {
        return;
    }
    let publisher = Publisher::new();
    let table = publisher
        .environment
        .ztc_ok(&["plugins", "run", "talos", "versions"])
        .stdout;
    let file = publisher.tree().join("ztc-versions-talos-2.yaml");
    fs::write(file, table.replace("serial: 1", "serial: 2")).unwrap();
    publisher.publish(&[]);
    let world = World::new(publisher);
    let update = ["update-versions", "--source", "../tree"];
    let mend = || drop(world.publisher.environment.ztc_ok(&update));
    insta::assert_snapshot!(world.at_every_point(&update, mend), @"
    made plugins.lock
    made versions/[SHA256].yaml
    made trust.json
    made sources/[SHA256].json
    made versions.yaml
    ");
}

#[test]
fn publishing_is_survived_at_every_point() {
    if !tracing() {
        return;
    }
    let publisher = Publisher::new();
    publisher.install(&[]);
    publisher.put("hello", "1.1.0", &machine());
    let world = World::new(publisher);
    let environment = &world.publisher.environment;
    let publish = ["plugins", "publish", "../tree", "--key", "../key"];
    let changes = world.changes(&publish);
    let names: Vec<String> = world.files().into_keys().collect();
    for change in &changes {
        world.back();
        let what = world.kill(&publish, change);
        // Who installs meanwhile gets the old version or the new one, or is told that index and signature do not fit.
        let run = world.publisher.run(&["plugins", "upgrade", "--yes"]);
        let torn = run.stderr.contains("the signature does not fit its bytes");
        assert!(
            run.code == Some(0) || (torn && run.code == Some(5)),
            "{what}\n{run}"
        );
        environment.ztc_ok(&publish);
        environment.ztc_ok(&["plugins", "publish-check", "../tree"]);
        environment.ztc_ok(&["plugins", "upgrade", "--yes"]);
        let verify = environment.ztc_ok(&["plugins", "verify"]);
        assert!(verify.stdout.contains("1.1.0"), "{what}\n{verify}");
        let is_tree = |name: &&String| name.starts_with("tree/");
        let now: Vec<String> = world.files().into_keys().collect();
        assert!(
            now.iter().filter(is_tree).eq(names.iter().filter(is_tree)),
            "{what}\n{now:?}"
        );
    }
}
