//! What a channel may not do: a table that reaches too far, an index that is not to be believed.

use std::fs;

use serde_json::Value;

use crate::distribution_publish::sign;
use crate::distribution_versions::World;

#[test]
fn a_table_that_reaches_too_far_is_refused_by_its_adapter() {
    let world = World::new();
    let evil = [("agent: quay.io/cilium/", "agent: quay.io/mallory/")];
    world.put("cilium", 2, &evil);
    // Its publisher is told first.
    insta::assert_snapshot!(world.publish(&[]), @"
    exit: 2
    --- stderr
    error: `cilium` does not take table 2 of its versions
      adapter `cilium`: the table of versions 2 is refused: the image `quay.io/mallory/cilium:v1.18.5@sha256:[SHA256]` is not one of `quay.io/cilium/cilium` (in `initialize`)
      help: correct the table; nothing was published
    ");
    assert!(!world.tree().join("index.json").exists());
    // One who signs it nevertheless, on a machine without the adapter's checks:
    let good = world.tree().join("ztc-versions-cilium-2.yaml");
    let text = fs::read_to_string(&good).unwrap();
    fs::write(
        &good,
        text.replace("mallory", "cilium")
            .replace("v1.18.5", "v1.18.6"),
    )
    .unwrap();
    world.publish(&[]);
    let index = fs::read_to_string(world.tree().join("index.json")).unwrap();
    let sha256 = |text: &str| ztc_protocol::sha256_hex(text.as_bytes());
    let published = world
        .tree()
        .join("cilium/versions/ztc-versions-cilium-2.yaml");
    let before = fs::read_to_string(&published).unwrap();
    let after = before.replace(
        "agent: quay.io/cilium/cilium",
        "agent: quay.io/mallor/cilium",
    );
    assert_ne!(before, after);
    fs::write(&published, &after).unwrap();
    fs::write(
        world.tree().join("index.json"),
        index.replace(&sha256(&before), &sha256(&after)),
    )
    .unwrap();
    let key = world.tree().with_file_name("key");
    sign(&world.tree().join("index.json"), &key);
    insta::assert_snapshot!(world.update(), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  1  embedded  -  file://[ROOT]/tree has no newer one
    hetzner  1  embedded  -  file://[ROOT]/tree has no newer one
    talos  1  embedded  -  file://[ROOT]/tree has no newer one
    --- stderr
    warning: table 2 of the versions of `cilium` is left out: adapter `cilium`: the table of versions 2 is refused: the image `quay.io/mallor/cilium:v1.18.6@sha256:[SHA256]` is not one of `quay.io/cilium/cilium` (in `initialize`)
      help: tell the publisher of the channel; the adapter goes on with the table that it had
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ file://[ROOT]/tree has serial 1, valid until [TIME]
    ");
    insta::assert_snapshot!(world.run(&["render"]).code.unwrap(), @"2");
}

#[test]
fn a_channel_is_believed_like_every_other_tree() {
    let world = World::published();
    let read = |name: &str| fs::read(world.tree().join(name)).unwrap();
    let files = ["index.json", "index.json.minisig"];
    let old = files.map(read);
    let put = |content: &[Vec<u8>; 2]| {
        for (name, content) in files.iter().zip(content) {
            fs::write(world.tree().join(name), content).unwrap();
        }
    };
    world.put("cilium", 3, &[("v1.18.5", "v1.18.6")]);
    world.publish(&[]);
    world.update();
    let new = files.map(read);
    put(&old);
    insta::assert_snapshot!(world.run(&["update-versions"]).stderr, @"
    error: the index of `file://[ROOT]/tree` is older than the one that this machine has seen: serial 1, seen was 2
      help: run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove file://[ROOT]/tree`
    ");
    put(&[new[0].clone(), old[1].clone()]);
    insta::assert_snapshot!(world.run(&["update-versions"]).stderr, @"
    error: `index.json` of `file://[ROOT]/tree` is not what its publisher signed: the signature does not fit its bytes
      help: do not use this tree: tell its publisher by another way than this source
    ");
    put(&new);
    fs::remove_file(world.tree().join(files[1])).unwrap();
    insta::assert_snapshot!(world.run(&["update-versions"]).stderr, @"
    error: `file://[ROOT]/tree` has no signature any more, and it had one
      trusted: [KEY]
      help: ask its publisher; `ztc plugins trust remove file://[ROOT]/tree` forgets that it was signed
    ");
    put(&new);
    world
        .environment
        .ztc_ok(&["plugins", "keygen", "../other", "--no-password"]);
    let replace = [
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../other",
        "--replace-key",
    ];
    assert_eq!(world.run(&replace).code, Some(0));
    insta::assert_snapshot!(world.run(&["update-versions"]).stderr, @"
    error: `file://[ROOT]/tree` is signed with another key than the one that the list of trusted publishers names
      known: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins trust add file://[ROOT]/tree KEY`
    ");
    // Whoever knows the key from elsewhere gives it, and no other will do.
    let key = fs::read_to_string(world.environment.root().join("key.pub")).unwrap();
    let key = key.lines().nth(1).unwrap().to_owned();
    world.another_machine();
    insta::assert_snapshot!(world.run(&["update-versions", "--source", "../tree", "--key", &key]).stderr, @"
    error: `file://[ROOT]/tree` is signed with another key than the one that was given
      given: [KEY] (id [ID])
      signed with: a key with the id [ID]
      help: do not use it: ask the publisher, by another way than this source, which key is theirs
    ");
    assert!(
        !world
            .environment
            .root()
            .join("home/.config/ztc/versions.yaml")
            .exists()
    );
}

#[test]
fn an_expired_channel_is_not_used_for_what_is_new() {
    let world = World::published();
    world.update();
    assert_eq!(world.run(&["render"]).code, Some(0));
    // As if its time had come meanwhile.
    let sources = world
        .environment
        .root()
        .join("home/.local/share/ztc/sources");
    let copy = fs::read_dir(sources)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut index: Value = serde_json::from_slice(&fs::read(&copy).unwrap()).unwrap();
    index["expires"] = "2026-01-01T00:00:00Z".into();
    fs::write(&copy, index.to_string()).unwrap();
    insta::assert_snapshot!(world.run(&["update-versions", "--offline"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  2  cached  file://[ROOT]/tree  platform/lock.json pins it
    hetzner  1  embedded  -  what is cached of file://[ROOT]/tree is not valid any more since [TIME]
    talos  1  embedded  -  what is cached of file://[ROOT]/tree is not valid any more since [TIME]
    ");
    fs::remove_file(world.environment.repo().join("platform/lock.json")).unwrap();
    insta::assert_snapshot!(world.run(&["update-versions", "--offline"]), @"
    exit: 0
    --- stdout
    ADAPTER  TABLE  ORIGIN  SOURCE  WHY
    cilium  1  embedded  -  what is cached of file://[ROOT]/tree is not valid any more since [TIME]
    hetzner  1  embedded  -  what is cached of file://[ROOT]/tree is not valid any more since [TIME]
    talos  1  embedded  -  what is cached of file://[ROOT]/tree is not valid any more since [TIME]
    ");
}
