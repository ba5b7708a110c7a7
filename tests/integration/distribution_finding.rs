//! Finding what a name means where nobody says its source: what a lock alone has brought, several sources that are asked at the same time, what is
//! a part of ztc, and what people type first.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use crate::distribution::Publisher;
use crate::distribution_team::{colleague, rendered, steps, team};
use crate::environment::Run;
use crate::web::{Web, status, whole};

/// Makes a directory beside the repository in which nothing is asked for.
fn elsewhere(publisher: &Publisher) {
    fs::create_dir(publisher.environment.root().join("elsewhere")).unwrap();
}

/// Runs commands; the key is replaced where it is quoted, too.
fn said(publisher: &Publisher, commands: &[&[&str]]) -> String {
    steps(publisher, commands).replace(&key(publisher), "[KEY]")
}

fn key(publisher: &Publisher) -> String {
    let file = publisher.environment.root().join("key.pub");
    let text = fs::read_to_string(file).unwrap();
    text.lines().last().unwrap().to_owned()
}

#[test]
fn what_a_lock_has_brought_is_its_word_for_one_repository() {
    let publisher = team();
    rendered(&publisher);
    colleague(&publisher);
    elsewhere(&publisher);
    let source = format!("file://{}/tree", publisher.environment.root().display());
    insta::assert_snapshot!(said(&publisher, &[
        &["plugins", "search"],
        &["plugins", "install"],
        &["plugins", "trust", "list"],
        &["plugins", "search"],
        &["-C", "../elsewhere", "plugins", "search"],
        &["-C", "../elsewhere", "plugins", "install", "hello"],
        &["-C", "../elsewhere", "plugins", "info", "hello@^1"],
    ]), @"
    $ ztc plugins search
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.0.0  1.0  [MACHINE], macos-riscv64  no  file://[ROOT]/tree  says hello
    --- stderr
    the key of file://[ROOT]/tree is the one that the lock of this repository names; `ztc plugins trust add file://[ROOT]/tree [KEY]` pins it for this machine
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc plugins trust list
    exit: 0
    --- stdout
    SOURCE  KEY  SINCE
    $ ztc plugins search
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.0.0  1.0  [MACHINE], macos-riscv64  1.0.0  file://[ROOT]/tree  says hello
    --- stderr
    the key of file://[ROOT]/tree is the one that the lock of this repository names; `ztc plugins trust add file://[ROOT]/tree [KEY]` pins it for this machine
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    $ ztc -C ../elsewhere plugins search
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.0.0  1.0  [MACHINE], macos-riscv64  1.0.0  file://[ROOT]/tree  says hello
    --- stderr
    the key of file://[ROOT]/tree is the one of the index that was seen last, and not pinned; `ztc plugins trust add file://[ROOT]/tree [KEY]` pins it for this machine
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    $ ztc -C ../elsewhere plugins install hello
    exit: 4
    --- stderr
    error: no trusted source has an adapter `hello`
      1.0.0 is here from file://[ROOT]/tree by the lock of [REPO], which speaks for that repository alone
      help: compare its key with what the publisher shows elsewhere, then `ztc plugins trust add file://[ROOT]/tree [KEY]` pins it for this machine
    $ ztc -C ../elsewhere plugins info hello@^1
    exit: 0
    --- stdout
    hello 1.0.0: says hello
      source       file://[ROOT]/tree
      trust        signed by [KEY],
                   which is new here: compare it with what the publisher shows elsewhere
      versions     1.0.0
      installed    1.0.0
      platforms    [MACHINE]: 674 bytes
                   macos-riscv64: 675 bytes
      protocol     1.0
      provides     nothing
      requires     nothing
      stages       run as you, outside of the sandbox; `ztc render` writes their scripts to read
      environment  nothing
      secrets      nothing
      network      nothing
      tools        nothing
    --- stderr
      next: ztc plugins install hello@1.0.0 --source file://[ROOT]/tree  installs it
    ");
    // What is said can be typed.
    let add = ["plugins", "trust", "add", &source, &key(&publisher)];
    publisher.environment.ztc_ok(&add);
    insta::assert_snapshot!(said(&publisher, &[
        &["-C", "../elsewhere", "plugins", "install", "hello"],
        &["-C", "../elsewhere", "plugins", "search"],
    ]), @"
    $ ztc -C ../elsewhere plugins install hello
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc -C ../elsewhere plugins search
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.0.0  1.0  [MACHINE], macos-riscv64  1.0.0  file://[ROOT]/tree  says hello
    --- stderr
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    ");
}

/// Serves the tree; where `together` is set, an index is answered only once another server is asked for it, too.
fn meeting(publisher: &Publisher, together: &Arc<AtomicBool>, others: &Arc<Barrier>) -> Web {
    let (tree, together, others) = (publisher.tree(), Arc::clone(together), Arc::clone(others));
    Web::start(move |path, stream| {
        if path == "index.json" && together.load(Ordering::SeqCst) {
            others.wait();
        }
        match fs::read(tree.join(path)) {
            Ok(content) => whole(stream, &content),
            Err(_) => status(stream, "404 Not Found", ""),
        }
    })
}

#[test]
fn several_sources_are_asked_at_the_same_time() {
    let publisher = Publisher::new();
    let (together, others) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(2)));
    let one = meeting(&publisher, &together, &others);
    let two = meeting(&publisher, &together, &others);
    let key = key(&publisher);
    for web in [&one, &two] {
        let add = ["plugins", "trust", "add", &web.url(), &key];
        publisher.environment.ztc_ok(&add);
    }
    let run = |arguments: &[&str]| {
        let run = publisher.run(arguments).to_string();
        // They are named in the order of their addresses.
        run.replace(&one.address, "[WEB]")
            .replace(&two.address, "[WEB]")
    };
    together.store(true, Ordering::SeqCst);
    insta::assert_snapshot!(run(&["plugins", "install", "hello"]), @"
    exit: 2
    --- stderr
    error: several trusted sources have an adapter `hello`
      they are `http://[WEB]` and `http://[WEB]`
      help: choose one: `ztc plugins install hello --source http://[WEB]`
    ");
    insta::assert_snapshot!(run(&["plugins", "info", "hello@1"]), @"
    exit: 2
    --- stderr
    error: several trusted sources have an adapter `hello`
      they are `http://[WEB]` and `http://[WEB]`
      help: choose one: `ztc plugins info hello --source http://[WEB]`
    ");
    // What is installed from one of them comes from there.
    together.store(false, Ordering::SeqCst);
    let from = ["plugins", "install", "hello", "--source", &one.url()];
    publisher.environment.ztc_ok(&from);
    two.take_asked();
    insta::assert_snapshot!(run(&["plugins", "install", "hello@^1"]), @"
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from http://[WEB]
    ");
    assert!(two.take_asked().is_empty());
    let channel = ["update-versions", "--source", &two.url(), "--key", &key];
    publisher.environment.ztc_ok(&channel);
    together.store(true, Ordering::SeqCst);
    insta::assert_snapshot!(run(&["update-versions", "--dry-run"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  1  embedded  -  http://[WEB] has no newer one
    hetzner  1  embedded  -  http://[WEB] has no newer one
    talos  1  embedded  -  http://[WEB] has no newer one
    --- stderr
    ✓ http://[WEB] has serial 1, valid until [TIME]
    ✓ http://[WEB] has serial 1, valid until [TIME]
    ");
}

#[test]
fn a_key_that_this_machine_trusts_is_not_the_one_of_the_lock() {
    let publisher = team();
    rendered(&publisher);
    for command in [
        &["plugins", "keygen", "../second", "--no-password"][..],
        &[
            "plugins",
            "publish",
            "../tree",
            "--key",
            "../second",
            "--replace-key",
        ],
    ] {
        publisher.environment.ztc_ok(command);
    }
    let second = fs::read_to_string(publisher.environment.root().join("second.pub")).unwrap();
    let second = second.lines().last().unwrap();
    publisher
        .environment
        .ztc_ok(&["plugins", "trust", "add", "../tree", second]);
    // Which adapter is meant is only known once the tree is open.
    insta::assert_snapshot!(steps(&publisher, &[&["plugins", "install", "../tree"]]), @"
    $ ztc plugins install ../tree
    exit: 5
    --- stderr
    error: `hello` is signed with another key than the lock names
      locked: [KEY]
      now: [KEY]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install hello@1.0.0 --key KEY`
    ");
}

#[test]
fn what_people_type_first_is_understood_or_explained() {
    let publisher = Publisher::new();
    elsewhere(&publisher);
    let web = Web::directory(publisher.tree());
    let index = format!("{}/index.json", web.url());
    let said = steps(
        &publisher,
        &[
            &["plugins", "upgrade", "hetzner"],
            &["plugins", "remove", "hetzner"],
            &["plugins", "install", "hello@latest", "--source", "../tree"],
            &["plugins", "install", "hello@v1.0.0", "--source", "../tree"],
            &["plugins", "install", "hello@", "--source", "../tree"],
            &["plugins", "install", ""],
            &[
                "plugins",
                "install",
                "hello",
                "--source",
                "../tree/index.json",
            ],
            &["plugins", "install", "hello", "--source", &index],
            &["plugins", "info", &web.url()],
            &[
                "plugins",
                "install",
                "hello",
                "hello@1.0.0",
                "nothing",
                "--source",
                "../tree",
            ],
        ],
    );
    insta::assert_snapshot!(said.replace(&web.url(), "[WEB]"), @"
    $ ztc plugins upgrade hetzner
    exit: 4
    --- stderr
    error: `hetzner` is not installed: it is a part of ztc
      help: it comes and goes with ztc itself; `ztc version` says which one this is
    $ ztc plugins remove hetzner
    exit: 4
    --- stderr
    error: `hetzner` is not installed: it is a part of ztc
      help: it comes and goes with ztc itself; `ztc version` says which one this is
    $ ztc plugins install hello@latest --source ../tree
    exit: 2
    --- stderr
    error: `latest` is not a range of versions: unexpected character 'l' while parsing major version number
      help: leave `@` and what follows it out: without a range the newest is taken
    $ ztc plugins install hello@v1.0.0 --source ../tree
    exit: 2
    --- stderr
    error: `v1.0.0` is not a range of versions: unexpected character 'v' while parsing major version number
      help: versions have no `v`: write `@1.0.0`
    $ ztc plugins install hello@ --source ../tree
    exit: 2
    --- stderr
    error: `` is not a range of versions: unexpected end of input while parsing major version number
      help: leave `@` and what follows it out: without a range the newest is taken
    $ ztc plugins install 
    exit: 2
    --- stderr
    error: an adapter has a name, and none was given
      help: `ztc plugins search` shows which there are
    $ ztc plugins install hello --source ../tree/index.json
    exit: 2
    --- stderr
    error: `[ROOT]/tree/index.json` is a file, and a tree is a directory
      help: name the directory that it lies in: `[ROOT]/tree`
    $ ztc plugins install hello --source [WEB]/index.json
    exit: 4
    --- stderr
    error: `[WEB]/index.json` has no `index.json`
      help: name the tree itself: `[WEB]`
    $ ztc plugins info [WEB]
    exit: 2
    --- stderr
    error: `[WEB]` is a place, and not the name of an adapter
      help: name the adapter that it has: `ztc plugins info NAME --source [WEB]`
    $ ztc plugins install hello hello@1.0.0 nothing --source ../tree
    exit: 4
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    error: `file://[ROOT]/tree` has no adapter `nothing`
      help: it has `hello`
    error: 1 of 3 adapters were not installed: `nothing`
      help: correct what is said above and run the same command again
    ");
}

#[test]
fn platform_yaml_is_read_as_it_was_meant() {
    let publisher = team();
    publisher.environment.write("below/file", "");
    insta::assert_snapshot!(steps(&publisher, &[&["-C", "below", "plugins", "install"]]), @"
    $ ztc -C below plugins install
    exit: 4
    --- stderr
    error: there is no `platform.yaml` that asks for plugins
      help: one lies above: `ztc -C [REPO] plugins install`
    ");
    let with = |plugin: &str| {
        let platform = format!(
            "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {{}}\nplugins:\n  hello: {plugin}\n"
        );
        publisher.environment.write("platform.yaml", platform);
    };
    rendered(&publisher);
    with("{source: ../tree, version: 1.0}");
    let output = publisher
        .environment
        .command(&["plugins", "install"])
        .output();
    insta::assert_snapshot!(Run::new(&publisher.environment, &output.unwrap()), @r#"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:6:37: error: `plugins.hello.version`: expected text, found the number `1.0`
        help: write it in quotes, `version: "1.0"`
    "#);
    with("{source: \"git://example.org/hello\"}");
    insta::assert_snapshot!(steps(&publisher, &[&["plugins", "install"], &["validate"]]), @"
    $ ztc plugins install
    exit: 2
    --- stderr
    error: `git://example.org/hello` cannot be a source of plugins: it knows no `git://`
      --> platform.yaml:6:19
      help: use a directory, `file://`, `https://` or `oci://`
    $ ztc validate
    exit: 2
    --- stderr
    error: `git://example.org/hello` cannot be a source of plugins: it knows no `git://`
      --> platform.yaml:4:3
      asked for: any version from git://example.org/hello
      help: use a directory, `file://`, `https://` or `oci://`
    ");
    with("{path: ../tree/hello/1.0.0/ztc-adapter-hello}");
    insta::assert_snapshot!(steps(&publisher, &[&["plugins", "install"], &["plugins", "upgrade"]]), @"
    $ ztc plugins install
    exit: 0
    --- stderr
    nothing to install: `hello` is ../tree/hello/1.0.0/ztc-adapter-hello, as `plugins.hello.path` says
    $ ztc plugins upgrade
    exit: 0
    --- stderr
    nothing is installed that could be upgraded
    ");
}
