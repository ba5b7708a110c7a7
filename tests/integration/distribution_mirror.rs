//! Mirrors: what a platform asks for, copied byte for byte, checked, and installed from without the publisher; and what the known sources offer.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::distribution::{Lie, Publisher, machine, serve};
use crate::distribution_oci::Registry;
use crate::distribution_team::{colleague, release, rendered, steps, team};
use crate::environment::{Run, collect};
use crate::schemas::valid;

/// A publisher behind a web server, and a platform that asks for `hello`.
struct Web {
    publisher: Publisher,
    address: String,
    lie: Arc<Mutex<Lie>>,
}

impl Web {
    fn new() -> Self {
        let publisher = Publisher::new();
        let lie = Arc::new(Mutex::new(Lie::Nothing));
        let address = serve(publisher.tree(), Arc::clone(&lie));
        publisher.put("hello", "1.1.0", &machine());
        publisher.put("hello", "1.1.0", "linux-riscv64");
        publisher.put("hello", "2.0.0", &machine());
        publisher.publish(&["--publisher", "The authors"]);
        let platform = format!(
            "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {{}}\nplugins:\n  hello: {{source: '{address}', version: '^1'}}\n"
        );
        publisher.environment.write("platform.yaml", platform);
        Self {
            publisher,
            address,
            lie,
        }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut run = self.publisher.run(arguments);
        for stream in [&mut run.stdout, &mut run.stderr] {
            *stream = stream.replace(&self.address, "[WEB]");
            // How wide a column is depends on the machine.
            while !stream.contains("\": ") && stream.contains("   ") {
                *stream = stream.replace("   ", "  ");
            }
            // The name of a tree in a mirror ends with a part of a digest.
            let words = self.address.replace("http://", "").replace(['.', ':'], "-");
            while let Some(at) = stream.find(&words) {
                stream.replace_range(at..at + words.len() + 9, "[TREE]");
            }
        }
        run
    }

    fn mirror(&self) -> PathBuf {
        self.publisher.environment.root().join("mirror")
    }

    /// The directories of the mirror.
    fn mirrors(&self) -> Vec<String> {
        let entries = fs::read_dir(self.mirror()).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// Every file of the only mirrored tree.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = std::collections::BTreeMap::new();
        let [name] = <[String; 1]>::try_from(self.mirrors()).unwrap();
        let root = self.mirror().join(name);
        collect(&root, &root, &mut files);
        files.into_iter().collect()
    }
}

#[test]
fn what_a_platform_asks_for_is_mirrored_and_installed_without_the_publisher() {
    let mut web = Web::new();
    let mirror = ["plugins", "mirror", "../mirror"];
    insta::assert_snapshot!(web.run(&[&mirror[..], &["--dry-run"]].concat()), @"
    exit: 0
    --- stderr
    the publisher's key of [WEB] would be trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
      hello 1.1.0 for linux-riscv64: would be copied
      hello 1.1.0 for [MACHINE]: would be copied
    ✓ [WEB] would be in [ROOT]/mirror/[TREE], serial 2, valid until [TIME]
    ");
    assert!(!web.mirror().exists());
    insta::assert_snapshot!(web.run(&mirror), @"
    exit: 0
    --- stderr
    the publisher's key of [WEB] is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
      hello 1.1.0 for linux-riscv64: copied
      hello 1.1.0 for [MACHINE]: copied
    ✓ [WEB] in [ROOT]/mirror/[TREE], serial 2, valid until [TIME]
      next: ZTC_PLUGINS_MIRROR=[ROOT]/mirror ztc plugins install  on a machine without network, with the place of the directory there
    ");
    insta::assert_snapshot!(web.run(&mirror), @"
    exit: 0
    --- stderr
      hello 1.1.0 for linux-riscv64: was there
      hello 1.1.0 for [MACHINE]: was there
    ✓ [WEB] in [ROOT]/mirror/[TREE], serial 2, valid until [TIME]
      next: ZTC_PLUGINS_MIRROR=[ROOT]/mirror ztc plugins install  on a machine without network, with the place of the directory there
    ");
    // Byte for byte, and nothing else but the list of what is there.
    let files = web.files();
    for (path, content) in &files {
        if path != "mirror.json" {
            assert_eq!(
                fs::read(web.publisher.tree().join(path)).unwrap(),
                *content,
                "{path}"
            );
        }
    }
    let paths: Vec<String> = files
        .iter()
        .map(|(path, _)| path.replace(&machine(), "[MACHINE]"))
        .collect();
    insta::assert_snapshot!(paths.join("\n"), @"
    hello/1.1.0/SHA256SUMS
    hello/1.1.0/SHA256SUMS.minisig
    hello/1.1.0/ztc-adapter-hello-1.1.0-linux-riscv64
    hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    index.json
    index.json.minisig
    mirror.json
    ");
    let tree = format!("../mirror/{}", web.mirrors()[0]);
    insta::assert_snapshot!(web.run(&["plugins", "publish-check", &tree]), @"
    exit: 0
    --- stderr
    a mirror of [WEB], which need not hold every file
    ✓ 2 files, 1 version, 1 adapter: serial 2, valid until [TIME], key [KEY]
    ");
    // The publisher is gone.
    fs::rename(
        web.publisher.tree(),
        web.publisher.environment.root().join("gone"),
    )
    .unwrap();
    insta::assert_snapshot!(web.run(&["plugins", "install"]), @"
    exit: 4
    --- stderr
    error: `[WEB]` has no `index.json`
      help: name a tree that `ztc plugins publish` has made, or a repository that `ztc plugins push` has filled
    ");
    let place = web.mirror().display().to_string();
    web.publisher.environment.set("ZTC_PLUGINS_MIRROR", &place);
    insta::assert_snapshot!(web.run(&["plugins", "install"]), @"
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from [WEB]
      touches network example.org:443
    ");
    insta::assert_snapshot!(web.run(&["plugins", "verify"]), @"
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.1.0  signed  [WEB]  ok
    ");
    // What it does not hold it does not have.
    insta::assert_snapshot!(web.run(&["plugins", "install", "hello@2.0.0"]), @"
    exit: 1
    --- stderr
    error: `file://[ROOT]/mirror/[TREE]` has no file `hello/2.0.0/ztc-adapter-hello-2.0.0-[MACHINE]`, which its index names
      help: a mirror has what was asked for when it was made: run `ztc plugins mirror` again where there is a network
    ");
    insta::assert_snapshot!(web.run(&["plugins", "install", "other", "--source", "https://example.org/other"]), @"
    exit: 4
    --- stderr
    error: the mirror `[ROOT]/mirror` has nothing of `https://example.org/other`
      there is no directory `[ROOT]/mirror/example-org-other-55208e33`
      help: run `ztc plugins mirror` where there is a network, or leave `ZTC_PLUGINS_MIRROR` out
    ");
}

#[test]
fn a_mirror_of_some_platforms_is_whole_and_says_what_it_lacks() {
    let web = Web::new();
    let mirror = ["plugins", "mirror", "../mirror", "--platform"];
    insta::assert_snapshot!(web.run(&[&mirror[..], &["linux-riscv64"]].concat()), @"
    exit: 0
    --- stderr
    the publisher's key of [WEB] is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
      hello 1.1.0 for linux-riscv64: copied
    ✓ [WEB] in [ROOT]/mirror/[TREE], serial 2, valid until [TIME]
      next: ZTC_PLUGINS_MIRROR=[ROOT]/mirror ztc plugins install  on a machine without network, with the place of the directory there
    ");
    insta::assert_snapshot!(web.run(&[&mirror[..], &["windows-x86_64"]].concat()), @"
    exit: 2
    --- stderr
    error: invalid value 'windows-x86_64' for '--platform <LIST>': `windows-x86_64` is not a platform such as `[MACHINE]` or `macos-aarch64`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(web.run(&[&mirror[..], &["macos-aarch64"]].concat()), @"
    exit: 4
    --- stderr
    error: no version of `hello` of `[WEB]` can be used here
      1.1.0 is not published for macos-aarch64, only for linux-riscv64, [MACHINE]
      1.0.0 is not published for macos-aarch64, only for [MACHINE]
      help: ask the publisher for a build for this machine
    ");
    let tree = format!("../mirror/{}", web.mirrors()[0]);
    insta::assert_snapshot!(web.run(&["plugins", "publish-check", &tree]), @"
    exit: 0
    --- stderr
    a mirror of [WEB], which need not hold every file
    ✓ 1 file, 1 version, 1 adapter: serial 2, valid until [TIME], key [KEY]
    ");
    insta::assert_snapshot!(web.run(&["plugins", "install", "hello@^1", "--source", &tree]), @"
    exit: 1
    --- stderr
    error: `file://[ROOT]/mirror/[TREE]` has no file `hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]`, which its index names
      help: run the same command again later: its publisher may be about to change it
    ");
    let program = web
        .mirror()
        .join(&web.mirrors()[0])
        .join("hello/1.1.0/ztc-adapter-hello-1.1.0-linux-riscv64");
    fs::write(&program, "#!/bin/sh\nelse").unwrap();
    insta::assert_snapshot!(web.run(&["plugins", "publish-check", &tree]), @"
    exit: 1
    --- stderr
    error: `../mirror/[TREE]` cannot be installed from
      hello/1.1.0/ztc-adapter-hello-1.1.0-linux-riscv64: it has 14 bytes, and 900 were signed
      help: correct the files and run `ztc plugins publish` again
    ");
    // The next run mends it.
    assert_eq!(
        web.run(&[&mirror[..], &["linux-riscv64"]].concat()).code,
        Some(0)
    );
    assert_eq!(web.run(&["plugins", "publish-check", &tree]).code, Some(0));
}

#[test]
fn nothing_wrong_comes_into_a_mirror() {
    let web = Web::new();
    let mirror = ["plugins", "mirror", "../mirror"];
    *web.lie.lock().unwrap() = Lie::Truncated;
    insta::assert_snapshot!(web.run(&mirror), @"
    exit: 1
    --- stderr
    error: `hello/1.1.0/ztc-adapter-hello-1.1.0-linux-riscv64` of `[WEB]` ended too early: 100 of 900 bytes
      help: run the same command again; nothing was installed
    ");
    assert!(
        !web.files()
            .iter()
            .any(|(path, _)| path.contains("ztc-adapter") || path == "index.json")
    );
    *web.lie.lock().unwrap() = Lie::Endless;
    assert_eq!(web.run(&mirror).code, Some(5));
    *web.lie.lock().unwrap() = Lie::Nothing;
    let sums = web.publisher.tree().join("hello/1.1.0/SHA256SUMS");
    let good = fs::read_to_string(&sums).unwrap();
    fs::write(&sums, good.replace('a', "b")).unwrap();
    insta::assert_snapshot!(web.run(&mirror), @"
    exit: 5
    --- stderr
    error: `hello/1.1.0/SHA256SUMS` of `[WEB]` says something else than the index
      help: run the same command again later: its publisher may be about to change it
    ");
    fs::write(&sums, &good).unwrap();
    let tree = web.publisher.tree();
    let files = ["index.json", "index.json.minisig"];
    let old = files.map(|file| fs::read(tree.join(file)).unwrap());
    web.publisher.publish(&[]);
    assert_eq!(web.run(&mirror).code, Some(0));
    // Another machine, which has seen nothing, and an old copy of the tree.
    for (file, text) in files.iter().zip(&old) {
        fs::write(tree.join(file), text).unwrap();
    }
    fs::remove_dir_all(web.publisher.environment.root().join("home/.local")).unwrap();
    insta::assert_snapshot!(web.run(&mirror), @"
    exit: 5
    --- stderr
    error: the index of `[WEB]` is older than the one that this machine has seen: serial 2, seen was 3
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove [WEB]`
    ");
}

#[test]
fn several_publishers_have_a_directory_each_and_a_registry_can_be_the_mirror() {
    let mut web = Web::new();
    let other = Publisher::new();
    let source = other.tree().display().to_string();
    let platform = web.publisher.environment.read("platform.yaml")
        + &format!("  other: {{source: '{source}'}}\n");
    web.publisher.environment.write("platform.yaml", platform);
    let mirror = [
        "plugins",
        "mirror",
        "../mirror",
        "--platform",
        &machine(),
        "--json",
    ];
    let refused = web.run(&mirror);
    assert_eq!(refused.json()["error"]["exit"], "missing", "{refused}");
    other.put("other", "1.0.0", &machine());
    other.publish(&[]);
    let done = web.run(&mirror).json();
    valid("plugins-mirror.schema.json", &done);
    let count = |value: &serde_json::Value| value.as_array().unwrap().len();
    assert_eq!(
        (count(&done["mirrors"]), web.mirrors().len()),
        (2, 2),
        "{done}"
    );
    assert_eq!(done["mirrors"][0]["files"][0]["state"], "copied");
    let Some(registry) = Registry::start(&web.publisher, "") else {
        return;
    };
    for name in web.mirrors() {
        let to = format!("oci://{}/mirror/{name}", registry.address);
        web.publisher
            .environment
            .ztc_ok(&["plugins", "push", &format!("../mirror/{name}"), &to]);
    }
    fs::remove_dir_all(web.mirror()).unwrap();
    fs::remove_dir_all(other.tree()).unwrap();
    fs::remove_dir_all(web.publisher.tree()).unwrap();
    let place = format!("oci://{}/mirror", registry.address);
    web.publisher.environment.set("ZTC_PLUGINS_MIRROR", place);
    let installed = web.run(&["plugins", "install", "--json"]).json();
    let plugins = installed["plugins"].as_array().unwrap();
    let states: Vec<_> = plugins
        .iter()
        .map(|it| (&it["name"], &it["version"], &it["state"]))
        .collect();
    let said = serde_json::to_string(&states).unwrap();
    assert_eq!(
        said,
        r#"[["hello","1.1.0","installed"],["other","1.0.0","installed"]]"#
    );
    assert_eq!(
        installed["plugins"][0]["source"],
        web.address.as_str().replace(&web.address, "[WEB]")
    );
}

#[test]
fn a_mirror_holds_what_is_locked_and_serves_a_lock_without_the_network() {
    let mut publisher = team();
    rendered(&publisher);
    release(&publisher, "1.1.0");
    let mirror = ["plugins", "mirror", "../mirror", "--json"];
    let made = publisher.environment.ztc_ok(&mirror).json();
    valid("plugins-mirror.schema.json", &made);
    let file = &made["mirrors"][0]["files"][0];
    assert_eq!(
        (&file["name"], &file["version"]),
        (&"hello".into(), &"1.0.0".into()),
        "{made}"
    );
    colleague(&publisher);
    fs::rename(publisher.tree(), publisher.environment.root().join("gone")).unwrap();
    let place = publisher.environment.root().join("mirror");
    // From where ztc is started.
    publisher.environment.set("ZTC_PLUGINS_MIRROR", "../mirror");
    let commands: [&[&str]; 3] = [
        &["plugins", "install", "--locked"],
        &["validate", "--locked"],
        &["plugins", "upgrade", "--yes"],
    ];
    let directory = fs::read_dir(&place).unwrap().next().unwrap().unwrap();
    let directory = directory.file_name().display().to_string();
    let said = steps(&publisher, &commands).replace(&directory, "[TREE]");
    insta::assert_snapshot!(said, @"
    $ ztc plugins install --locked
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc validate --locked
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    $ ztc plugins upgrade --yes
    exit: 1
    --- stderr
    hello 1.0.0 -> 1.1.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
    error: `file://[ROOT]/mirror/[TREE]` has no file `hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]`, which its index names
      help: a mirror has what was asked for when it was made: run `ztc plugins mirror` again where there is a network
    ");
}

#[test]
fn sources_are_searched_and_remembered_when_they_cannot_be_reached() {
    let web = Web::new();
    // Nobody trusts it yet, and a search changes nothing about that.
    insta::assert_snapshot!(web.run(&["plugins", "search"]), @"
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  2.0.0, 1.1.0, 1.0.0  1.0  [MACHINE]  no  [WEB]  says hello
    --- stderr
    no key is pinned for [WEB]: whose it is will be shown by `ztc plugins install`
      next: ztc plugins info hello --source [WEB]  shows what it may touch
    ");
    assert_eq!(
        web.run(&["plugins", "trust", "list"])
            .stdout
            .lines()
            .count(),
        1
    );
    web.publisher.environment.ztc_ok(&["plugins", "install"]);
    web.publisher.put("other", "1.0.0", "linux-riscv64");
    web.publisher
        .publish(&["--protocol", "1.0", "--yank", "hello@2.0.0"]);
    insta::assert_snapshot!(web.run(&["plugins", "search"]), @"
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.1.0, 1.0.0  1.0  linux-riscv64, [MACHINE]  1.1.0  [WEB]  says hello
    other  1.0.0  1.0  linux-riscv64  no  [WEB]
    ");
    insta::assert_snapshot!(web.run(&["plugins", "search", "ACME/hel"]), @"
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.1.0, 1.0.0  1.0  linux-riscv64, [MACHINE]  1.1.0  [WEB]  says hello
    --- stderr
      next: ztc plugins info hello --source [WEB]  shows what it may touch
    ");
    insta::assert_snapshot!(web.run(&["plugins", "search", "calico"]), @"
    exit: 0
    --- stderr
    no adapter with `calico` was found
    ");
    let found = web.run(&["plugins", "search", "--json"]).json();
    valid("plugins-search.schema.json", &found);
    insta::assert_snapshot!(web.run(&["plugins", "search", "other", "--json"]).stdout, @r#"
    {
      "plugins": [
        {
          "name": "other",
          "description": "",
          "source": "[WEB]",
          "versions": [
            {
              "version": "1.0.0",
              "released": "[TIME]",
              "yanked": null,
              "protocols": [
                "1.0"
              ],
              "platforms": [
                "linux-riscv64"
              ],
              "provides": [],
              "requires": [],
              "powers": {
                "known": false,
                "touches": {
                  "environment": [],
                  "secrets": [],
                  "network": [],
                  "tools": []
                },
                "compared_with": null,
                "new": []
              }
            }
          ],
          "installed": []
        }
      ],
      "sources": [
        {
          "source": "[WEB]",
          "trusted": true,
          "unsigned": false,
          "state": "asked",
          "why": null,
          "serial": 3,
          "issued": "[TIME]"
        }
      ]
    }
    "#);
    // What was searched is remembered.
    let gone = web.publisher.environment.root().join("gone");
    fs::rename(web.publisher.tree(), &gone).unwrap();
    insta::assert_snapshot!(web.run(&["plugins", "search", "other"]), @"
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    other  1.0.0  1.0  linux-riscv64  no  [WEB]
    --- stderr
    warning: `[WEB]` has no `index.json`; shown is what [WEB] has shown last, of [TIME]
      next: ztc plugins info other --source [WEB]  shows what it may touch
    ");
    insta::assert_snapshot!(web.run(&["plugins", "search", "--offline", "other"]), @"
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    other  1.0.0  1.0  linux-riscv64  no  [WEB]
    --- stderr
    warning: `--offline` asks nobody; shown is what [WEB] has shown last, of [TIME]
      next: ztc plugins info other --source [WEB]  shows what it may touch
    ");
    insta::assert_snapshot!(web.run(&["plugins", "search", "--source", "../none"]), @"
    exit: 4
    --- stderr
    error: there is no directory `[ROOT]/none`
      help: name the directory that holds `index.json`
    ");
    fs::rename(&gone, web.publisher.tree()).unwrap();
    // What is refused is not shown.
    web.publisher.change(|index| index["serial"] = 1.into());
    insta::assert_snapshot!(web.run(&["plugins", "search"]), @"
    exit: 5
    --- stderr
    error: `index.json` of `[WEB]` is not what its publisher signed: the signature does not fit its bytes
      help: do not use this tree: tell its publisher by another way than this source
    ");
}

#[test]
fn without_sources_a_search_says_how_to_name_one() {
    let publisher = Publisher::new();
    insta::assert_snapshot!(publisher.run(&["plugins", "search"]), @"
    exit: 4
    --- stderr
    error: no source is known that could be searched
      help: name one with `--source SOURCE`; those that something was installed from, and those of platform.yaml, are known
    ");
}
