//! What nobody has signed is looked at by an explicit word before it is installed by one; what is said at each command is what helps there. A key that
//! an operator gives is never talked out of.

use std::fs;

use crate::distribution::{Publisher, adapter, machine};
use crate::distribution_team::steps;
use crate::environment::TestEnv;
use crate::schemas::valid;

/// A publisher whose tree nobody has signed, and nobody has seen before.
fn unsigned() -> Publisher {
    let publisher = Publisher::new();
    fs::remove_file(publisher.tree().join("index.json.minisig")).unwrap();
    publisher
}

const INFO: &[&str] = &["plugins", "info", "hello", "--source", "../tree"];
const SEARCH: &[&str] = &["plugins", "search", "--source", "../tree"];

#[test]
fn every_command_says_what_helps_there() {
    let publisher = unsigned();
    let mirror: &[&str] = &["plugins", "mirror", "m", "hello", "--source", "../tree"];
    let check: &[&str] = &["plugins", "publish-check", "../tree"];
    let push: &[&str] = &["plugins", "push", "../tree", "oci://localhost:1/a/b"];
    let versions: &[&str] = &["update-versions", "--source", "../tree"];
    let commands = [INFO, SEARCH, mirror, check, push, versions];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins info hello --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` has no signature: there is no `index.json.minisig`
      help: add `--allow-unsigned` where you know these bytes by another way
    $ ztc plugins search --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` has no signature: there is no `index.json.minisig`
      help: add `--allow-unsigned` where you know these bytes by another way
    $ ztc plugins mirror m hello --source ../tree
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` has no signature: there is no `index.json.minisig`
      help: a mirror holds only what its publisher has signed; copy the directory, and `ztc plugins install` takes it with `--allow-unsigned`
    $ ztc plugins publish-check ../tree
    exit: 5
    --- stderr
    error: `file://[REPO]/../tree` has no signature: there is no `index.json.minisig`
      help: sign it with `ztc plugins publish DIR --key FILE`; where it was signed, bring `index.json.minisig` back from where the tree is served
    $ ztc plugins push ../tree oci://localhost:1/a/b
    exit: 5
    --- stderr
    error: `file://[REPO]/../tree` has no signature: there is no `index.json.minisig`
      help: sign it with `ztc plugins publish DIR --key FILE`; where it was signed, bring `index.json.minisig` back from where the tree is served
    $ ztc update-versions --source ../tree
    exit: 5
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  1  embedded  -  no channel is configured
    hetzner  1  embedded  -  no channel is configured
    talos  1  embedded  -  no channel is configured
    --- stderr
    error: `file://[ROOT]/tree` has no signature: there is no `index.json.minisig`
      help: tables of versions are taken from signed trees only: its publisher signs it with `ztc plugins publish`
    ");
}

#[test]
fn what_nobody_has_signed_is_looked_at_first() {
    let publisher = unsigned();
    let allow: &[&str] = &["--allow-unsigned"];
    let (info, search) = ([INFO, allow].concat(), [SEARCH, allow].concat());
    insta::assert_snapshot!(steps(&publisher, &[&info, &search]), @"
    $ ztc plugins info hello --source ../tree --allow-unsigned
    exit: 0
    --- stdout
    hello 1.0.0: says hello
      source       file://[ROOT]/tree
      trust        nobody has signed it: all of this may be untrue
      versions     1.0.0
      platforms    [MACHINE]: 900 bytes
      protocol     1.0
      provides     acme/hello 1.0
      requires     nothing
      stages       run as you, outside of the sandbox; `ztc render` writes their scripts to read
      environment  nothing
      secrets      nothing
      network      example.org:443
      tools        nothing
    --- stderr
    `hello` is not installed; this is what file://[ROOT]/tree offers:
      next: ztc plugins install hello@1.0.0 --source file://[ROOT]/tree --allow-unsigned  installs it
    $ ztc plugins search --source ../tree --allow-unsigned
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.0.0  1.0  [MACHINE]  no  file://[ROOT]/tree  says hello
    --- stderr
    warning: nobody has signed file://[ROOT]/tree: what it says of its adapters may be untrue
      next: ztc plugins info hello --source file://[ROOT]/tree --allow-unsigned  shows what it may touch
    ");
    for (command, schema) in [
        (info, "plugins-info.schema.json"),
        (search, "plugins-search.schema.json"),
    ] {
        let json = [&command[..], &["--json"]].concat();
        valid(schema, &publisher.environment.ztc_ok(&json).json());
    }
    let trusted = publisher.run(&["plugins", "trust", "list"]);
    assert_eq!(trusted.stdout.lines().count(), 1, "{trusted}");
}

#[test]
fn who_says_which_key_it_has_to_be_is_not_led_to_another_one() {
    let publisher = Publisher::new();
    let keygen = ["plugins", "keygen", "../other", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    let install: &[&str] = &["plugins", "install", "../tree", "--key", "../other.pub"];
    let signed = steps(&publisher, &[install]);
    fs::remove_file(publisher.tree().join("index.json.minisig")).unwrap();
    let text = signed + &steps(&publisher, &[install]);
    insta::assert_snapshot!(text, @"
    $ ztc plugins install ../tree --key ../other.pub
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` is signed with another key than the one that was given
      given: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: do not use it: ask the publisher, by another way than this source, which key is theirs
    $ ztc plugins install ../tree --key ../other.pub
    exit: 5
    --- stderr
    error: `file://[ROOT]/tree` has no signature, so the key that was given has not signed it
      given: [KEY]
      help: do not use it: ask the publisher, by another way than this source, which key is theirs
    ");
}

#[test]
fn an_unknown_mirror_says_what_every_command_can_do() {
    let mut publisher = Publisher::new();
    let mirror = [
        "plugins",
        "mirror",
        "../mirror",
        "hello",
        "--source",
        "../tree",
    ];
    publisher.environment.ztc_ok(&mirror);
    let place = publisher.environment.root().join("mirror");
    let environment: &mut TestEnv = &mut publisher.environment;
    environment.set("ZTC_PLUGINS_MIRROR", place.display().to_string());
    let trust = environment.root().join("home/.config/ztc/trust.json");
    fs::remove_file(trust).unwrap();
    let sources = environment.root().join("home/.local/share/ztc/sources");
    fs::remove_dir_all(sources).unwrap();
    // Where the mirror lies is called after where the test runs.
    let text: String = steps(&publisher, &[INFO, SEARCH])
        .lines()
        .filter(|line| !line.starts_with("  read from the mirror "))
        .map(|line| format!("{line}\n"))
        .collect();
    insta::assert_snapshot!(text, @"
    $ ztc plugins info hello --source ../tree
    exit: 5
    --- stderr
    error: no key of `file://[ROOT]/tree` is trusted here, and a mirror does not decide whose it is
      signed with: [KEY]
      help: compare the key with what its publisher shows elsewhere, then run `ztc plugins trust add file://[ROOT]/tree KEY`
    $ ztc plugins search --source ../tree
    exit: 5
    --- stderr
    error: no key of `file://[ROOT]/tree` is trusted here, and a mirror does not decide whose it is
      signed with: [KEY]
      help: compare the key with what its publisher shows elsewhere, then run `ztc plugins trust add file://[ROOT]/tree KEY`
    ");
}

#[test]
fn a_single_file_says_at_once_all_that_it_lacks() {
    let publisher = Publisher::new();
    let root = publisher.environment.root();
    let named = format!("ztc-adapter-bye-1.0.0-{}", machine());
    for name in ["ztc-adapter-bye", "something", &named] {
        fs::write(root.join(name), adapter("bye", "1.0.0")).unwrap();
    }
    let named = format!("../{named}");
    let install = |path| ["plugins", "install", path];
    let allowed = |path| ["plugins", "install", path, "--allow-unsigned"];
    let commands: [&[&str]; 4] = [
        &install("../ztc-adapter-bye"),
        &allowed("../something"),
        &install(&named),
        &allowed(&named),
    ];
    let mut text = steps(&publisher, &commands);
    // Built again, under the same version.
    let other = adapter("bye", "1.0.0") + "# other\n";
    fs::write(root.join("repo").join(&named), other).unwrap();
    text += &steps(&publisher, &[&allowed(&named)]);
    insta::assert_snapshot!(text, @"
    $ ztc plugins install ../ztc-adapter-bye
    exit: 2
    --- stderr
    error: `ztc-adapter-bye` does not say which version it is, and for which machine
      help: give the file a name such as `ztc-adapter-bye-1.0.0-[MACHINE]`, with its own version; a single file never has a signature, so add `--allow-unsigned` where you know these bytes by another way
    $ ztc plugins install ../something --allow-unsigned
    exit: 2
    --- stderr
    error: `something` does not say which adapter it is
      help: give the file a name such as `ztc-adapter-NAME-1.0.0-[MACHINE]`, with its own version
    $ ztc plugins install ../ztc-adapter-bye-1.0.0-[MACHINE]
    exit: 5
    --- stderr
    error: `[ROOT]/ztc-adapter-bye-1.0.0-[MACHINE]` has no signature: a single file never has one
      help: add `--allow-unsigned` where you know these bytes by another way
    $ ztc plugins install ../ztc-adapter-bye-1.0.0-[MACHINE] --allow-unsigned
    exit: 0
    --- stderr
    warning: nobody has signed `bye` 1.0.0: whoever can change file://[ROOT]/ztc-adapter-bye-1.0.0-[MACHINE] decides what it does
    ✓ bye 1.0.0 installed from file://[ROOT]/ztc-adapter-bye-1.0.0-[MACHINE]
      touches what it says when it starts: nobody has signed that
    $ ztc plugins install ../ztc-adapter-bye-1.0.0-[MACHINE] --allow-unsigned
    exit: 0
    --- stderr
    warning: `bye` 1.0.0 had other bytes until now, and these take their place
    warning: nobody has signed `bye` 1.0.0: whoever can change file://[ROOT]/ztc-adapter-bye-1.0.0-[MACHINE] decides what it does
    ✓ bye 1.0.0 installed from file://[ROOT]/ztc-adapter-bye-1.0.0-[MACHINE]
      touches what it says when it starts: nobody has signed that
    ");
}
