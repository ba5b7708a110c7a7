//! A version that was taken back by mistake is offered again by its publisher's word, nobody is warned of it any more, and a reason that was given once stays.

use serde_json::json;

use crate::distribution::{Publisher, machine};
use crate::distribution_oci::Registry;
use crate::distribution_team::steps;
use crate::schemas::valid;

const YANK: [&str; 2] = ["--yank", "hello@1.1.0"];
const UNYANK: [&str; 2] = ["--unyank", "hello@1.1.0"];

/// A publisher of two versions, the newer of which is installed.
fn publisher() -> Publisher {
    let publisher = Publisher::new();
    publisher.put("hello", "1.1.0", &machine());
    publisher.publish(&[]);
    publisher.install(&[]);
    publisher
}

fn publish<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let command = ["plugins", "publish", "../tree", "--key", "../key"];
    [&command, options].concat()
}

#[test]
fn what_was_taken_back_by_mistake_is_offered_again() {
    let publisher = publisher();
    let because = publish(&[&YANK[..], &["--reason", "it does harm"]].concat());
    let (again, offer) = (publish(&YANK), publish(&UNYANK));
    let search: &[&str] = &["plugins", "search", "hello"];
    let verify: &[&str] = &["plugins", "verify"];
    let commands: [&[&str]; 9] = [
        &because, &again, search, verify, &offer, search, verify, &offer, &again,
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins publish ../tree --key ../key --yank hello@1.1.0 --reason it does harm
    exit: 0
    --- stderr
      hello 1.1.0 is taken back: it does harm
    ✓ signed the index with serial 3, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    $ ztc plugins publish ../tree --key ../key --yank hello@1.1.0
    exit: 0
    --- stderr
      hello 1.1.0 is taken back: it does harm
    ✓ signed the index with serial 4, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    $ ztc plugins search hello
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.0.0  1.0  [MACHINE]  1.1.0  file://[ROOT]/tree  says hello
    --- stderr
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    $ ztc plugins verify
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.1.0  signed  file://[ROOT]/tree  ok
    --- stderr
    warning: `hello` 1.1.0 was taken back by its publisher: it does harm
      help: where it is not wanted any more, run `ztc plugins install hello@1.0.0 --source file://[ROOT]/tree`, then `ztc plugins remove hello@1.1.0`
    $ ztc plugins publish ../tree --key ../key --unyank hello@1.1.0
    exit: 0
    --- stderr
      hello 1.1.0 is offered again
    ✓ signed the index with serial 5, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    $ ztc plugins search hello
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.1.0, 1.0.0  1.0  [MACHINE]  1.1.0  file://[ROOT]/tree  says hello
    --- stderr
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    $ ztc plugins verify
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.1.0  signed  file://[ROOT]/tree  ok
    $ ztc plugins publish ../tree --key ../key --unyank hello@1.1.0
    exit: 2
    --- stderr
    error: `hello` 1.1.0 was not taken back in this tree
      help: everybody can install it; where a newer tree of yours has taken it back, publish from that one
    $ ztc plugins publish ../tree --key ../key --yank hello@1.1.0
    exit: 0
    --- stderr
      hello 1.1.0 is taken back: no reason was given
    ✓ signed the index with serial 6, valid until [TIME]
      next: ztc plugins publish-check ../tree  then serve the directory as static files, `index.json.minisig` last
    ");
}

#[test]
fn what_was_said_of_versions_is_there_for_programs() {
    let publisher = publisher();
    let said = |options: &[&str]| {
        let json = publisher.environment.ztc_ok(&publish(options)).json();
        valid("plugins-publish.schema.json", &json);
        (json["yanked"].clone(), json["unyanked"].clone())
    };
    let (yanked, nothing) = said(&[&YANK[..], &["--json"]].concat());
    let version = json!({"name": "hello", "version": "1.1.0", "why": "no reason was given"});
    assert_eq!((yanked, nothing), (json!([version]), json!(null)));
    let (nothing, unyanked) = said(&[&UNYANK[..], &["--json"]].concat());
    let version = json!({"name": "hello", "version": "1.1.0"});
    assert_eq!((nothing, unyanked), (json!(null), json!([version])));
    let info = [
        "plugins", "info", "hello@^1", "--source", "../tree", "--json",
    ];
    let info = publisher.environment.ztc_ok(&info).json();
    valid("plugins-info.schema.json", &info);
    assert_eq!(info["version"], "1.1.0");
    // Nothing is taken back and offered again at once, and a renewal says nothing of it.
    let both = publisher.run(&publish(&[YANK, UNYANK].concat()));
    assert_eq!(both.code, Some(2), "{both}");
    let renewal = publisher.run(&publish(&[&UNYANK[..], &["--renew"]].concat()));
    assert_eq!(renewal.code, Some(2), "{renewal}");
}

#[test]
fn a_registry_takes_what_is_offered_again_on_purpose_and_no_older_copy() {
    let publisher = publisher();
    let Some(registry) = Registry::start(&publisher, "") else {
        return;
    };
    let to = format!("oci://{}/acme/hello", registry.address);
    let ok = |options: &[&str]| {
        let run = publisher.run(&publish(&[options, &["--to", &to]].concat()));
        assert_eq!(run.code, Some(0), "{run}");
    };
    ok(&YANK);
    // Renewed between, and pushed by itself.
    publisher.environment.ztc_ok(&publish(&UNYANK));
    publisher.environment.ztc_ok(&publish(&["--renew"]));
    publisher
        .environment
        .ztc_ok(&["plugins", "push", "../tree", &to]);
    let files = ["index.json", "index.json.minisig"];
    let tree = publisher.tree();
    let copy = files.map(|file| std::fs::read(tree.join(file)).unwrap());
    ok(&YANK);
    // A copy from before, in which it is offered again, is not the publisher's last word.
    for (file, text) in files.iter().zip(copy) {
        std::fs::write(tree.join(file), text).unwrap();
    }
    publisher.forget();
    let older = publisher.run(&publish(&["--serial", "20", "--to", &to]));
    insta::assert_snapshot!(older.to_string().replace(&registry.address, "[REGISTRY]"), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has taken versions back that this tree offers again
      hello@1.1.0
      help: publish from the tree that was pushed before; or sign this one with `ztc plugins publish` and `--yank NAME@VERSION` for each of them, or `--unyank NAME@VERSION` where it is meant
    ");
    ok(&[&UNYANK[..], &["--serial", "20"]].concat());
}

#[test]
fn what_would_be_sent_is_what_is_sent() {
    let publisher = publisher();
    // The same bytes under several names, as a script is published.
    for platform in ["linux-x86_64", "linux-aarch64", "macos-x86_64"] {
        publisher.put("hello", "1.2.0", platform);
    }
    publisher.publish(&[]);
    let Some(registry) = Registry::start(&publisher, "") else {
        return;
    };
    let to = format!("oci://{}/acme/hello", registry.address);
    let push = ["plugins", "push", "../tree", &to, "--json"];
    let sent = |options: &[&str]| {
        let json = publisher.environment.ztc_ok(&[&push, options].concat());
        json.json()["pushed"]["sent"].clone()
    };
    let would = sent(&["--dry-run"]);
    assert_eq!(would, sent(&[]));
    let programs = would.as_array().unwrap().iter();
    let programs = programs.filter(|path| path.as_str().unwrap().starts_with("hello/1.2.0/ztc-"));
    assert_eq!(programs.count(), 1, "{would}");
}

#[test]
fn a_tag_of_a_tree_with_several_adapters_names_one() {
    let publisher = publisher();
    publisher
        .environment
        .ztc_ok(&["plugins", "remove", "hello"]);
    publisher.put("bye-bye", "2.0.0", &machine());
    publisher.publish(&[]);
    let Some(registry) = Registry::start(&publisher, "") else {
        return;
    };
    let to = format!("oci://{}/acme/all", registry.address);
    publisher
        .environment
        .ztc_ok(&["plugins", "push", "../tree", &to]);
    let (bye, version) = (format!("{to}:bye-bye-2.0.0"), format!("{to}:1.0.0"));
    let commands: [&[&str]; 4] = [
        &["plugins", "install", &bye],
        &["plugins", "install", &version],
        &["plugins", "install", "hello", "--source", &bye],
        &["plugins", "install", "hello", "--source", &version],
    ];
    let text = steps(&publisher, &commands).replace(&registry.address, "[REGISTRY]");
    insta::assert_snapshot!(text, @"
    $ ztc plugins install oci://[REGISTRY]/acme/all:bye-bye-2.0.0
    exit: 0
    --- stderr
    the publisher's key of oci://[REGISTRY]/acme/all is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ bye-bye 2.0.0 installed from oci://[REGISTRY]/acme/all
      touches network example.org:443
    $ ztc plugins install oci://[REGISTRY]/acme/all:1.0.0
    exit: 2
    --- stderr
    error: `oci://[REGISTRY]/acme/all` has several adapters
      it has `bye-bye` and `hello`
      help: run `ztc plugins install NAME@1.0.0 --source oci://[REGISTRY]/acme/all`
    $ ztc plugins install hello --source oci://[REGISTRY]/acme/all:bye-bye-2.0.0
    exit: 2
    --- stderr
    error: the address names a version of `bye-bye`, and `hello` is asked for
      help: run `ztc plugins install hello --source oci://[REGISTRY]/acme/all`
    $ ztc plugins install hello --source oci://[REGISTRY]/acme/all:1.0.0
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from oci://[REGISTRY]/acme/all
      touches network example.org:443
    ");
}
