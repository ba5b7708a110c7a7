//! What is installed, shown: lists, details and their JSON; and removing what other repositories need.

use std::fs;

use crate::distribution_team::{release, rendered, team};
use crate::schemas::valid;

#[test]
fn lists_show_where_adapters_come_from_and_who_needs_them() {
    let publisher = team();
    rendered(&publisher);
    release(&publisher, "1.1.0");
    let other = [
        "-C",
        "../other",
        "plugins",
        "install",
        "hello@1.1.0",
        "--source",
        "../tree",
    ];
    fs::create_dir(publisher.environment.root().join("other")).unwrap();
    publisher.environment.ztc_ok(&other);
    insta::assert_snapshot!(publisher.run(&["plugins", "list"]), @"
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  [REPO]
    hello  1.1.0  file://[ROOT]/tree  signed  1.0  not used here  -
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "info", "hello"]), @"
    exit: 0
    --- stdout
    hello 1.0.0: says hello
      program      [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE] (installed)
      sha256       [SHA256]
      source       file://[ROOT]/tree
      trust        signed by [KEY]
      locked by    [REPO]
      protocol     1.0
      versions     v1 (default)
      artifacts    platform/generated/services/hello
      provides     nothing
      requires     nothing
      environment  nothing
      secrets      nothing
      network      nothing
      tools        nothing
      sandbox      Landlock: adapters write to their scratch directory and connect to declared ports only; stages run as you
    ");
    for command in [
        &["plugins", "list", "--json"][..],
        &["plugins", "list", "--json", "--explain"],
    ] {
        let list = publisher.environment.ztc_ok(command).json();
        valid("plugins-list.schema.json", &list);
        let hello = &list["plugins"][1];
        assert_eq!(hello["name"], "hello");
        assert_eq!(hello["locked_by"], serde_json::json!(["[REPO]"]));
    }
    for name in ["hello", "talos"] {
        let info = publisher
            .environment
            .ztc_ok(&["plugins", "info", name, "--json"]);
        valid("plugins-info.schema.json", &info.json());
    }
    let install = ["plugins", "install", "hello@1.1.0", "--json"];
    let install = publisher.environment.ztc_ok(&install).json();
    valid("plugins-install.schema.json", &install);
    assert_eq!(install["plugins"][0]["lock_was"], "1.0.0");
    let verify = publisher
        .environment
        .ztc_ok(&["plugins", "verify", "--json"]);
    valid("plugins-verify.schema.json", &verify.json());
}

#[test]
fn what_a_repository_needs_is_removed_only_by_force_and_until_it_is_gone() {
    let publisher = team();
    rendered(&publisher);
    insta::assert_snapshot!(publisher.run(&["plugins", "remove", "hello"]), @"
    exit: 5
    --- stderr
    error: `hello` is needed by repositories of this machine
      hello 1.0.0 is locked by [REPO]
      help: remove it all the same with `ztc plugins remove hello --force`; there, `ztc plugins install` brings it back
    ");
    insta::assert_snapshot!(publisher.run(&["plugins", "remove", "hello", "--force", "--dry-run"]), @"
    exit: 0
    --- stderr
    warning: the lock of [REPO] names `hello` 1.0.0: there `ztc plugins install` brings it back
    ✓ would remove hello 1.0.0
    ");
    let list = publisher.environment.ztc_ok(&["plugins", "list", "--json"]);
    assert_eq!(list.json()["plugins"][1]["status"], "ok");
    let remove = ["plugins", "remove", "hello", "--force", "--json"];
    let removed = publisher.environment.ztc_ok(&remove).json();
    valid("plugins-remove.schema.json", &removed);
    assert_eq!(
        removed["removed"][0]["locked_by"],
        serde_json::json!(["[REPO]"])
    );
    publisher.environment.ztc_ok(&["plugins", "install"]);
    // A repository that is gone needs nothing, and is forgotten.
    fs::remove_dir_all(publisher.environment.repo().join("platform")).unwrap();
    insta::assert_snapshot!(publisher.run(&["plugins", "remove", "hello"]), @"
    exit: 0
    --- stderr
    ✓ removed hello 1.0.0
    ");
    let projects = publisher
        .environment
        .root()
        .join("home/.local/share/ztc/projects");
    assert_eq!(fs::read_dir(projects).unwrap().count(), 0);
}

#[test]
fn what_explains_a_name_can_be_read_on_a_narrow_terminal() {
    let publisher = team();
    rendered(&publisher);
    let explained = publisher
        .environment
        .ztc_ok(&["plugins", "list", "--explain"]);
    let is_program = |line: &&str| line.starts_with("            ");
    let others = explained.stdout.lines().filter(|line| !is_program(line));
    let widest = others.map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|widest| widest <= 100), "{explained}");
}

#[test]
fn the_words_of_other_package_managers_mean_the_same() {
    let environment = crate::environment::TestEnv::new();
    for (word, ours) in [
        ("ls", "list"),
        ("update", "upgrade"),
        ("outdated", "upgrade"),
        ("uninstall", "remove"),
        ("delete", "remove"),
        ("rm", "remove"),
    ] {
        let [theirs, ours] =
            [word, ours].map(|word| environment.ztc_ok(&["plugins", word, "--help"]).to_string());
        assert_eq!(theirs, ours, "{word}");
    }
}
