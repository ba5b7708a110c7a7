//! A new key in a registry: after a rotation, after a theft, and after somebody has written nonsense there. The publisher goes on by an explicit
//! word, nothing is signed for a push that is refused, and operators trust the new key by hand.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use ztc_protocol::sha256_hex;

use crate::distribution::{Publisher, machine};
use crate::distribution_oci::Registry;
use crate::distribution_oci_attacks::Fake;
use crate::distribution_publish::sign;
use crate::environment::{Run, collect};
use crate::schemas::valid;

/// What a tag can name.
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_LIST: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A publisher with two keys, and what is put where their trees lie.
struct World {
    publisher: Publisher,
    registry: Registry,
    to: String,
}

impl World {
    /// The tree was pushed, signed with the first key, and an operator has installed from it.
    fn new() -> Option<Self> {
        let publisher = Publisher::new();
        let registry = Registry::start(&publisher, "")?;
        let keygen = ["plugins", "keygen", "../new", "--no-password"];
        publisher.environment.ztc_ok(&keygen);
        let to = format!("oci://{}/acme/hello", registry.address);
        let world = Self {
            publisher,
            registry,
            to,
        };
        world.ok(&["plugins", "push", "../tree", &world.to]);
        world.ok(&["plugins", "install", &world.to]);
        Some(world)
    }

    /// Runs `ztc` and shows which key is which.
    fn run(&self, arguments: &[&str]) -> Run {
        let mut run = self.publisher.environment.ztc(arguments);
        for stream in [&mut run.stdout, &mut run.stderr] {
            for (file, name) in [("key", "[OLD]"), ("new", "[NEW]")] {
                *stream = stream.replace(&self.key(file), name);
            }
            *stream = stream.replace(&self.registry.address, "[REGISTRY]");
            *stream = self.publisher.filtered(stream);
        }
        run
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(0), "{run}");
        run
    }

    /// The line of a public key.
    fn key(&self, file: &str) -> String {
        let path = self
            .publisher
            .environment
            .root()
            .join(format!("{file}.pub"));
        let text = fs::read_to_string(path).unwrap();
        text.lines().nth(1).unwrap().to_owned()
    }

    fn publish(&self, key: &str, options: &[&str]) -> Run {
        let command = ["plugins", "publish", "../tree", "--key", key];
        self.run(&[&command, options].concat())
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let (tree, mut files) = (self.publisher.tree(), BTreeMap::new());
        collect(&tree, &tree, &mut files);
        files
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.publisher.tree().join(file)).unwrap()
    }

    /// Sends bytes and returns their digest.
    fn blob(&self, content: &[u8]) -> String {
        let begin = self.http("POST", "/v2/acme/hello/blobs/uploads/", (OCI, b""));
        let lines = begin.lines();
        let mut places = lines.filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("location").then(|| value.trim())
        });
        let place = places.next().expect("it says where to send a file");
        let place = place.split(&self.registry.address).last().unwrap();
        let digest = format!("sha256:{}", sha256_hex(content));
        let said = self.http("PUT", &format!("{place}&digest={digest}"), (OCI, content));
        assert!(said.starts_with("HTTP/1.1 201"), "{said}");
        digest
    }

    /// Puts files under a tag, as whoever may write to the registry can.
    fn put(&self, tag: &str, files: &[(&str, &[u8])]) {
        let layers: Vec<Value> = files
            .iter()
            .map(|(path, content)| {
                json!({"mediaType": "application/octet-stream", "digest": self.blob(content), "size": content.len(),
                    "annotations": {"org.opencontainers.image.title": path}})
            })
            .collect();
        let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": self.blob(b"{}"), "size": 2});
        let manifest = json!({"mediaType": OCI, "config": config, "layers": layers});
        self.name(tag, OCI, manifest);
    }

    /// Makes a tag name what is no tree: an image of Docker, and lists of images.
    fn put_image(&self, tag: &str, kind: &str) {
        let config = json!({"mediaType": "application/vnd.docker.container.image.v1+json", "digest": self.blob(b"{}"), "size": 2});
        let layer = json!({"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": self.blob(b"layer"), "size": 5});
        let manifest = match kind {
            DOCKER => json!({"mediaType": kind, "config": config, "layers": [layer]}),
            _ => json!({"mediaType": kind, "manifests": []}),
        };
        self.name(tag, kind, manifest);
    }

    fn name(&self, tag: &str, kind: &str, mut manifest: Value) {
        manifest["schemaVersion"] = json!(2);
        let path = format!("/v2/acme/hello/manifests/{tag}");
        let said = self.http("PUT", &path, (kind, manifest.to_string().as_bytes()));
        assert!(said.starts_with("HTTP/1.1 201"), "{said}");
    }

    fn http(&self, method: &str, path: &str, (kind, body): (&str, &[u8])) -> String {
        let mut stream = TcpStream::connect(&self.registry.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: {kind}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.registry.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn a_key_is_rotated_in_a_registry_by_an_explicit_word() {
    let Some(world) = World::new() else { return };
    world.publisher.put("hello", "1.1.0", &machine());
    let before = world.files();
    // The tree here may be signed anew, and not be pushed: then neither is done.
    insta::assert_snapshot!(world.publish("../new", &["--to", &world.to]), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` was signed with another key
      it was: [OLD]
      this is: [NEW]
      help: take that key; with `--replace-key` everybody who has installed from here has to trust the new one by hand
    ");
    let wrong = world.publish("../new", &["--to", "oci://127.0.0.1:1/Nothing"]);
    assert_eq!(wrong.code, Some(2), "{wrong}");
    assert_eq!(world.files(), before);
    let rotate = ["--replace-key", "--to", &world.to];
    insta::assert_snapshot!(world.publish("../new", &[&rotate[..], &["--dry-run"]].concat()), @"
    exit: 0
    --- stderr
      the key until now: [OLD]
      the key from now on: [NEW]
      hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    ✓ would sign the index with serial 2, valid until [TIME]
    ✓ would push it to oci://[REGISTRY]/acme/hello
    ");
    assert_eq!(world.files(), before);
    insta::assert_snapshot!(world.publish("../new", &rotate), @"
    exit: 0
    --- stderr
      the key until now: [OLD]
      the key from now on: [NEW]
      hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    ✓ signed the index with serial 2, valid until [TIME]
      the key until now in oci://[REGISTRY]/acme/hello: [OLD]
      sent index.json
      sent index.json.minisig
      sent hello/1.0.0/SHA256SUMS.minisig
      sent hello/1.1.0/SHA256SUMS
      sent hello/1.1.0/SHA256SUMS.minisig
      sent hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    ✓ oci://[REGISTRY]/acme/hello holds the tree with serial 2, under its key 1.0.0, 1.1.0
    ");
    // The old key is not taken by accident now.
    insta::assert_snapshot!(world.publish("../key", &["--to", &world.to]), @"
    exit: 5
    --- stderr
    error: `[ROOT]/tree` was signed with another key
      it was: [NEW]
      this is: [OLD]
      help: take that key; with `--replace-key` everybody who has installed from here has to trust the new one by hand
    ");
    let install = ["plugins", "install", "hello", "--source", &world.to];
    insta::assert_snapshot!(world.run(&install), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` is signed with another key than the one that the list of trusted publishers names
      known: [OLD] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add oci://[REGISTRY]/acme/hello KEY`
    ");
    world.ok(&["plugins", "trust", "add", &world.to, &world.key("new")]);
    insta::assert_snapshot!(world.run(&install), @"
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from oci://[REGISTRY]/acme/hello
      touches network example.org:443
    ");
    // Nothing is left of the old key, in no version either.
    let manifest = world.http("GET", "/v2/acme/hello/manifests/1.0.0", (OCI, b""));
    let signature = sha256_hex(&world.read("hello/1.0.0/SHA256SUMS.minisig"));
    assert!(manifest.contains(&signature), "{manifest}");
}

#[test]
fn a_tree_that_is_signed_already_takes_the_place_of_another_key_by_an_explicit_word() {
    let Some(world) = World::new() else { return };
    assert_eq!(world.publish("../new", &["--replace-key"]).code, Some(0));
    let push = ["plugins", "push", "../tree", &world.to];
    insta::assert_snapshot!(world.run(&push), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has a tree that was signed with another key
      there: [OLD]
      here: [NEW]
      help: push what that key has signed, or to another repository; with `--replace-key` yours takes its place, and everybody who has installed from there has to trust your key by hand
    ");
    let replace = [&push[..], &["--replace-key", "--dry-run", "--json"]].concat();
    let said = world.publisher.environment.ztc_ok(&replace).json();
    valid("plugins-push.schema.json", &said);
    assert_eq!(said["pushed"]["replaced_key"], world.key("key").as_str());
    insta::assert_snapshot!(world.run(&[&push[..], &["--replace-key"]].concat()), @"
    exit: 0
    --- stderr
      the key until now in oci://[REGISTRY]/acme/hello: [OLD]
      sent index.json
      sent index.json.minisig
      sent hello/1.0.0/SHA256SUMS.minisig
    ✓ oci://[REGISTRY]/acme/hello holds the tree with serial 2, under its key 1.0.0
    ");
    insta::assert_snapshot!(world.run(&push), @"
    exit: 0
    --- stderr
    ✓ oci://[REGISTRY]/acme/hello holds the tree with serial 2, no new versions
    ");
}

#[test]
fn a_thief_in_a_registry_is_left_behind_with_a_new_key() {
    let Some(world) = World::new() else { return };
    // The thief goes on from a copy of the tree, to the last serial that there is.
    let copy = "cp -r tree mine && cp tree/hello/1.0.0/ztc-adapter-* .";
    assert_eq!(world.publisher.environment.shell(".", copy).code, Some(0));
    let evil = format!("mine/ztc-adapter-hello-6.6.6-{}", machine());
    let evil = world.publisher.environment.root().join(evil);
    fs::write(&evil, crate::distribution::adapter("hello", "6.6.6")).unwrap();
    world
        .publisher
        .environment
        .shell("mine", "chmod +x ztc-adapter-*");
    let most = u64::MAX.to_string();
    let theft = [
        "plugins", "publish", "../mine", "--key", "../key", "--serial", &most,
    ];
    world.ok(&[&theft[..], &["--to", &world.to]].concat());
    // On a machine of theirs; an operator has seen it.
    world.publisher.forget();
    world.ok(&["plugins", "install", "hello@6.6.6", "--source", &world.to]);
    let before = world.files();
    insta::assert_snapshot!(world.publish("../key", &["--to", &world.to]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has a tree with serial 18446744073709551615, and this one has 2
      help: nothing is newer than that: take a new key, sign with `ztc plugins publish` and `--replace-key --serial 1`, and push with `--replace-key` (PUBLISHING.md, Keys)
    ");
    // The word that leaves another key behind does not take back what one's own has signed.
    let own = world.publish("../key", &["--replace-key", "--to", &world.to]);
    assert_eq!(own.code, Some(5), "{own}");
    assert_eq!(world.files(), before);
    let go_on = ["--replace-key", "--serial", "1", "--to", &world.to];
    insta::assert_snapshot!(world.publish("../new", &go_on), @"
    exit: 0
    --- stderr
      the key until now: [OLD]
      the key from now on: [NEW]
    ✓ signed the index with serial 1, valid until [TIME]
      the key until now in oci://[REGISTRY]/acme/hello: [OLD]
      not yours, and still there under tags of their own: 6.6.6
      sent index.json
      sent index.json.minisig
      sent hello/1.0.0/SHA256SUMS.minisig
    ✓ oci://[REGISTRY]/acme/hello holds the tree with serial 1, under its key 1.0.0
    ");
    let install = ["plugins", "install", "hello@1", "--source", &world.to];
    assert_eq!(world.run(&install).code, Some(5));
    world.ok(&["plugins", "trust", "add", &world.to, &world.key("new")]);
    insta::assert_snapshot!(world.run(&install), @"
    exit: 0
    --- stderr
    ✓ hello 1.0.0 installed from oci://[REGISTRY]/acme/hello
      touches network example.org:443
    ");
    insta::assert_snapshot!(world.run(&["plugins", "install", "hello@6.6.6", "--source", &world.to]), @"
    exit: 4
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has no version of `hello` `=6.6.6`
      help: it has `1.0.0`
    ");
}

#[test]
fn what_nobody_has_signed_locks_no_publisher_out() {
    let Some(world) = World::new() else { return };
    let push = ["plugins", "push", "../tree", &world.to];
    let (index, signature) = (world.read("index.json"), world.read("index.json.minisig"));
    let text = String::from_utf8(index.clone()).unwrap();
    let high = text.replace("\"serial\": 1,", "\"serial\": 18446744073709551615,");
    assert_ne!(high, text);
    let named = text.replace(&world.key("key"), &world.key("new"));
    let (high, named) = (high.as_bytes(), named.as_bytes());
    let said = |files: &[(&str, &[u8])]| {
        world.put("index", files);
        let before = world.files();
        let publish = world.publish("../key", &["--to", &world.to]);
        let pushed = world.run(&push);
        assert_eq!(publish.to_string(), pushed.to_string());
        assert_eq!(world.files(), before);
        let replaced = world.run(&[&push[..], &["--replace-key"]].concat());
        assert_eq!(replaced.code, Some(0), "{replaced}");
        world.ok(&["plugins", "install", "hello", "--source", &world.to]);
        pushed
    };
    // A serial that nobody has signed, with an old signature.
    insta::assert_snapshot!(said(&[("index.json", high), ("index.json.minisig", &signature)]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has something that no publisher has signed
      `index.json` of `oci://[REGISTRY]/acme/hello` is not what its publisher signed: the signature does not fit its bytes
      help: find out who has written it; with `--replace-key` your tree takes its place
    ");
    insta::assert_snapshot!(said(&[("index.json", high)]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has something that no publisher has signed
      `oci://[REGISTRY]/acme/hello` cannot be used: it has no `index.json.minisig`
      help: find out who has written it; with `--replace-key` your tree takes its place
    ");
    insta::assert_snapshot!(said(&[("index.json", named), ("index.json.minisig", &signature)]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has something that no publisher has signed
      the index of `oci://[REGISTRY]/acme/hello` names another key than the one that signed it
      help: find out who has written it; with `--replace-key` your tree takes its place
    ");
    insta::assert_snapshot!(said(&[("index.json", b"nonsense"), ("index.json.minisig", &signature)]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has something that no publisher has signed
      the index of `oci://[REGISTRY]/acme/hello` cannot be used: it is not JSON: expected ident at line 1 column 2
      help: find out who has written it; with `--replace-key` your tree takes its place
    ");
    insta::assert_snapshot!(said(&[("x", b"y")]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has something that no publisher has signed
      `oci://[REGISTRY]/acme/hello` cannot be used: its artifact `index` is no tree of adapters
      help: find out who has written it; with `--replace-key` your tree takes its place
    ");
    // The tag of a version, which no signature of the tree covers.
    let program = format!("hello/1.0.0/ztc-adapter-hello-1.0.0-{}", machine());
    world.put(
        "1.0.0",
        &[
            ("index.json", &index),
            ("index.json.minisig", &signature),
            (&program, b"other"),
        ],
    );
    insta::assert_snapshot!(world.run(&push), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello:1.0.0` has other bytes for `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]`
      there: sha256:[SHA256]
      here: sha256:[SHA256]
      help: give the change a new version: a published version never changes its bytes; where nobody has signed these, `--replace-key` puts yours in their place
    ");
    insta::assert_snapshot!(world.run(&[&push[..], &["--replace-key"]].concat()), @"
    exit: 0
    --- stderr
    ✓ oci://[REGISTRY]/acme/hello holds the tree with serial 1, new versions 1.0.0
    ");
    world.put("1.0.0", &[("x", b"y")]);
    insta::assert_snapshot!(world.run(&push), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has something that no publisher has signed
      `oci://[REGISTRY]/acme/hello` cannot be used: its artifact `1.0.0` is no tree of adapters
      help: find out who has written it; with `--replace-key` your tree takes its place
    ");
    assert_eq!(
        world.run(&[&push[..], &["--replace-key"]].concat()).code,
        Some(0)
    );
    // Bytes that the publisher has signed there stay.
    let other = sha256_hex(b"other");
    let own = text.replace(&sha256_hex(&world.read(&program)), &other);
    let place = world.publisher.environment.root().join("index.json");
    fs::write(&place, &own).unwrap();
    sign(&place, &world.publisher.environment.root().join("key"));
    let signature = fs::read(
        world
            .publisher
            .environment
            .root()
            .join("index.json.minisig"),
    )
    .unwrap();
    world.put(
        "1.0.0",
        &[
            ("index.json", own.as_bytes()),
            ("index.json.minisig", &signature),
            (&program, b"other"),
        ],
    );
    let kept = world.run(&[&push[..], &["--replace-key"]].concat());
    assert_eq!(kept.code, Some(5), "{kept}");
}

#[test]
fn an_image_under_a_tag_locks_no_publisher_out() {
    let Some(world) = World::new() else { return };
    let push = ["plugins", "push", "../tree", &world.to];
    let before = world.files();
    let held = |tag: &str| {
        world.http(
            "GET",
            &format!("/v2/acme/hello/manifests/{tag}"),
            (OCI, b""),
        )
    };
    for kind in [DOCKER, DOCKER_LIST, OCI_LIST] {
        for tag in ["index", "1.0.0"] {
            world.put_image(tag, kind);
            let refused = world.run(&push);
            let said = format!(
                "exit: 5\n--- stderr\nerror: `oci://[REGISTRY]/acme/hello` has something that no publisher has signed\n  \
                 `oci://[REGISTRY]/acme/hello` cannot be used: its artifact `{tag}` is no tree of adapters\n  \
                 help: find out who has written it; with `--replace-key` your tree takes its place"
            );
            assert_eq!(refused.to_string(), said, "{kind}");
            let publish = world.publish("../key", &["--to", &world.to]);
            assert_eq!(publish.to_string(), said, "{kind}");
            assert_eq!(world.files(), before);
            if tag == "index" {
                let install = world.run(&["plugins", "install", "hello", "--source", &world.to]);
                assert_eq!(
                    install.to_string(),
                    "exit: 1\n--- stderr\nerror: `oci://[REGISTRY]/acme/hello` cannot be used: its artifact `index` is no tree of adapters\n  \
                     help: name a repository that `ztc plugins push` has filled"
                );
            }
            world.ok(&[&push[..], &["--replace-key"]].concat());
            assert!(held(tag).contains("application/vnd.ztc.tree.config.v1+json"));
            world.ok(&["plugins", "install", "hello", "--source", &world.to]);
            world.ok(&push);
        }
    }
}

#[test]
fn nonsense_under_the_tag_of_a_version_is_not_replaced_without_a_word() {
    let Some(world) = World::new() else { return };
    let push = ["plugins", "push", "../tree", &world.to];
    let nonsense: [(&str, &[u8]); 2] = [("index.json", b"nonsense"), ("index.json.minisig", b"x")];
    world.put("1.0.0", &nonsense);
    insta::assert_snapshot!(world.run(&push), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has something that no publisher has signed
      the index of `oci://[REGISTRY]/acme/hello:1.0.0` cannot be used: it is not JSON: expected ident at line 1 column 2
      help: find out who has written it; with `--replace-key` your tree takes its place
    ");
    world.ok(&[&push[..], &["--replace-key"]].concat());
    // What another key has signed there, and the publisher's own of a mirror that did not hold the program.
    let copy = "cp -r tree mine";
    assert_eq!(world.publisher.environment.shell(".", copy).code, Some(0));
    world.ok(&[
        "plugins",
        "publish",
        "../mine",
        "--key",
        "../new",
        "--replace-key",
    ]);
    let mine =
        |file: &str| fs::read(world.publisher.environment.root().join("mine").join(file)).unwrap();
    world.put(
        "1.0.0",
        &[
            ("index.json", &mine("index.json")),
            ("index.json.minisig", &mine("index.json.minisig")),
        ],
    );
    insta::assert_snapshot!(world.run(&push), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello:1.0.0` has a tree that was signed with another key
      there: [NEW]
      here: [OLD]
      help: push what that key has signed, or to another repository; with `--replace-key` yours takes its place, and everybody who has installed from there has to trust your key by hand
    ");
    let (index, signature) = (world.read("index.json"), world.read("index.json.minisig"));
    world.put(
        "1.0.0",
        &[("index.json", &index), ("index.json.minisig", &signature)],
    );
    insta::assert_snapshot!(world.ok(&push), @"
    exit: 0
    --- stderr
    ✓ oci://[REGISTRY]/acme/hello holds the tree with serial 1, new versions 1.0.0
    ");
}

#[test]
fn what_was_taken_back_in_a_registry_is_not_offered_again() {
    let Some(world) = World::new() else { return };
    let yank = ["--yank", "hello@1.0.0", "--reason", "loses routes"];
    let files = ["index.json", "index.json.minisig"];
    let before = files.map(|file| world.read(file));
    let yanked = world.publish("../key", &[&yank[..], &["--to", &world.to]].concat());
    assert_eq!(yanked.code, Some(0), "{yanked}");
    for (file, text) in files.iter().zip(before) {
        fs::write(world.publisher.tree().join(file), text).unwrap();
    }
    let before = world.files();
    insta::assert_snapshot!(world.publish("../key", &["--serial", "3", "--to", &world.to]), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has taken versions back that this tree offers again
      hello@1.0.0
      help: publish from the tree that was pushed before; or sign this one with `ztc plugins publish` and `--yank NAME@VERSION` for each of them, or `--unyank NAME@VERSION` where it is meant
    ");
    assert_eq!(world.files(), before);
    let again = world.publish(
        "../key",
        &[&yank[..], &["--serial", "3", "--to", &world.to]].concat(),
    );
    assert_eq!(again.code, Some(0), "{again}");
}

#[test]
fn a_registry_that_takes_nothing_leaves_a_signed_tree_and_says_so() {
    let publisher = Publisher::new();
    let registry = Fake::start(publisher.tree());
    let run = publisher.run(&[
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../key",
        "--to",
        &registry.source(),
    ]);
    insta::assert_snapshot!(run.to_string().replace(&registry.address, "[REGISTRY]"), @"
    exit: 1
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` answers with status 405 for `blobs/uploads/`
      the tree is signed with serial 2, and not pushed: go on with `ztc plugins push ../tree oci://[REGISTRY]/acme/hello`
      help: run the same command again later
    ");
}
