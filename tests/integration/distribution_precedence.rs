//! Which of several adapters of one name runs, why, and what is said of the others; and the build of an author in place of one.

use std::fs;
use std::os::unix::fs::symlink;

use crate::distribution::{Publisher, machine};
use crate::distribution_team::{
    PLATFORM, executable, locked_digest, release, rendered, renderer, steps, stored, team,
};
use crate::environment::TestEnv;

const PLAIN: &str = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\n";

/// An environment with `hello` in one or more places; each renders another version.
struct Places {
    environment: TestEnv,
}

impl Places {
    fn new(platform: &str) -> Self {
        let environment = TestEnv::new();
        environment.write("platform.yaml", platform);
        Self { environment }
    }

    fn on_path(&self, version: &str) {
        let content = renderer("hello", version, "");
        self.environment.tool("ztc-adapter-hello", &content);
    }

    fn in_directory(&self, version: &str) {
        let file = format!("home/.local/share/ztc/plugins/ztc-adapter-hello-{version}");
        let content = renderer("hello", version, "");
        executable(&self.environment.root().join(file), &content);
    }

    fn in_repository(&self, version: &str) {
        let content = renderer("hello", version, "");
        executable(&self.environment.repo().join("tools/hello"), &content);
    }

    /// Renders; returns what was said beside the usual, and which adapter it was.
    fn render(&self) -> String {
        let run = self.environment.ztc_ok(&["render"]);
        let usual = |line: &&str| {
            let starts = ["  added", "  changed", "✓", "  next"];
            !starts.iter().any(|start| line.starts_with(start))
        };
        let said: Vec<&str> = run.stderr.lines().filter(usual).collect();
        let file = "platform/generated/services/hello/hello.txt";
        format!("{}\n{}", said.join("\n"), self.environment.read(file))
    }

    fn explain(&self) -> String {
        let run = self.environment.ztc_ok(&["plugins", "list", "--explain"]);
        table(&run.stdout)
    }
}

/// Returns what is said of one name.
fn table(text: &str) -> String {
    block(text, "hello")
}

fn block(text: &str, name: &str) -> String {
    let lines = text.lines().skip_while(|line| *line != name);
    let of_it = |line: &&str| *line == name || line.starts_with(' ');
    let text: String = lines
        .take_while(of_it)
        .map(|line| format!("{line}\n"))
        .collect();
    text.replace(&machine(), "[MACHINE]")
}

#[test]
fn the_strongest_place_wins_and_what_is_behind_it_is_said() {
    let places = Places::new(PLAIN);
    places.on_path("0.1.0");
    insta::assert_snapshot!(places.render(), @"

    hello from 0.1.0
    ");
    places.in_directory("0.2.0");
    places.in_directory("0.1.9");
    insta::assert_snapshot!(places.render(), @"
    warning: adapter `hello` is `[ROOT]/home/.local/share/ztc/plugins/ztc-adapter-hello-0.2.0` (plugin-directory); `[ROOT]/bin/ztc-adapter-hello` (PATH) is not used
      help: `ztc plugins list --explain` shows why
    warning: `hello` is 0.2.0, locked is [VERSION]
    hello from 0.2.0
    ");
    places.in_repository("0.3.0");
    let platform = format!("{PLAIN}plugins:\n  hello: {{path: tools/hello}}\n");
    places.environment.write("platform.yaml", platform);
    insta::assert_snapshot!(places.render(), @"
    warning: adapter `hello` is `[REPO]/tools/hello` (path); `[ROOT]/home/.local/share/ztc/plugins/ztc-adapter-hello-0.2.0` (plugin-directory), `[ROOT]/home/.local/share/ztc/plugins/ztc-adapter-hello-0.1.9` (plugin-directory), `[ROOT]/bin/ztc-adapter-hello` (PATH) are not used
      help: `ztc plugins list --explain` shows why
    warning: `hello` is 0.3.0, locked is 0.2.0
    hello from 0.3.0
    ");
    insta::assert_snapshot!(places.explain(), @"
    hello
      used      path: platform.yaml names its path
                [REPO]/tools/hello
      not used  plugin-directory 0.2.0: platform.yaml names the path of another
                [ROOT]/home/.local/share/ztc/plugins/ztc-adapter-hello-0.2.0
      not used  plugin-directory 0.1.9: platform.yaml names the path of another
                [ROOT]/home/.local/share/ztc/plugins/ztc-adapter-hello-0.1.9
      not used  PATH: platform.yaml names the path of another
                [ROOT]/bin/ztc-adapter-hello
    ");
}

#[test]
fn the_same_file_and_the_same_bytes_are_no_others() {
    let places = Places::new(PLAIN);
    places.in_directory("0.1.0");
    let directory = places
        .environment
        .root()
        .join("home/.local/share/ztc/plugins");
    let link = places.environment.bin().join("ztc-adapter-hello");
    symlink(directory.join("ztc-adapter-hello-0.1.0"), &link).unwrap();
    insta::assert_snapshot!(places.render(), @"

    hello from 0.1.0
    ");
    fs::remove_file(&link).unwrap();
    places.on_path("0.1.0");
    insta::assert_snapshot!(places.render(), @"

    hello from 0.1.0
    ");
    places.on_path("0.1.1");
    insta::assert_snapshot!(places.render(), @"
    warning: adapter `hello` is `[ROOT]/home/.local/share/ztc/plugins/ztc-adapter-hello-[VERSION]` (plugin-directory); `[ROOT]/bin/ztc-adapter-hello` (PATH) is not used
      help: `ztc plugins list --explain` shows why
    hello from 0.1.0
    ");
}

#[test]
fn an_adapter_of_ztc_is_replaced_only_by_name() {
    let environment = TestEnv::new();
    environment.tool("ztc-adapter-talos", &renderer("talos", "6.6.6", ""));
    let explained = |environment: &TestEnv| {
        let run = environment.ztc_ok(&["plugins", "list", "--explain"]);
        block(&run.stdout, "talos")
    };
    insta::assert_snapshot!(explained(&environment), @"
    talos
      used      built-in: it is part of ztc
      not used  PATH: an adapter of ztc is replaced only where `plugins` of platform.yaml names it
                [ROOT]/bin/ztc-adapter-talos
    ");
    let platform = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  talos: {}\n";
    // That a variable is granted is no wish for another adapter.
    for (plugins, winner) in [
        ("", "built-in"),
        ("plugins:\n  talos: {environment: [A]}\n", "built-in"),
        ("plugins:\n  talos: {version: '>=1'}\n", "PATH"),
        (
            "plugins:\n  talos: {path: ../bin/ztc-adapter-talos}\n",
            "path",
        ),
    ] {
        environment.write("platform.yaml", format!("{platform}{plugins}"));
        let used = explained(&environment);
        let used = used
            .lines()
            .find(|line| line.starts_with("  used  "))
            .unwrap();
        assert!(
            used.starts_with(&format!("  used      {winner}: ")),
            "{plugins}: {used}"
        );
    }
}

#[test]
fn what_is_installed_comes_before_what_only_lies_there() {
    let publisher = team();
    release(&publisher, "1.1.0");
    rendered(&publisher);
    publisher
        .environment
        .ztc_ok(&["plugins", "install", "hello@1.0.0"]);
    publisher.environment.ztc_ok(&["render"]);
    publisher
        .environment
        .tool("ztc-adapter-hello", &renderer("hello", "0.1.0", ""));
    let explain = |publisher: &Publisher| {
        let run = publisher
            .environment
            .ztc_ok(&["plugins", "list", "--explain"]);
        table(&run.stdout)
    };
    // 1.1.0 is newer, and the lock names 1.0.0.
    insta::assert_snapshot!(explain(&publisher), @"
    hello
      used      installed 1.0.0: the lock names it
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]
      not used  installed 1.1.0: the lock names another
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]
      not used  PATH: the lock names another
                [ROOT]/bin/ztc-adapter-hello
    ");
    fs::remove_file(publisher.environment.repo().join("platform/lock.json")).unwrap();
    insta::assert_snapshot!(explain(&publisher), @"
    hello
      used      installed 1.1.0: it is installed
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]
      not used  installed 1.0.0: a newer version is installed
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]
      not used  PATH: what is installed comes first
                [ROOT]/bin/ztc-adapter-hello
    ");
    let platform = PLATFORM.replace("^1", "=1.0.0");
    publisher.environment.write("platform.yaml", &platform);
    insta::assert_snapshot!(explain(&publisher), @"
    hello
      not used  installed 1.1.0: platform.yaml asks for =1.0.0
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]
      used      installed 1.0.0: it is installed
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]
      not used  PATH: what is installed comes first
                [ROOT]/bin/ztc-adapter-hello
    ");
    publisher
        .environment
        .write("platform.yaml", platform.replace("tree", "other"));
    insta::assert_snapshot!(explain(&publisher), @"
    hello
      missing   adapter `hello`, which `plugins.hello` asks for, is not installed
      not used  installed 1.1.0: platform.yaml asks for =1.0.0
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]
      not used  installed 1.0.0: it is from file://[ROOT]/tree, and platform.yaml asks for ../other
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]
      not used  PATH: what is installed comes first
                [ROOT]/bin/ztc-adapter-hello
    ");
}

#[test]
fn the_build_of_an_author_is_loud_and_never_locked() {
    let mut publisher = team();
    rendered(&publisher);
    let made = publisher.environment.read("platform/lock.json");
    let build = publisher.environment.repo().join("build/hello");
    executable(&build, &renderer("hello", "9.9.9", ""));
    publisher
        .environment
        .set("ZTC_PLUGIN_DEV", "hello=build/hello");
    insta::assert_snapshot!(publisher.run(&["render"]), @"
    exit: 0
    --- stderr
    warning: adapter `hello` is the author's build `[REPO]/build/hello` (`ZTC_PLUGIN_DEV`): nobody has verified it, it is never locked, and what it renders is not bootstrapped
      changed  platform/generated/services/hello/hello.txt
      changed  platform/lock.json
    ✓ rendered `test`: 1 artifacts, 0 stages (0 added, 2 changed, 0 removed, 1 unchanged)
      next: unset ZTC_PLUGIN_DEV && ztc render  renders what a bootstrap takes: an author's build is never locked
    ");
    let rendered = publisher.environment.read("platform/lock.json");
    let plugins = |text: &str| {
        let lock: serde_json::Value = serde_json::from_str(text).unwrap();
        lock["plugins"].clone()
    };
    assert_eq!(plugins(&rendered), plugins(&made));
    let commands: [&[&str]; 3] = [&["validate"], &["bootstrap"], &["render", "--locked"]];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc validate
    exit: 3
    --- stderr
    warning: adapter `hello` is the author's build `[REPO]/build/hello` (`ZTC_PLUGIN_DEV`): nobody has verified it, it is never locked, and what it renders is not bootstrapped
    error: what was rendered is older than its inputs
      adapter `hello` is its author's build (`ZTC_PLUGIN_DEV`), which is never locked
      help: run `unset ZTC_PLUGIN_DEV`, then `ztc render`; to go on with that build, name it with `path` under `plugins` in platform.yaml
    $ ztc bootstrap
    exit: 5
    --- stderr
    warning: adapter `hello` is the author's build `[REPO]/build/hello` (`ZTC_PLUGIN_DEV`): nobody has verified it, it is never locked, and what it renders is not bootstrapped
    error: what was rendered is older than its inputs
      adapter `hello` is its author's build (`ZTC_PLUGIN_DEV`), which is never locked
      help: run `unset ZTC_PLUGIN_DEV`, then `ztc render`; to go on with that build, name it with `path` under `plugins` in platform.yaml
    $ ztc render --locked
    exit: 5
    --- stderr
    warning: adapter `hello` is the author's build `[REPO]/build/hello` (`ZTC_PLUGIN_DEV`): nobody has verified it, it is never locked, and what it renders is not bootstrapped
    error: the lock does not cover this, and `--locked` changes nothing in it
      adapter `hello` is never locked: it is dev
      help: run `unset ZTC_PLUGIN_DEV`, and the same command again
    ");
    // Without the variable what was rendered is still not what is locked.
    publisher.environment.unset("ZTC_PLUGIN_DEV");
    insta::assert_snapshot!(publisher.run(&["bootstrap"]), @"
    exit: 5
    --- stderr
    error: what was rendered is older than its inputs
      `adapters.hello` was rendered by an author's build (`ZTC_PLUGIN_DEV`), which is never locked
      help: run `ztc render`, and read what changes with `git diff`
    ");
    publisher.environment.ztc_ok(&["render"]);
    publisher.environment.ztc_ok(&["validate", "--locked"]);
    let again = publisher.environment.read("platform/lock.json");
    assert_eq!(plugins(&again), plugins(&made));
    publisher
        .environment
        .set("ZTC_PLUGIN_DEV", "hello=build/none");
    insta::assert_snapshot!(publisher.run(&["validate"]), @"
    exit: 4
    --- stderr
    error: there is no file `[REPO]/build/none`, which `ZTC_PLUGIN_DEV` names for adapter `hello`
      help: build it, or correct or unset the variable
    ");
    publisher.environment.set("ZTC_PLUGIN_DEV", "hello");
    insta::assert_snapshot!(publisher.run(&["validate"]), @"
    exit: 2
    --- stderr
    error: `ZTC_PLUGIN_DEV` holds `hello`, which is not `name=path`
      help: name the adapter and its program: `ZTC_PLUGIN_DEV=bgp=target/debug/ztc-adapter-bgp`; several are separated by commas
    ");
}

#[test]
fn a_build_of_what_nothing_uses_is_refused() {
    let mut publisher = team();
    rendered(&publisher);
    let made = publisher.environment.read("platform/lock.json");
    let build = publisher.environment.repo().join("build/hello");
    executable(&build, &renderer("hello", "9.9.9", ""));
    let environment = &mut publisher.environment;
    environment.set("ZTC_PLUGIN_DEV", "helo=build/hello");
    insta::assert_snapshot!(steps(&publisher, &[&["render"], &["validate"]]), @"
    $ ztc render
    exit: 2
    --- stderr
    warning: adapter `helo` is the author's build `[REPO]/build/hello` (`ZTC_PLUGIN_DEV`): nobody has verified it, it is never locked, and what it renders is not bootstrapped
    error: `ZTC_PLUGIN_DEV` names adapter `helo`, which nothing uses here
      used is `hello`
      the program that should be adapter `helo` says that it is `hello`
      help: did you mean `hello`?
    $ ztc validate
    exit: 2
    --- stderr
    warning: adapter `helo` is the author's build `[REPO]/build/hello` (`ZTC_PLUGIN_DEV`): nobody has verified it, it is never locked, and what it renders is not bootstrapped
    error: `ZTC_PLUGIN_DEV` names adapter `helo`, which nothing uses here
      used is `hello`
      the program that should be adapter `helo` says that it is `hello`
      help: did you mean `hello`?
    ");
    assert_eq!(publisher.environment.read("platform/lock.json"), made);
    let environment = &mut publisher.environment;
    environment.set("ZTC_PLUGIN_DEV", "hello=build/hello,rack=build/hello");
    insta::assert_snapshot!(publisher.run(&["render"]), @"
    exit: 2
    --- stderr
    warning: adapter `hello` is the author's build `[REPO]/build/hello` (`ZTC_PLUGIN_DEV`): nobody has verified it, it is never locked, and what it renders is not bootstrapped
    warning: adapter `rack` is the author's build `[REPO]/build/hello` (`ZTC_PLUGIN_DEV`): nobody has verified it, it is never locked, and what it renders is not bootstrapped
    error: `ZTC_PLUGIN_DEV` names adapter `rack`, which nothing uses here
      used is `hello`
      the program that should be adapter `rack` says that it is `hello`
      help: name one of them, or run `unset ZTC_PLUGIN_DEV`
    ");
}

#[test]
fn a_file_that_another_one_has_come_before_is_named_with_it() {
    let mut places = Places::new(PLAIN);
    places.on_path("0.1.0");
    places.environment.ztc_ok(&["render"]);
    let root = places.environment.root().to_owned();
    let first = root.join("first/ztc-adapter-hello");
    executable(&first, &renderer("hello", "0.2.0", ""));
    let path = [
        root.join("bin/../first"),
        root.join("first"),
        root.join("bin"),
        root.join("first/../bin"),
        "/usr/bin".into(),
        "/bin".into(),
    ];
    let path = std::env::join_paths(path).unwrap();
    places.environment.set("PATH", path.to_str().unwrap());
    insta::assert_snapshot!(places.environment.ztc(&["validate"]), @"
    exit: 3
    --- stderr
    error: what was rendered is older than its inputs
      adapter `hello` [VERSION] is another executable than the one that rendered: [SHA256], it was [SHA256]
      it is `[ROOT]/first/ztc-adapter-hello` (PATH), and was not started
      the one that rendered is `[ROOT]/bin/ztc-adapter-hello` (PATH), which comes behind it
      help: run `ztc render`, and read what changes with `git diff`
    ");
    insta::assert_snapshot!(places.explain(), @"
    hello
      used      PATH: it lies on PATH
                [ROOT]/first/ztc-adapter-hello
      not used  PATH: an earlier directory of PATH comes first
                [ROOT]/bin/ztc-adapter-hello
    ");
}

#[test]
fn what_has_the_bytes_of_the_one_that_is_used_is_explained_as_that() {
    let publisher = team();
    rendered(&publisher);
    let locked = fs::read_to_string(stored(&publisher, &locked_digest(&publisher))).unwrap();
    publisher.environment.tool("ztc-adapter-hello", &locked);
    let explain = |publisher: &Publisher| {
        let run = publisher.run(&["plugins", "list", "--explain"]);
        table(&run.stdout)
    };
    insta::assert_snapshot!(explain(&publisher), @"
    hello
      used      installed 1.0.0: the lock names it
                [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]
      not used  PATH: it has the same bytes as the one that is used
                [ROOT]/bin/ztc-adapter-hello
    ");
    let home = publisher.environment.root().join("home/.local/share/ztc");
    fs::remove_dir_all(home.join("store")).unwrap();
    fs::remove_dir_all(home.join("installed")).unwrap();
    insta::assert_snapshot!(explain(&publisher), @"
    hello
      missing   adapter `hello` 1.0.0, which the lock names, is not installed
      not used  PATH: it has the bytes that the lock names, and is not installed
                [ROOT]/bin/ztc-adapter-hello
    ");
}
