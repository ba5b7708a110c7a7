//! What authors are told, done to the letter: the commands of `adapter-sdk/PUBLISHING.md`, the workflow that `ztc plugins new` writes, what
//! `publish --add` finds out, and the completions of all that.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::distribution::machine;
use crate::environment::{Run, TestEnv};
use crate::kit::has;
use crate::schemas::valid;
use crate::tidy::root;

/// Returns what is typed in a section of a document: the lines that begin with `$ `.
pub(crate) fn typed(document: &str, section: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let heading = format!("\n## {section}\n");
    let (_, rest) = text
        .split_once(&heading)
        .unwrap_or_else(|| panic!("{document} has no section `{section}`"));
    let section = rest.split("\n## ").next().unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("$ "));
    let commands: Vec<String> = lines
        .map(|line| line.split("  #").next().unwrap().trim().to_owned())
        .collect();
    assert!(!commands.is_empty(), "nothing is typed in `{section}`");
    commands
}

#[test]
fn publishing_md_is_right_to_the_letter() {
    if !has("python3") {
        return;
    }
    let mut environment = TestEnv::new();
    environment.set("ZTC_KEY_PASSWORD", "correct horse battery staple");
    for section in ["Ten minutes", "Versions"] {
        for command in typed("adapter-sdk/PUBLISHING.md", section) {
            let run = environment.shell("repo", &command);
            assert_eq!(run.code, Some(0), "{command}\n{run}");
        }
    }
    let index: Value = serde_json::from_str(&environment.read("tree/index.json")).unwrap();
    let release = &index["adapters"]["my-check"]["versions"]["0.1.0"];
    assert_eq!(
        (
            &index["serial"],
            &index["publisher"]["name"],
            &release["yanked"]
        ),
        (
            &Value::from(3),
            &Value::from("Your Name"),
            &Value::from("misses IPv6 peers")
        ),
        "{index:#}"
    );
    // What the document draws is what is there.
    let mut files = Vec::new();
    for (path, _) in environment.files() {
        if let Some(path) = path.strip_prefix("tree/") {
            files.push(path.to_owned());
        }
    }
    insta::assert_snapshot!(files.join("\n"), @"
    index.json
    index.json.minisig
    my-check/0.1.0/SHA256SUMS
    my-check/0.1.0/SHA256SUMS.minisig
    my-check/0.1.0/ztc-adapter-my-check-0.1.0-linux-aarch64
    my-check/0.1.0/ztc-adapter-my-check-0.1.0-linux-x86_64
    my-check/0.1.0/ztc-adapter-my-check-0.1.0-macos-aarch64
    my-check/0.1.0/ztc-adapter-my-check-0.1.0-macos-x86_64
    ");
}

#[test]
fn what_is_added_is_asked_who_it_is() {
    if !has("python3") {
        return;
    }
    let environment = TestEnv::new();
    environment.ztc_ok(&["plugins", "keygen", "publisher.key", "--no-password"]);
    environment.ztc_ok(&["plugins", "new", "hello", "--lang", "python"]);
    let publish = |program: &str| {
        let run = environment.ztc(&[
            "plugins",
            "publish",
            "tree",
            "--key",
            "publisher.key",
            "--add",
            program,
        ]);
        without_times(&run)
    };
    insta::assert_snapshot!(publish("nowhere"), @"
    exit: 4
    --- stderr
    error: there is no program `nowhere`
      help: give `--add` the path of an adapter's executable
    ");
    environment.write("ztc-adapter-zip", "PK\u{3}\u{4}");
    insta::assert_snapshot!(publish("ztc-adapter-zip"), @"
    exit: 2
    --- stderr
    error: `ztc-adapter-zip` does not run here, so it cannot be asked who it is: it is neither a program nor a script
      help: name the file `ztc-adapter-NAME-VERSION-OS-ARCH`, such as `ztc-adapter-bgp-1.2.0-linux-aarch64`
    ");
    environment.write("broken", "#!/bin/sh\nexit 7\n");
    environment.shell("repo", "chmod +x broken");
    let broken = publish("broken");
    assert!(
        broken.contains("adapter `broken` exited with code 7"),
        "{broken}"
    );
    let program = "ztc-adapter-hello/ztc-adapter-hello";
    insta::assert_snapshot!(publish(program), @"
    exit: 0
    --- stderr
      hello/[VERSION]/ztc-adapter-hello-[VERSION]-linux-aarch64
      hello/[VERSION]/ztc-adapter-hello-[VERSION]-[MACHINE]
      hello/[VERSION]/ztc-adapter-hello-[VERSION]-macos-aarch64
      hello/[VERSION]/ztc-adapter-hello-[VERSION]-macos-x86_64
    ✓ signed the index with serial 1, valid until [TIME]
      next: ztc plugins publish-check tree  then serve the directory as static files, `index.json.minisig` last
    ");
    // Once more is no new version, and changed bytes are refused under the path that the author knows.
    insta::assert_snapshot!(publish(program), @"
    exit: 0
    --- stderr
    ✓ signed the index with serial 2, valid until [TIME]
      next: ztc plugins publish-check tree  then serve the directory as static files, `index.json.minisig` last
    ");
    let changed = environment.read(program) + "# changed\n";
    environment.write(program, changed.clone());
    insta::assert_snapshot!(publish(program), @"
    exit: 5
    --- stderr
    error: `[REPO]/ztc-adapter-hello/ztc-adapter-hello` has other bytes than were published as `hello` [VERSION]
      help: give the change a new version: a published version never changes its bytes
    ");
    // A name that is a path leads nowhere.
    environment.write(program, changed.replace("\"hello\"", "\"../../hello\""));
    insta::assert_snapshot!(publish(program), @"
    exit: 1
    --- stderr
    error: the program that should be adapter `hello` says that it is `../../hello`
      path: `[REPO]/ztc-adapter-hello/ztc-adapter-hello`
      help: rename the file to `ztc-adapter-../../hello`, or use the name `../../hello` in platform.yaml
    ");
    environment.ztc_ok(&["plugins", "publish-check", "tree"]);
}

#[test]
fn what_programs_read_has_its_schema() {
    if !has("python3") {
        return;
    }
    let environment = TestEnv::new();
    let json = |arguments: &[&str]| {
        let run = environment.ztc(&[&["plugins", "--json"], arguments].concat());
        assert!(run.code == Some(0) || run.code == Some(1), "{run}");
        run.json()
    };
    valid(
        "plugins-keygen.schema.json",
        &json(&["keygen", "publisher.key", "--no-password"]),
    );
    environment.ztc_ok(&["plugins", "new", "hello", "--lang", "python"]);
    let publish = ["publish", "tree", "--key", "publisher.key"];
    let add = ["--add", "ztc-adapter-hello/ztc-adapter-hello"];
    let published = json(&[&publish[..], &add].concat());
    valid("plugins-publish.schema.json", &published);
    assert_eq!(published["added"].as_array().unwrap().len(), 4);
    valid("plugins-publish.schema.json", &json(&publish));
    let good = json(&["publish-check", "tree"]);
    valid("plugins-publish-check.schema.json", &good);
    let program = format!("tree/hello/0.1.0/ztc-adapter-hello-0.1.0-{}", machine());
    environment.write(&program, "#!/bin/sh\n");
    let bad = json(&["publish-check", "tree"]);
    valid("plugins-publish-check.schema.json", &bad);
    assert_eq!(
        (
            good["problems"].as_array().map(Vec::len),
            bad["problems"].as_array().map(Vec::len)
        ),
        (Some(0), Some(1))
    );
    let pinned = json(&["trust", "add", "tree", "publisher.key.pub"]);
    valid("plugins-trust.schema.json", &pinned);
    assert_eq!(pinned["sources"].as_object().unwrap().len(), 1);
    valid("plugins-trust.schema.json", &json(&["trust", "list"]));
    valid(
        "plugins-trust.schema.json",
        &json(&["trust", "remove", "tree"]),
    );
}

#[test]
fn every_refusal_that_the_operators_page_explains_exists() {
    let page = fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let (_, rest) = page.split_once("\n## Refusals\n").unwrap();
    let rows = rest.split("\n## ").next().unwrap().lines();
    let (tests, sources): (Vec<_>, Vec<_>) = crate::tidy::sources()
        .into_iter()
        .partition(|(name, _)| name.starts_with("tests/") || name.ends_with("/tests.rs"));
    let joined =
        |all: Vec<(String, String)>| -> String { all.into_iter().map(|(_, text)| text).collect() };
    // Tests stand behind the code in many files.
    let units = sources
        .iter()
        .filter_map(|(name, text)| Some((name.clone(), text.split_once("#[cfg(test)]")?.1.into())));
    let tests = joined(tests.into_iter().chain(units).collect());
    let sources = joined(sources);
    let mut seen = std::collections::BTreeSet::new();
    let mut rows_seen = 0;
    for row in rows.filter(|row| row.starts_with("| `")) {
        rows_seen += 1;
        let message = row.split(" | ").next().unwrap();
        for piece in message.split('`').skip(1).step_by(2) {
            assert!(sources.contains(piece), "no message says `{piece}`");
            assert!(tests.contains(piece), "no test shows `{piece}`");
            assert!(seen.insert(piece), "two rows explain `{piece}`");
        }
    }
    assert!(rows_seen > 15, "{rows_seen} rows");
}

#[test]
fn every_message_and_every_test_that_the_page_of_attacks_names_exists() {
    let page = fs::read_to_string(root().join("docs/attacks.md")).unwrap();
    let (tests, messages): (Vec<_>, Vec<_>) = crate::tidy::sources()
        .into_iter()
        .partition(|(name, _)| name.starts_with("tests/"));
    let contains =
        |all: &[(String, String)], text: &str| all.iter().any(|(_, it)| it.contains(text));
    let rows = page.lines().filter(|row| row.starts_with("| ")).skip(1);
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
    assert!(rows.len() > 12);
    for row in &rows {
        let [_, _, message, test] = row.as_slice() else {
            panic!("{row:?}");
        };
        for piece in message.split('`').skip(1).step_by(2) {
            assert!(contains(&messages, piece), "no message says `{piece}`");
        }
        let named: Vec<&str> = test.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row:?}");
        for name in named {
            assert!(
                contains(&tests, &format!("fn {name}()")),
                "there is no test {name}"
            );
        }
    }
    for attack in [
        "arbitrary software",
        "endless data",
        "extraneous dependencies",
        "fast-forward",
        "indefinite freeze",
        "malicious mirrors",
        "mix-and-match",
        "rollback",
        "slow retrieval",
        "key compromise",
        "wrong software installation",
    ] {
        assert!(page.contains(&format!("| **{attack}**")), "{attack}");
    }
}

/// Returns an output without times, keys and this machine.
fn without_times(run: &Run) -> String {
    let text = run.to_string().replace(&machine(), "[MACHINE]");
    let words = text.split_inclusive([' ', '\n', '"']).map(|word| {
        let bare = word.trim_end_matches([' ', '\n', '"', ',']);
        match bare.len() >= 20 && bare.starts_with("20") && bare.ends_with('Z') {
            true => word.replace(bare, "[TIME]"),
            false => word.to_owned(),
        }
    });
    words.collect()
}

/// The workflow that an adapter begins with.
pub(crate) fn workflow(environment: &TestEnv, language: &str) -> Value {
    let to = format!("{language}-adapter");
    environment.ztc_ok(&[
        "plugins", "new", "my-check", "--lang", language, "--to", &to,
    ]);
    let text = environment.read(&format!("{to}/.github/workflows/release.yml"));
    serde_saphyr::from_str(&text).unwrap()
}

/// Every step that runs something: its job, its name and the step.
pub(crate) fn steps(workflow: &Value) -> Vec<(String, String, Value)> {
    let jobs = workflow["jobs"].as_object().unwrap();
    let mut all = Vec::new();
    for (job, content) in jobs {
        for step in content["steps"].as_array().unwrap() {
            if step["run"].is_string() {
                let name = step["name"].as_str().unwrap().to_owned();
                all.push((job.clone(), name, step.clone()));
            }
        }
    }
    all
}

#[test]
fn the_workflow_of_a_new_adapter_is_well_formed() {
    let environment = TestEnv::new();
    for (language, jobs) in [
        ("rust", &["test", "build", "publish"][..]),
        ("python", &["test", "publish"]),
        ("sh", &["test", "publish"]),
        ("node", &["test", "publish"]),
    ] {
        let workflow = workflow(&environment, language);
        let found: Vec<&String> = workflow["jobs"].as_object().unwrap().keys().collect();
        assert_eq!(found, jobs, "{language}");
        // The key is known to one step of one job, and no text of others becomes part of a script.
        let mut with_key = Vec::new();
        for (job, name, step) in steps(&workflow) {
            let script = step["run"].as_str().unwrap();
            assert!(!script.contains("${{"), "{language} {name}: {script}");
            if step.to_string().contains("secrets.") {
                with_key.push(format!("{job}: {name}"));
            }
            shellcheck(script);
            for line in script.lines().map(str::trim) {
                if line.starts_with("ztc ") {
                    known(&environment, line);
                }
            }
        }
        assert_eq!(with_key, ["publish: Sign"], "{language}");
    }
}

/// Makes sure that a command of ztc and its options exist.
fn known(environment: &TestEnv, line: &str) {
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let command = words.iter().take_while(|word| {
        word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
    });
    let command: Vec<&str> = command.copied().take(2).collect();
    let help = environment
        .ztc_ok(&[&command[..], &["--help"]].concat())
        .stdout;
    for option in words.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(*option), "`{line}`: no {option}\n{help}");
    }
}

fn shellcheck(script: &str) {
    if !has("shellcheck") {
        return;
    }
    use std::io::Write;
    let mut child = Command::new("shellcheck")
        .args(["-s", "bash", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{script}");
}

/// Runs the job `publish` as GitHub would: each step a script of its own, in the work tree of a tag or of a branch.
pub(crate) fn run_publish(
    environment: &TestEnv,
    workflow: &Value,
    checkout: &str,
    reference: &str,
) {
    let failed = failed_publish(environment, workflow, checkout, reference);
    if let Some((step, run)) = failed {
        panic!("{step}\n{run}");
    }
}

/// The same; returns the step that failed.
pub(crate) fn failed_publish(
    environment: &TestEnv,
    workflow: &Value,
    checkout: &str,
    reference: &str,
) -> Option<(String, Run)> {
    let is_tag = reference.starts_with("refs/tags/v");
    let name = reference.rsplit('/').next().unwrap();
    for (job, step_name, step) in steps(workflow) {
        let only_tags = step["if"] == "startsWith(github.ref, 'refs/tags/v')";
        assert!(only_tags || step["if"].is_null(), "{step:#}");
        if job != "publish" || step_name == "Install ztc" || (only_tags && !is_tag) {
            continue;
        }
        let key = match step["env"]["ZTC_KEY"].is_string() {
            true => "ZTC_KEY=\"$(cat ../publisher.key)\" ZTC_KEY_PASSWORD=",
            false => "",
        };
        let script = format!(
            "set -eo pipefail\nexport GITHUB_REF={reference} GITHUB_REF_NAME={name} GITHUB_ACTOR=author RUNNER_TEMP=$TMPDIR {key}\n{}",
            step["run"].as_str().unwrap()
        );
        let run = environment.shell(checkout, &script);
        if run.code != Some(0) {
            return Some((step_name, run));
        }
    }
    let left = fs::read_dir(environment.root().join("tmp")).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().file_name() == "key");
    assert_eq!(left.count(), 0, "the key was left behind");
    None
}

#[test]
fn the_workflow_publishes_a_tree_and_renews_it() {
    if !has("python3") || !has("git") || !has("jq") {
        return;
    }
    let environment = TestEnv::new();
    let workflow = workflow(&environment, "python");
    let prepare = "
        cd python-adapter
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
        git init -q -b main
        git add -A
        git commit -q -m first
        git tag v0.1.0
        git init -q --bare ../../origin.git
        git push -q ../../origin.git main v0.1.0
        cd ../..
        git clone -q --branch v0.1.0 file://$PWD/origin.git tagged
        git clone -q --branch main file://$PWD/origin.git weekly";
    let run = environment.shell("repo", prepare);
    assert_eq!(run.code, Some(0), "{run}");
    environment.ztc_ok(&["plugins", "keygen", "../publisher.key", "--no-password"]);
    run_publish(&environment, &workflow, "tagged", "refs/tags/v0.1.0");
    run_publish(&environment, &workflow, "weekly", "refs/heads/main");
    let run = environment.shell(".", "git clone -q --branch gh-pages origin.git served && ls -A served && git -C served log --format=%s");
    insta::assert_snapshot!(run, @"
    exit: 0
    --- stdout
    .git
    .nojekyll
    index.json
    index.json.minisig
    my-check
    publish main
    publish v[VERSION]
    ");
    let install = [
        "plugins",
        "install",
        "--json",
        "my-check",
        "--source",
        "../served",
    ];
    let done = environment.ztc_ok(&install).json();
    let index = fs::read_to_string(environment.root().join("served/index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let platforms = &index["adapters"]["my-check"]["versions"]["0.1.0"]["platforms"];
    let platforms: Vec<&String> = platforms.as_object().unwrap().keys().collect();
    assert_eq!(
        (&done["plugins"][0]["state"], &index["serial"]),
        (&Value::from("installed"), &Value::from(2))
    );
    assert_eq!(
        platforms,
        [
            "linux-aarch64",
            "linux-x86_64",
            "macos-aarch64",
            "macos-x86_64"
        ]
    );
}

#[test]
fn the_shell_completes_the_commands_of_plugins_and_their_options() {
    let environment = TestEnv::new();
    let complete = |lines: &[String]| {
        let mut script = "source <(ztc completions bash)\n".to_owned();
        for words in lines {
            script += &format!(
                "COMP_WORDS=(ztc {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ztc ztc \"${{COMP_WORDS[COMP_CWORD]}}\" ztc; echo \"${{COMPREPLY[*]}}\"\n"
            );
        }
        let run = environment.shell("repo", &script);
        assert_eq!(run.code, Some(0), "{run}");
        let answers: Vec<Vec<String>> = run
            .stdout
            .lines()
            .map(|line| line.split(' ').map(str::to_owned).collect())
            .collect();
        assert_eq!(answers.len(), lines.len(), "{run}");
        answers
    };
    let commands = complete(&["plugins ''".to_owned()]).remove(0);
    let help = environment.ztc_ok(&["plugins", "--help"]).stdout;
    let listed = help.split("Commands:").nth(1).unwrap();
    let listed = listed.split("\n\n").next().unwrap();
    let listed: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(listed.len() > 10, "{help}");
    let lines: Vec<String> = listed
        .iter()
        .map(|command| format!("plugins {command} --"))
        .collect();
    for (command, options) in listed.iter().zip(complete(&lines)) {
        assert!(commands.iter().any(|it| it == command), "{command}");
        let help = environment.ztc_ok(&["plugins", command, "--help"]).stdout;
        // Options stand at the beginning of their lines; what is in a sentence is another command's.
        let lines = help.lines().map(str::trim_start);
        let words = lines
            .filter(|line| line.starts_with('-'))
            .flat_map(|line| line.split([' ', ',']))
            .map(|word| word.trim_end_matches("..."))
            .filter(|word| word.starts_with("--"));
        for word in words {
            assert!(
                options.iter().any(|it| it == word),
                "plugins {command} {word}: {options:?}"
            );
        }
    }
}
