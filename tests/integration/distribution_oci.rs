//! Trees in OCI registries: pushed to and installed from a real one, with and without credentials.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::distribution::{Publisher, machine};
use crate::distribution_team::{PLATFORM, release, rendered, steps, team};
use crate::environment::{Run, TestEnv};
use crate::schemas::valid;

/// A real registry on loopback, which ends with its value.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
}

impl Registry {
    /// Starts `docker-registry`; nothing, said aloud, where it is not installed. `rest` is more of its configuration.
    pub(crate) fn start(publisher: &Publisher, rest: &str) -> Option<Self> {
        Self::beside(&publisher.environment, rest)
    }

    /// The same, with its files in the directory of an environment.
    pub(crate) fn beside(environment: &TestEnv, rest: &str) -> Option<Self> {
        let program = crate::needs::program("docker-registry")?;
        let root = environment.root();
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n{rest}",
            root.join("registry").display()
        );
        let path = root.join("registry.yml");
        fs::write(&path, config).unwrap();
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| {
                Some(
                    line.split("listening on ")
                        .nth(1)?
                        .split('"')
                        .next()?
                        .to_owned(),
                )
            })
            .unwrap();
        // It would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `ztc`; the address of a registry is replaced.
pub(crate) fn run(publisher: &Publisher, address: &str, arguments: &[&str]) -> Run {
    let mut run = publisher.run(arguments);
    for stream in [&mut run.stdout, &mut run.stderr] {
        *stream = stream.replace(address, "[REGISTRY]");
    }
    run
}

#[test]
fn a_tree_is_pushed_to_a_registry_and_installed_from_it() {
    let publisher = Publisher::new();
    let Some(registry) = Registry::start(&publisher, "") else {
        return;
    };
    publisher.put("hello", "1.1.0", &machine());
    let run = |arguments: &[&str]| run(&publisher, &registry.address, arguments);
    let to = format!("oci://{}/acme/hello", registry.address);
    let publish = [
        "plugins", "publish", "../tree", "--key", "../key", "--to", &to,
    ];
    insta::assert_snapshot!(run(&publish), @"
    exit: 0
    --- stderr
      hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    ✓ signed the index with serial 2, valid until [TIME]
      sent index.json
      sent index.json.minisig
      sent hello/1.0.0/SHA256SUMS
      sent hello/1.0.0/SHA256SUMS.minisig
      sent hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]
      sent hello/1.1.0/SHA256SUMS
      sent hello/1.1.0/SHA256SUMS.minisig
      sent hello/1.1.0/ztc-adapter-hello-1.1.0-[MACHINE]
    ✓ oci://[REGISTRY]/acme/hello holds the tree with serial 2, new versions 1.0.0, 1.1.0
    ");
    // Nothing is sent twice.
    insta::assert_snapshot!(run(&["plugins", "push", "../tree", &to]), @"
    exit: 0
    --- stderr
    ✓ oci://[REGISTRY]/acme/hello holds the tree with serial 2, no new versions
    ");
    let one = format!("{to}:1.0.0");
    insta::assert_snapshot!(run(&["plugins", "install", &one]), @"
    exit: 0
    --- stderr
    the publisher's key of oci://[REGISTRY]/acme/hello is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from oci://[REGISTRY]/acme/hello
      touches network example.org:443
    ");
    insta::assert_snapshot!(run(&["plugins", "install", "hello", "--source", &to]), @"
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from oci://[REGISTRY]/acme/hello
      touches network example.org:443
    ");
    insta::assert_snapshot!(run(&["plugins", "verify"]), @"
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.1.0  signed  oci://[REGISTRY]/acme/hello  ok
    hello  1.0.0  signed  oci://[REGISTRY]/acme/hello  ok
    ");
    insta::assert_snapshot!(run(&["plugins", "info", "hello"]).code.unwrap(), @"0");
    let none = format!("{to}:3.0.0");
    insta::assert_snapshot!(run(&["plugins", "install", &none]), @"
    exit: 4
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has no version of `hello` `=3.0.0`
      help: it has `1.1.0` and `1.0.0`
    ");
    let elsewhere = format!("oci://{}/acme/other", registry.address);
    insta::assert_snapshot!(run(&["plugins", "install", &elsewhere]), @"
    exit: 4
    --- stderr
    error: `oci://[REGISTRY]/acme/other` has no `index.json`
      help: name a tree that `ztc plugins publish` has made, or a repository that `ztc plugins push` has filled
    ");
    insta::assert_snapshot!(run(&["plugins", "push", "../tree", &one]), @"
    exit: 2
    --- stderr
    error: `oci://[REGISTRY]/acme/hello:1.0.0` names a version
      help: write `oci://[REGISTRY]/acme/hello`: every version gets a tag of its own
    ");
}

#[test]
fn a_source_that_names_one_version_holds_every_command_to_it() {
    let publisher = team();
    let Some(registry) = Registry::start(&publisher, "") else {
        return;
    };
    release(&publisher, "1.1.0");
    let to = format!("oci://{}/acme/hello", registry.address);
    let push = ["plugins", "push", "../tree", &to];
    publisher.environment.ztc_ok(&push);
    let asks = |tag: &str| {
        let source = format!("{to}{tag}");
        publisher
            .environment
            .write("platform.yaml", PLATFORM.replace("../tree", &source));
    };
    asks(":1.0.0");
    rendered(&publisher);
    let before = publisher.environment.files();
    let show = |commands: &[&[&str]]| {
        let said = steps(&publisher, commands);
        said.replace(&registry.address, "[REGISTRY]")
    };
    insta::assert_snapshot!(show(&[
        &["plugins", "upgrade", "--yes"],
        &["plugins", "upgrade", "hello@1.1.0", "--dry-run"],
    ]), @"
    $ ztc plugins upgrade --yes
    exit: 0
    --- stderr
    hello 1.0.0 is the newest that fits, from oci://[REGISTRY]/acme/hello
      newer     1.1.0 is outside of `=1.0.0`, which `plugins.hello.source` names at platform.yaml:6:19
    $ ztc plugins upgrade hello@1.1.0 --dry-run
    exit: 0
    --- stderr
    hello 1.0.0 -> 1.1.0 from oci://[REGISTRY]/acme/hello
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
    warning: `hello` 1.1.0 would be installed and not used here, because it is outside of `=1.0.0`, which `plugins.hello.source` names at platform.yaml:6:19: change that line first
    ");
    assert_eq!(publisher.environment.files(), before);
    // The lock of somebody who had another source.
    asks("");
    publisher
        .environment
        .ztc_ok(&["plugins", "upgrade", "--yes"]);
    publisher.environment.ztc_ok(&["render"]);
    asks(":1.0.0");
    insta::assert_snapshot!(show(&[
        &["validate", "--locked"],
        &["plugins", "install"],
        &["plugins", "install", "hello@=1.0.0"],
        &["render"],
        &["validate", "--locked"],
    ]), @"
    $ ztc validate --locked
    exit: 5
    --- stderr
    error: the lock has `hello` 1.1.0, and `plugins.hello.source` names `=1.0.0`
      --> platform.yaml:4:3
      asked for: ^1 from oci://[REGISTRY]/acme/hello:1.0.0
      help: run `ztc plugins install hello@=1.0.0`, which changes the lock, or change platform.yaml back
    $ ztc plugins install
    exit: 5
    --- stderr
    error: the lock has `hello` 1.1.0, and `plugins.hello.source` names `=1.0.0`
      help: run `ztc plugins install hello@=1.0.0`, which changes the lock, or change platform.yaml back
    $ ztc plugins install hello@=1.0.0
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from oci://[REGISTRY]/acme/hello
      platform/lock.json names hello 1.0.0 instead of 1.1.0
      next: ztc render  renders with it
    $ ztc render
    exit: 0
    --- stderr
      changed  platform/generated/services/hello/hello.txt
      changed  platform/lock.json
    ✓ rendered `test`: 1 artifacts, 0 stages (0 added, 2 changed, 0 removed, 1 unchanged)
      next: ztc plan  shows what a bootstrap would do
    $ ztc validate --locked
    exit: 0
    --- stderr
    ✓ `test` is as it was rendered at [TIME]: 1 adapters, 1 artifacts, 0 stages, 0 secret bundles
    ");
}

#[test]
fn platform_yaml_names_a_repository_and_a_copy_of_one_version_will_do() {
    let publisher = Publisher::new();
    let Some(registry) = Registry::start(&publisher, "") else {
        return;
    };
    publisher.put("hello", "2.0.0", &machine());
    publisher.put("other", "0.2.0", &machine());
    publisher.publish(&[]);
    let run = |arguments: &[&str]| run(&publisher, &registry.address, arguments);
    let to = format!("oci://{}/acme/all", registry.address);
    let dry = ["plugins", "push", "../tree", &to, "--dry-run"];
    insta::assert_snapshot!(run(&dry), @"
    exit: 0
    --- stderr
      would send index.json
      would send index.json.minisig
      would send hello/1.0.0/SHA256SUMS
      would send hello/1.0.0/SHA256SUMS.minisig
      would send hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]
      would send hello/2.0.0/SHA256SUMS
      would send hello/2.0.0/SHA256SUMS.minisig
      would send hello/2.0.0/ztc-adapter-hello-2.0.0-[MACHINE]
      would send other/0.2.0/SHA256SUMS
      would send other/0.2.0/SHA256SUMS.minisig
      would send other/0.2.0/ztc-adapter-other-0.2.0-[MACHINE]
    ✓ oci://[REGISTRY]/acme/all would hold the tree with serial 2, new versions hello-1.0.0, hello-2.0.0, other-0.2.0
    ");
    let dry = run(&["plugins", "push", "../tree", &to, "--dry-run", "--json"]).json();
    valid("plugins-push.schema.json", &dry);
    insta::assert_snapshot!(run(&["plugins", "push", "../tree", &to, "--json"]).stdout, @r#"
    {
      "pushed": {
        "source": "oci://[REGISTRY]/acme/all",
        "serial": 2,
        "sent": [
          "index.json",
          "index.json.minisig",
          "hello/1.0.0/SHA256SUMS",
          "hello/1.0.0/SHA256SUMS.minisig",
          "hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]",
          "hello/2.0.0/SHA256SUMS",
          "hello/2.0.0/SHA256SUMS.minisig",
          "hello/2.0.0/ztc-adapter-hello-2.0.0-[MACHINE]",
          "other/0.2.0/SHA256SUMS",
          "other/0.2.0/SHA256SUMS.minisig",
          "other/0.2.0/ztc-adapter-other-0.2.0-[MACHINE]"
        ],
        "tags": [
          "hello-1.0.0",
          "hello-2.0.0",
          "other-0.2.0"
        ],
        "digest": "sha256:[SHA256]"
      },
      "dry_run": false
    }
    "#);
    let platform = format!(
        "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {{}}\nplugins:\n  hello: {{source: '{to}', version: '^1'}}\n"
    );
    publisher.environment.write("platform.yaml", platform);
    insta::assert_snapshot!(run(&["plugins", "install"]), @"
    exit: 0
    --- stderr
    the publisher's key of oci://[REGISTRY]/acme/all is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from oci://[REGISTRY]/acme/all
      touches network example.org:443
    ");
    insta::assert_snapshot!(run(&["plugins", "install", &to]), @"
    exit: 2
    --- stderr
    error: `oci://[REGISTRY]/acme/all` has several adapters
      it has `hello` and `other`
      help: run `ztc plugins install NAME --source oci://[REGISTRY]/acme/all`
    ");
}

#[test]
fn nothing_that_was_pushed_is_changed_or_taken_away() {
    let publisher = Publisher::new();
    let Some(registry) = Registry::start(&publisher, "") else {
        return;
    };
    let run = |arguments: &[&str]| run(&publisher, &registry.address, arguments);
    let to = format!("oci://{}/acme/hello", registry.address);
    let push = ["plugins", "push", "../tree", &to];
    assert_eq!(run(&push).code, Some(0));
    let tree = publisher.tree();
    let old = ["index.json", "index.json.minisig"].map(|file| fs::read(tree.join(file)).unwrap());
    publisher.publish(&[]);
    assert_eq!(run(&push).code, Some(0));
    for (file, text) in ["index.json", "index.json.minisig"].iter().zip(&old) {
        fs::write(tree.join(file), text).unwrap();
    }
    insta::assert_snapshot!(run(&push), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has a tree with serial 2, and this one has 1
      help: publish from the tree that was pushed before, and push again; where that one is lost, sign with `ztc plugins publish` and `--serial 3`; where somebody else has your key, take a new one (PUBLISHING.md, Keys)
    ");
    // A tree that begins anew has the same versions with other bytes.
    fs::remove_dir_all(tree.join("hello")).unwrap();
    fs::remove_file(tree.join("index.json")).unwrap();
    publisher.put("hello", "1.0.0", &machine());
    let program = tree.join(format!("ztc-adapter-hello-1.0.0-{}", machine()));
    let text = fs::read_to_string(&program).unwrap();
    fs::write(&program, text.replace("says hello", "says jello")).unwrap();
    for _ in 0..3 {
        publisher.publish(&[]);
    }
    insta::assert_snapshot!(run(&push), @"
    exit: 5
    --- stderr
    error: `hello` 1.0.0 of `oci://[REGISTRY]/acme/hello` has other bytes than before for [MACHINE]
      was: [SHA256]
      now: [SHA256]
      help: a version never changes its bytes: ask its publisher, who has to give the change a new version
    ");
    fs::remove_dir_all(tree.join("hello")).unwrap();
    fs::remove_file(tree.join("index.json")).unwrap();
    publisher.put("hello", "1.2.0", &machine());
    for _ in 0..3 {
        publisher.publish(&[]);
    }
    insta::assert_snapshot!(run(&push), @"
    exit: 5
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` has files that this tree does not name
      hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]
      help: publish from the tree that was pushed before: others have locked these files
    ");
}

/// The bcrypt of `open sesame`.
const SESAME: &str = "me:$2b$04$067XQRM5TAHQEITiXdsnvuumkgwK4xYbrGg2aO3rGAnZVQWktj/su\n";

#[test]
fn credentials_of_docker_open_a_registry_and_are_never_shown() {
    let mut publisher = Publisher::new();
    let users = publisher.environment.root().join("users");
    fs::write(&users, SESAME).unwrap();
    let auth = format!(
        "auth: {{htpasswd: {{realm: all, path: '{}'}}}}\n",
        users.display()
    );
    let Some(registry) = Registry::start(&publisher, &auth) else {
        return;
    };
    let address = registry.address.clone();
    let to = format!("oci://{address}/acme/hello");
    let push = ["plugins", "push", "../tree", &to];
    insta::assert_snapshot!(run(&publisher, &address, &push), @"
    exit: 1
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` wants credentials, and none are stored for `[REGISTRY]`
      looked in: [ROOT]/home/.docker/config.json
      help: run `docker login [REGISTRY]` or `podman login [REGISTRY]`, and then the same command again; a repository that does not exist looks the same
    ");
    let docker = publisher.environment.root().join("home/.docker");
    fs::create_dir(&docker).unwrap();
    let login = |auth: &str| {
        let config = json!({"auths": {&address: {"auth": auth}}});
        fs::write(docker.join("config.json"), config.to_string()).unwrap();
    };
    // me:wrong
    login("bWU6d3Jvbmc=");
    insta::assert_snapshot!(run(&publisher, &address, &push), @"
    exit: 1
    --- stderr
    error: `oci://[REGISTRY]/acme/hello` does not accept the credentials that are stored for it
      looked in: [ROOT]/home/.docker/config.json
      help: run `docker login [REGISTRY]` or `podman login [REGISTRY]`, and then the same command again; a repository that does not exist looks the same
    ");
    // me:open sesame
    login("bWU6b3BlbiBzZXNhbWU=");
    assert_eq!(run(&publisher, &address, &push).code, Some(0));
    let install = ["-v", "plugins", "install", &to];
    let installed = run(&publisher, &address, &install);
    assert_eq!(installed.code, Some(0), "{installed}");
    for secret in ["sesame", "bWU6b3BlbiBzZXNhbWU="] {
        assert!(!installed.to_string().contains(secret), "{installed}");
    }
    // A helper keeps them as well.
    fs::write(docker.join("config.json"), r#"{"credsStore": "test"}"#).unwrap();
    publisher.environment.tool(
        "docker-credential-test",
        "#!/bin/sh\nread -r key\necho \"{\\\"ServerURL\\\": \\\"$key\\\", \\\"Username\\\": \\\"me\\\", \\\"Secret\\\": \\\"open sesame\\\"}\"\n",
    );
    assert_eq!(run(&publisher, &address, &push).code, Some(0));
    publisher.environment.tool(
        "docker-credential-test",
        "#!/bin/sh\necho 'the vault is locked' >&2\nexit 1\n",
    );
    insta::assert_snapshot!(run(&publisher, &address, &push), @"
    exit: 1
    --- stderr
    error: `docker-credential-test`, which keeps the credentials of `[REGISTRY]`, ended with exit status: 1
      help: try `docker login [REGISTRY]`, and run the same command again
    ");
    fs::write(docker.join("config.json"), "{\"auths\": {\"secret\": }").unwrap();
    insta::assert_snapshot!(run(&publisher, &address, &push), @"
    exit: 2
    --- stderr
    error: the credentials of registries cannot be read
      --> [ROOT]/home/.docker/config.json:1:22
      help: correct the file, or write it anew with `docker login`
    ");
    publisher
        .environment
        .set("DOCKER_CONFIG", users.display().to_string());
    insta::assert_snapshot!(run(&publisher, &address, &push).code.unwrap(), @"1");
}
