//! Commands that a message tells people to type: a shell that gets them reads the very words that are meant, whatever a source, a version or a path is
//! called.

use std::fs;
use std::process::Command;

use crate::distribution::{Publisher, machine};
use crate::distribution_publish::sign;
use crate::distribution_team::{colleague, edit, rendered, team};

/// What a shell would do with a command: each of its words in brackets. Programs are functions, and a file named `ran` says that something else ran.
fn read_by_a_shell(publisher: &Publisher, command: &str) -> String {
    let script = format!(
        "ztc() {{ printf ' <%s>' ztc \"$@\"; }}; mv() {{ printf ' <%s>' mv \"$@\"; }}; chmod() {{ printf ' <%s>' chmod \"$@\"; }}\n{command}"
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(publisher.environment.root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{command}: {said}"
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs `ztc` and returns the commands of its help, as a shell reads them.
fn helps(publisher: &Publisher, arguments: &[&str]) -> String {
    let run = publisher.environment.ztc(arguments);
    let text = format!("{}{}", run.stdout, run.stderr);
    let lines = text.lines().filter(|line| {
        line.starts_with("  help: ") || line.starts_with("  next: ") || line.contains("`ztc ")
    });
    let mut all = String::new();
    for line in lines {
        let command = line.split_once("  next: ").map(|(_, rest)| rest);
        let command = command.map(|rest| rest.rsplit_once("  ").map_or(rest, |(it, _)| it));
        // A source may hold everything but a backtick.
        let commands = line.split('`').skip(1).step_by(2).chain(command);
        for command in commands.filter(|it| {
            ["ztc ", "mv ", "chmod "]
                .iter()
                .any(|program| it.starts_with(program))
        }) {
            all += &format!("{}\n", read_by_a_shell(publisher, command));
        }
    }
    assert!(!all.is_empty(), "nothing to type: {text}");
    assert!(!publisher.environment.root().join("ran").exists(), "{text}");
    publisher.filtered(&all)
}

const TREE: &str = "../a tree;$(touch ran)'s";

/// A publisher whose directory has a name that a shell would run.
fn publisher() -> Publisher {
    let publisher = Publisher::new();
    let tree = publisher.environment.repo().join(TREE);
    fs::rename(publisher.tree(), &tree).unwrap();
    std::os::unix::fs::symlink(&tree, publisher.tree()).unwrap();
    publisher
}

#[test]
fn what_a_source_is_called_never_runs_when_help_is_typed() {
    let publisher = publisher();
    let keygen = ["plugins", "keygen", "../second", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    let install: &[&str] = &["plugins", "install", "hello", "--source", TREE];
    let index = publisher.tree().join("index.json");
    let signature = publisher.tree().join("index.json.minisig");
    let (first, signed) = (fs::read(&index).unwrap(), fs::read(&signature).unwrap());
    publisher.environment.ztc_ok(install);
    let mut said = String::new();
    let mut say = |what: &str, arguments: &[&str]| {
        said += &format!("{what}\n{}", helps(&publisher, arguments));
    };
    say("searched", &["plugins", "search"]);
    fs::remove_file(&signature).unwrap();
    say("no signature", install);
    sign(&index, &publisher.environment.root().join("second"));
    say("another key", install);
    fs::write(&signature, &signed).unwrap();
    publisher.put("world", "1.0.0", &machine());
    publisher.publish(&[]);
    publisher.environment.ztc_ok(&["plugins", "search"]);
    say("several adapters", &["plugins", "install", TREE]);
    fs::write(&index, &first).unwrap();
    fs::write(&signature, &signed).unwrap();
    say("older", install);
    let file = publisher.executable().display().to_string();
    say(
        "a file",
        &["plugins", "install", "hello", "--source", &file],
    );
    let data = publisher.environment.root().join("home/.local/share/ztc");
    for entry in fs::read_dir(data.join("sources")).unwrap() {
        fs::write(entry.unwrap().path(), "{").unwrap();
    }
    say("not readable", install);
    let list = publisher
        .environment
        .root()
        .join("home/.config/ztc/trust.json");
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replace("\"RW", "\"XX")).unwrap();
    say("no key", install);
    insta::assert_snapshot!(said, @"
    searched
    <ztc> <plugins> <info> <hello> <--source> <file://[ROOT]/a tree;$(touch ran)'s>
    no signature
    <ztc> <plugins> <trust> <remove> <file://[ROOT]/a tree;$(touch ran)'s>
    another key
    <ztc> <plugins> <trust> <add> <file://[ROOT]/a tree;$(touch ran)'s> <KEY>
    several adapters
    <ztc> <plugins> <install> <NAME> <--source> <file://[ROOT]/a tree;$(touch ran)'s>
    older
    <ztc> <plugins> <trust> <remove> <file://[ROOT]/a tree;$(touch ran)'s>
    a file
    <ztc> <plugins> <install> <[ROOT]/a tree;$(touch ran)'s/hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]>
    not readable
    <ztc> <plugins> <trust> <add> <file://[ROOT]/a tree;$(touch ran)'s> <KEY>
    <ztc> <plugins> <trust> <list>
    no key
    <ztc> <plugins> <trust> <add> <file://[ROOT]/a tree;$(touch ran)'s> <KEY>
    ");
}

#[test]
fn what_is_typed_by_mistake_never_runs_when_help_is_typed() {
    let publisher = publisher();
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "hello", "--source", TREE]);
    let mut said = String::new();
    for arguments in [
        &["plugins", "install", "x;$(touch ran)"][..],
        &["plugins", "upgrade", "x;$(touch ran)"],
    ] {
        said += &helps(&publisher, arguments);
    }
    insta::assert_snapshot!(said, @"
    <ztc> <plugins> <install> <x;$(touch ran)> <--source> <SOURCE>
    <ztc> <plugins> <install> <x;$(touch ran)> <--source> <SOURCE>
    ");
}

#[test]
fn what_a_lock_holds_never_runs_when_help_is_typed() {
    let publisher = team();
    rendered(&publisher);
    let install: &[&str] = &["plugins", "install"];
    let made = publisher.environment.read("platform/lock.json");
    let mut said = String::new();
    let mut say = |what: &str, change: &dyn Fn(&mut serde_json::Value)| {
        colleague(&publisher);
        publisher.environment.write("platform/lock.json", &made);
        edit(&publisher, |lock| change(&mut lock["plugins"]["hello"]));
        said += &format!("{what}\n{}", helps(&publisher, install));
    };
    say("another version", &|hello| {
        hello["version"] = "0.1.0;$(touch ran)".into();
    });
    say("another source", &|hello| {
        hello["source"] = "https://example.org/x;$(touch ran)".into();
    });
    publisher.environment.write(
        "platform.yaml",
        crate::distribution_team::PLATFORM.replace(", version: ^1", ""),
    );
    say("another source and version", &|hello| {
        hello["version"] = "0.1.0;$(touch ran)".into();
        hello["source"] = "https://example.org/x;$(touch ran)".into();
    });
    say("no executable", &|hello| {
        hello["version"] = "0.1.0;$(touch ran)".into();
        hello["platforms"] = serde_json::json!({});
    });
    insta::assert_snapshot!(said, @"
    another version
    <ztc> <plugins> <install> <hello@^1>
    another source
    <ztc> <plugins> <install> <hello@1.0.0> <--moved>
    another source and version
    <ztc> <plugins> <install> <hello@[VERSION];$(touch ran)> <--moved>
    no executable
    <ztc> <plugins> <install> <hello@[VERSION];$(touch ran)>
    ");
}
