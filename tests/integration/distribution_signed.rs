//! Indexes that their publisher has signed and that are refused all the same, from every kind of source; and texts that nobody has signed,
//! which reach no terminal as they are.

use serde_json::{Value, json};

use crate::distribution::{Publisher, machine};
use crate::distribution_oci_attacks::Fake;
use crate::distribution_publish::{change_and_sign, sign};
use crate::web::Web;

/// One tree, served in three ways.
struct World {
    publisher: Publisher,
    web: Web,
    registry: Fake,
}

impl World {
    fn new() -> Self {
        let publisher = Publisher::new();
        Self {
            web: Web::directory(publisher.tree()),
            registry: Fake::start(publisher.tree()),
            publisher,
        }
    }

    /// What every source says about an installation, which has to be the same but for its name.
    #[track_caller]
    fn install(&self) -> String {
        let sources = ["../tree".to_owned(), self.web.url(), self.registry.source()];
        let names = [
            "file://[ROOT]/tree".to_owned(),
            self.web.url(),
            self.registry.source(),
        ];
        let said = sources.iter().zip(&names).map(|(source, name)| {
            let command = ["plugins", "install", "hello", "--source", source];
            self.publisher
                .run(&command)
                .to_string()
                .replace(name, "[SOURCE]")
        });
        let said: Vec<String> = said.collect();
        assert_eq!(said[0], said[1]);
        assert_eq!(said[0], said[2]);
        said[0].clone()
    }
}

fn asset(index: &mut Value) -> &mut Value {
    &mut index["adapters"]["hello"]["versions"]["1.0.0"]["platforms"][machine()]
}

#[test]
fn an_index_that_is_over_is_refused_from_every_source() {
    let world = World::new();
    change_and_sign(&world.publisher, |index| {
        index["issued"] = "2020-01-01T00:00:00Z".into();
        index["expires"] = "2020-03-31T00:00:00Z".into();
    });
    insta::assert_snapshot!(world.install(), @"
    exit: 5
    --- stderr
    error: the index of `[SOURCE]` is not valid any more since [TIME]
      help: its publisher renews it with `ztc plugins publish`; an old copy may hide newer releases
    ");
    // Its publisher signs it anew, and it is taken.
    world.publisher.publish(&[]);
    let command = ["plugins", "install", "hello", "--source", "../tree"];
    assert_eq!(world.publisher.run(&command).code, Some(0));
}

#[test]
fn paths_that_lead_out_of_a_tree_are_refused_from_every_source() {
    let world = World::new();
    for (path, why) in [
        ("../../../etc/passwd", "it leaves the tree"),
        ("hello/../../../etc/passwd", "it leaves the tree"),
        ("/etc/passwd", "it is absolute"),
        (
            "hello\\..\\..\\passwd",
            "it has characters other than letters, digits, `-`, `.`, `_`, `+` and `/`",
        ),
        (
            "C:/Windows/passwd",
            "it has characters other than letters, digits, `-`, `.`, `_`, `+` and `/`",
        ),
        ("https://example.org/passwd", "it has empty parts"),
        ("hello//passwd", "it has empty parts"),
        ("", "it is empty"),
    ] {
        change_and_sign(&world.publisher, |index| asset(index)["path"] = path.into());
        assert_eq!(
            world.install(),
            format!(
                "exit: 5\n--- stderr\nerror: the index of `[SOURCE]` cannot be used: `hello` 1.0.0 for [MACHINE]: the path `{path}` is refused: {why}\n  \
                 help: tell its publisher; `ztc plugins publish-check DIR` shows the same to them"
            )
        );
    }
    // What would be a directory of the store, or of a mirror.
    change_and_sign(&world.publisher, |index| {
        asset(index)["path"] = "hello/x".into();
        asset(index)["sha256"] = "../..".into();
    });
    insta::assert_snapshot!(world.install(), @"
    exit: 5
    --- stderr
    error: the index of `[SOURCE]` cannot be used: `hello` 1.0.0 for [MACHINE]: `../..` is not a SHA-256
      help: tell its publisher; `ztc plugins publish-check DIR` shows the same to them
    ");
    change_and_sign(&world.publisher, |index| {
        asset(index)["sha256"] = "a".repeat(64).into();
        let release = index["adapters"]["hello"]["versions"]["1.0.0"].clone();
        index["adapters"]["hello"]["versions"] = json!({"../../1.0.0": release});
    });
    insta::assert_snapshot!(world.install(), @"
    exit: 5
    --- stderr
    error: the index of `[SOURCE]` cannot be used: `hello` ../../1.0.0: this is not a version such as 1.2.0
      help: tell its publisher; `ztc plugins publish-check DIR` shows the same to them
    ");
    change_and_sign(&world.publisher, |index| {
        let release = index["adapters"]["hello"]["versions"]["../../1.0.0"].clone();
        index["adapters"]["hello"]["versions"] = json!({"1.0.0": release});
        let entry = index["adapters"]["hello"].clone();
        index["adapters"] = json!({"../../hello": entry});
    });
    insta::assert_snapshot!(world.install(), @"
    exit: 5
    --- stderr
    error: the index of `[SOURCE]` cannot be used: `../../hello` is not the name of an adapter
      help: tell its publisher; `ztc plugins publish-check DIR` shows the same to them
    ");
    change_and_sign(&world.publisher, |index| {
        index["adapters"] = json!({});
        let table = json!({"serial": 2, "released": "", "adapter": "*", "path": "../x", "size": 1, "sha256": "a".repeat(64)});
        index["versions"] = json!({"talos": [table]});
    });
    insta::assert_snapshot!(world.install(), @"
    exit: 5
    --- stderr
    error: the index of `[SOURCE]` cannot be used: table 2 of the versions of `talos`: the path `../x` is refused: it leaves the tree
      help: tell its publisher; `ztc plugins publish-check DIR` shows the same to them
    ");
}

#[test]
fn what_is_no_index_is_said_by_every_source() {
    let world = World::new();
    let file = world.publisher.tree().join("index.json");
    let key = world.publisher.environment.root().join("key");
    let old = std::fs::read_to_string(&file).unwrap();
    // Whoever shows a page in its place has not signed it.
    std::fs::write(&file, "<html>").unwrap();
    insta::assert_snapshot!(world.install(), @"
    exit: 5
    --- stderr
    error: the index of `[SOURCE]` names no key of a publisher
      it names: 
      help: ask its publisher; nobody can have signed this
    ");
    std::fs::write(&file, old.replace("\"serial\": 1", "\"serial\": \"x\"")).unwrap();
    sign(&file, &key);
    insta::assert_snapshot!(world.install(), @r#"
    exit: 1
    --- stderr
    error: the index of `[SOURCE]` cannot be used: it does not have its form: invalid type: string "x", expected u64
      help: tell its publisher; `ztc plugins publish-check DIR` shows the same to them
    "#);
}

#[test]
fn texts_that_nobody_has_signed_paint_no_terminal() {
    let world = World::new();
    let evil = "RW\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}\nerror: all is well";
    world
        .publisher
        .change(|index| index["publisher"]["key"] = evil.into());
    let first = world.install();
    insta::assert_snapshot!(first, @"
    exit: 5
    --- stderr
    error: the index of `[SOURCE]` names no key of a publisher
      it names: RW�[2J�]0;owned�� error: all is well
      help: ask its publisher; nobody can have signed this
    ");
    // The file of a key is as little to be printed as it is.
    world.publisher.environment.write(
        "evil.pub",
        format!("untrusted comment: x\n{}\n", "RW\u{1b}[2J\u{9b}31m"),
    );
    let trust = ["plugins", "trust", "add", "../tree", "evil.pub"];
    insta::assert_snapshot!(world.publisher.run(&trust), @"
    exit: 2
    --- stderr
    error: `evil.pub` holds no public key of minisign
      help: give the publisher's `.pub` file, or its line that begins with `RW`
    ");
    let check = world
        .publisher
        .run(&["plugins", "publish-check", "../tree"]);
    insta::assert_snapshot!(check, @"
    exit: 5
    --- stderr
    error: the index of `file://[REPO]/../tree` names no key of a publisher
      it names: RW�[2J�]0;owned�� error: all is well
      help: ask its publisher; nobody can have signed this
    ");
    let source = [
        "plugins",
        "install",
        "hello",
        "--source",
        "https://a.example/\u{1b}[2J",
    ];
    insta::assert_snapshot!(world.publisher.run(&source), @"
    exit: 2
    --- stderr
    error: `https://a.example/�[2J` cannot be a source of plugins: it has characters that are not for people
      help: name a directory, or an address in plain letters
    ");
    for shown in [first, check.to_string()] {
        assert!(
            !shown.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']),
            "{shown:?}"
        );
    }
}

#[test]
fn files_of_two_publications_do_not_mix() {
    let publisher = Publisher::new();
    let tree = publisher.tree();
    let read = |file: &str| std::fs::read(tree.join(file)).unwrap();
    let (index, signature) = (read("index.json"), read("index.json.minisig"));
    publisher.put("hello", "1.1.0", &machine());
    publisher.publish(&[]);
    let new_signature = read("index.json.minisig");
    // The new index with the old signature, and the other way round.
    std::fs::write(tree.join("index.json.minisig"), &signature).unwrap();
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `index.json` of `file://[ROOT]/tree` is not what its publisher signed: the signature does not fit its bytes
      help: do not use this tree: tell its publisher by another way than this source
    ");
    std::fs::write(tree.join("index.json"), &index).unwrap();
    std::fs::write(tree.join("index.json.minisig"), &new_signature).unwrap();
    assert_eq!(publisher.install(&[]).code, Some(5));
    // The program of the old version in the place of the new one.
    publisher
        .environment
        .shell("tree", "rm index.json*; mv hello/*/ztc-adapter-* .");
    publisher.publish(&["--serial", "9"]);
    let program = |version: &str| {
        tree.join(format!(
            "hello/{version}/ztc-adapter-hello-{version}-{}",
            machine()
        ))
    };
    std::fs::copy(program("1.0.0"), program("1.1.0")).unwrap();
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]` of `file://[ROOT]/tree` does not have the bytes that were signed
      signed: [SHA256]
      found: [SHA256]
      help: do not use this tree: tell its publisher by another way than this source
    ");
    assert_eq!(installed(&publisher), Vec::<String>::new());
}

/// What is installed, as `name version`.
fn installed(publisher: &Publisher) -> Vec<String> {
    let verified = publisher
        .environment
        .ztc_ok(&["plugins", "verify", "--json"]);
    let plugins = verified.json()["plugins"].as_array().unwrap().clone();
    let word = |plugin: &Value| {
        format!(
            "{} {}",
            plugin["name"].as_str().unwrap(),
            plugin["version"].as_str().unwrap()
        )
    };
    plugins.iter().map(word).collect()
}

#[test]
fn what_an_adapter_requires_is_not_installed_with_it() {
    let publisher = Publisher::new();
    publisher.put("other", "1.0.0", &machine());
    publisher.publish(&[]);
    change_and_sign(&publisher, |index| {
        index["adapters"]["hello"]["versions"]["1.0.0"]["requires"] = json!(["acme/other 1.0"]);
        // Nor does anything that an index says beside its form.
        index["adapters"]["hello"]["versions"]["1.0.0"]["dependencies"] = json!(["other"]);
        index["dependencies"] = json!(["other"]);
    });
    assert_eq!(publisher.install(&[]).code, Some(0));
    assert_eq!(installed(&publisher), ["hello 1.0.0"]);
}

#[test]
fn another_adapter_under_the_name_that_was_asked_for_is_refused() {
    let publisher = Publisher::new();
    publisher.put("other", "1.0.0", &machine());
    publisher.publish(&[]);
    let tree = publisher.tree();
    let place = |name: &str| {
        tree.join(format!(
            "{name}/1.0.0/ztc-adapter-{name}-1.0.0-{}",
            machine()
        ))
    };
    let good = std::fs::read(place("hello")).unwrap();
    std::fs::copy(place("other"), place("hello")).unwrap();
    insta::assert_snapshot!(publisher.install(&[]), @"
    exit: 5
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `file://[ROOT]/tree` does not have the bytes that were signed
      signed: [SHA256]
      found: [SHA256]
      help: do not use this tree: tell its publisher by another way than this source
    ");
    std::fs::write(place("hello"), good).unwrap();
    // Its own publisher signs it under the wrong name: it is installed, and does not run.
    change_and_sign(&publisher, |index| {
        let other = index["adapters"]["other"]["versions"]["1.0.0"].clone();
        index["adapters"]["hello"]["versions"]["1.0.0"] = other;
    });
    assert_eq!(publisher.install(&[]).code, Some(0));
    insta::assert_snapshot!(publisher.run(&["plugins", "info", "hello"]), @"
    exit: 5
    --- stderr
    error: the program that should be adapter `hello` says that it is `other`
      installed: `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-other-1.0.0-[MACHINE]`
      help: do not use it: tell its publisher, who has to say what a file is
    ");
}

#[test]
fn one_place_has_one_name_and_one_key() {
    let world = World::new();
    let port = world.web.address.rsplit(':').next().unwrap();
    let install = |source: &str| {
        let command = ["plugins", "install", "hello", "--source", source];
        let run = world.publisher.run(&command).to_string();
        run.replace(&format!(":{port}"), ":[PORT]")
    };
    insta::assert_snapshot!(install(&format!("HTTP://LocalHost:{port}/./a/../")), @"
    exit: 0
    --- stderr
    the publisher's key of http://localhost:[PORT] is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from http://localhost:[PORT]
      touches network example.org:443
    ");
    // Otherwise spelled it is still that one: nothing is moved, and no key is new.
    for spelled in ["http://localhost", "http://LOCALHOST", "Http://localhost"] {
        let said = install(&format!("{spelled}:{port}//"));
        assert_eq!(
            said,
            "exit: 0\n--- stderr\n✓ hello 1.0.0 was installed from http://localhost:[PORT]"
        );
    }
    let trusted = world.publisher.run(&["plugins", "trust", "list"]);
    assert_eq!(trusted.stdout.lines().count(), 2, "{trusted}");
}
