//! The workflow that `ztc plugins new` writes for a program: what its four builds are, and that what they give is what is published. And that ztc is
//! installed there as it is installed everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::distribution_authors::{failed_publish, run_publish, steps, workflow};
use crate::environment::TestEnv;
use crate::kit::has;
use crate::tidy::root;

/// The builds: platform, target, runner.
fn matrix(workflow: &Value) -> Vec<[String; 3]> {
    let rows = &workflow["jobs"]["build"]["strategy"]["matrix"]["include"];
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let row = |row: &Value| ["platform", "target", "runner"].map(|key| text(row, key));
    rows.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn a_program_is_built_for_four_platforms_each_on_its_own_kind_of_machine() {
    let environment = TestEnv::new();
    let workflow = workflow(&environment, "rust");
    let rows: Vec<String> = matrix(&workflow).iter().map(|row| row.join(" ")).collect();
    insta::assert_snapshot!(rows.join("\n"), @"
    linux-x86_64 x86_64-unknown-linux-musl ubuntu-24.04
    linux-aarch64 aarch64-unknown-linux-musl ubuntu-24.04-arm
    macos-x86_64 x86_64-apple-darwin macos-15
    macos-aarch64 aarch64-apple-darwin macos-15
    ");
    let build = &workflow["jobs"]["build"];
    assert_eq!(build["runs-on"], "${{ matrix.runner }}");
    assert_eq!(
        (&build["env"]["PLATFORM"], &build["env"]["TARGET"]),
        (
            &"${{ matrix.platform }}".into(),
            &"${{ matrix.target }}".into()
        )
    );
    // Nothing else decides what is built.
    let strategy = build["strategy"].as_object().unwrap();
    assert_eq!(strategy.keys().collect::<Vec<_>>(), ["matrix"]);
    let keys: Vec<_> = strategy["matrix"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["include"]);
    let known = Command::new("rustc")
        .args(["--print", "target-list"])
        .output()
        .unwrap();
    let known = String::from_utf8(known.stdout).unwrap();
    for [platform, target, _] in matrix(&workflow) {
        assert!(
            known.lines().any(|it| it == target),
            "rustc knows no {target}"
        );
        let (system, arch) = platform.split_once('-').unwrap();
        let system = match system {
            "linux" => "unknown-linux-musl",
            "macos" => "apple-darwin",
            other => panic!("{other}"),
        };
        assert_eq!(target, format!("{arch}-{system}"));
    }
}

/// Stands for cargo: `build --target T` gives a script that is the adapter.
const CARGO: &str = r#"#!/bin/bash
echo "cargo $*" >> "$TMPDIR/log"
while [ "$1" != --target ]; do shift; done
mkdir -p "target/$2/release"
cp ../built "target/$2/release/ztc-adapter-my-check"
"#;

#[test]
fn what_four_machines_have_built_is_published_together() {
    if !has("python3") || !has("git") || !has("jq") {
        return;
    }
    let environment = TestEnv::new();
    let workflow = workflow(&environment, "rust");
    environment.tool("cargo", CARGO);
    environment.tool(
        "rustup",
        "#!/bin/bash\necho \"rustup $*\" >> \"$TMPDIR/log\"\n",
    );
    let prepare = "
        ztc plugins new my-check --lang python --to python >&2
        cp python/ztc-adapter-my-check ../built
        cd rust-adapter
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
        git init -q -b main
        git add -A
        git commit -q -m first
        git tag v0.1.0
        git init -q --bare ../../origin.git
        git push -q ../../origin.git main v0.1.0
        cd ../..
        git clone -q --branch v0.1.0 file://$PWD/origin.git tagged";
    let run = environment.shell("repo", prepare);
    assert_eq!(run.code, Some(0), "{run}");
    environment.ztc_ok(&["plugins", "keygen", "../publisher.key", "--no-password"]);
    let build = steps(&workflow)
        .into_iter()
        .find(|(job, name, _)| job == "build" && name == "Build")
        .unwrap();
    let script = build.2["run"].as_str().unwrap();
    for [platform, target, _] in matrix(&workflow) {
        let script =
            format!("export PLATFORM={platform} TARGET={target} GITHUB_REF_NAME=v0.1.0\n{script}");
        let run = environment.shell("tagged", &script);
        assert_eq!(run.code, Some(0), "{run}");
    }
    let log = fs::read_to_string(environment.root().join("tmp/log")).unwrap();
    insta::assert_snapshot!(log, @"
    rustup target add x86_64-unknown-linux-musl
    cargo build --locked --release --target x86_64-unknown-linux-musl
    rustup target add aarch64-unknown-linux-musl
    cargo build --locked --release --target aarch64-unknown-linux-musl
    rustup target add x86_64-apple-darwin
    cargo build --locked --release --target x86_64-apple-darwin
    rustup target add aarch64-apple-darwin
    cargo build --locked --release --target aarch64-apple-darwin
    ");
    run_publish(&environment, &workflow, "tagged", "refs/tags/v0.1.0");
    let run = environment.shell(".", "git clone -q --branch gh-pages origin.git served");
    assert_eq!(run.code, Some(0), "{run}");
    let index = fs::read_to_string(environment.root().join("served/index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let platforms = &index["adapters"]["my-check"]["versions"]["0.1.0"]["platforms"];
    let published: Vec<&String> = platforms.as_object().unwrap().keys().collect();
    let mut built: Vec<String> = matrix(&workflow)
        .into_iter()
        .map(|[platform, ..]| platform)
        .collect();
    built.sort();
    assert_eq!(published, built.iter().collect::<Vec<_>>());
}

/// A clone of a repository with an adapter, for each run of its workflow.
fn repository(environment: &TestEnv, clones: &[&str]) {
    let clone = |name: &&str| format!("git clone -q file://$PWD/origin.git {name}\n");
    let clones: String = clones.iter().map(clone).collect();
    let prepare = format!(
        "cd python-adapter
        git init -q -b main
        git config user.name a
        git config user.email a@example.org
        git add -A
        git commit -q -m first
        git tag v0.1.0
        git init -q -b main --bare ../../origin.git
        git push -q ../../origin.git main v0.1.0
        cd ../..
        {clones}"
    );
    let run = environment.shell("repo", &prepare);
    assert_eq!(run.code, Some(0), "{run}");
    environment.ztc_ok(&["plugins", "keygen", "../publisher.key", "--no-password"]);
}

#[test]
fn the_workflow_signs_nothing_that_somebody_has_put_into_the_branch() {
    if !has("python3") || !has("git") || !has("jq") {
        return;
    }
    let environment = TestEnv::new();
    let workflow = workflow(&environment, "python");
    repository(
        &environment,
        &["early", "tagged", "weekly", "again", "evil"],
    );
    let (tag, main) = ("refs/tags/v0.1.0", "refs/heads/main");
    // Before the first release there is nothing to renew, and no branch appears.
    run_publish(&environment, &workflow, "early", main);
    let run = environment.shell(".", "git -C origin.git branch --list gh-pages");
    insta::assert_snapshot!(run, @"exit: 0");
    run_publish(&environment, &workflow, "tagged", tag);
    let put = "git -C evil fetch -q origin gh-pages && git -C evil checkout -q gh-pages && cd evil
        cp my-check/0.1.0/ztc-adapter-my-check-0.1.0-linux-x86_64 ztc-adapter-my-check-6.6.6-linux-x86_64
        git add -A
        git -c user.name=e -c user.email=e@example.org commit -q -m evil && git push -q origin gh-pages";
    let run = environment.shell(".", put);
    assert_eq!(run.code, Some(0), "{run}");
    let (step, run) = failed_publish(&environment, &workflow, "weekly", main).unwrap();
    insta::assert_snapshot!(format!("{step}\n{run}"), @"
    Sign
    exit: 5
    --- stderr
    error: `[ROOT]/weekly/tree` has files that were never signed, and a renewal signs nothing new
      ztc-adapter-my-check-6.6.6-linux-x86_64
      help: find out where they come from, and take them away; where they are yours, publish them without `--renew`
    ");
    let (step, run) = failed_publish(&environment, &workflow, "again", tag).unwrap();
    insta::assert_snapshot!(format!("{step}\n{run}"), @"
    Sign
    exit: 1
    --- stderr
    the branch gh-pages has files that were never signed: tree/ztc-adapter-my-check-6.6.6-linux-x86_64
    ");
}

#[test]
fn what_the_workflow_uses_is_pinned_and_gets_no_more_than_it_needs() {
    let environment = TestEnv::new();
    for language in ["rust", "python", "sh", "node"] {
        let workflow = workflow(&environment, language);
        assert_eq!(workflow["permissions"], json!({"contents": "read"}));
        assert_eq!(workflow["defaults"]["run"]["shell"], "bash");
        for (job, content) in workflow["jobs"].as_object().unwrap() {
            let is_publish = job == "publish";
            let may = match is_publish {
                true => json!({"contents": "write"}),
                false => Value::Null,
            };
            assert_eq!(content["permissions"], may, "{language} {job}");
            let environment = content["environment"] == "publish";
            assert_eq!(environment, is_publish, "{language} {job}");
            for step in content["steps"].as_array().unwrap() {
                let Some(used) = step["uses"].as_str() else {
                    // The adapter runs where there is no key, or in ztc's sandbox.
                    let script = step["run"].as_str().unwrap();
                    let runs = script.contains("./ztc-adapter") || script.contains("cargo build");
                    assert!(!(is_publish && runs), "{language}: {script}");
                    continue;
                };
                let (_, revision) = used.split_once('@').unwrap();
                let is_revision =
                    revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit());
                assert!(is_revision, "{language}: {used}");
                if used.starts_with("actions/checkout@") {
                    let kept = step["with"]["persist-credentials"] != false;
                    assert_eq!(kept, is_publish, "{language} {job}");
                }
            }
        }
    }
}

#[test]
fn ztc_is_installed_in_the_workflow_as_the_readme_says() {
    let environment = TestEnv::new();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let repository = manifest
        .lines()
        .find_map(|line| line.strip_prefix("repository = "))
        .unwrap()
        .trim_matches('"')
        .to_owned();
    let command = format!("cargo install --locked --git {repository} ztc");
    assert!(readme.contains(&format!("`{command}`")), "{command}");
    let mut scripts = BTreeMap::new();
    for language in ["rust", "python", "sh", "node"] {
        for (job, name, step) in steps(&workflow(&environment, language)) {
            let used = step["uses"].as_str().unwrap_or_default();
            // What gets the key comes from no place where a job could write in which code of the adapter ran.
            assert!(
                job != "publish" || !used.starts_with("actions/cache"),
                "{language}"
            );
            if name == "Install ztc" {
                let script = step["run"].as_str().unwrap().trim().to_owned();
                scripts.insert(format!("{language} {job}"), script);
            }
        }
    }
    assert_eq!(scripts.len(), 8);
    for (place, script) in scripts {
        let expected = match place.ends_with(" publish") {
            true => command.clone(),
            false => format!("command -v ztc || {command}"),
        };
        assert_eq!(script, expected, "{place}");
    }
    // The package of that name is the one with the program.
    let host = fs::read_to_string(root().join("host/Cargo.toml")).unwrap();
    assert!(host.starts_with("[package]\nname = \"ztc\"\n"));
    assert!(root().join("host/src/main.rs").is_file());
}
