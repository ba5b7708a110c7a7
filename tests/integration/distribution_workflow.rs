//! The workflow that `ztc plugins new` writes for a program: what its four builds are, and that what they give is what is published. And that ztc is
//! installed there as it is installed everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::distribution_authors::{run_publish, steps, workflow};
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
