//! Installing while things go wrong: killed at each point, a full disk, a read-only home, no network, a proxy, redirects, two at once.

mod web;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};

use crate::environment::{Run, TestEnv, programs};
use crate::needs::namespaces;

/// A small adapter; `padding` makes it larger.
fn adapter(version: &str, padding: usize) -> String {
    let manifest = format!(
        r#"{{"name": "hello", "version": "{version}", "description": "says hello", "phase": "network", "supported_versions": ["v1"], "default_version": "v1"}}"#
    );
    format!(
        "#!/bin/sh\nwhile read -r line; do\n  id=${{line#*\\\"id\\\":}}; id=${{id%%,*}}\n  echo '{{\"jsonrpc\": \"2.0\", \"id\": '\"$id\"', \"result\": {{\"protocol\": \"1.0\", \"manifest\": {manifest}}}}}'\ndone\n# {}\n",
        "x".repeat(padding)
    )
}

fn machine() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// A publisher's tree beside the repository.
pub(crate) struct World {
    pub(crate) environment: TestEnv,
}

impl World {
    pub(crate) fn new(padding: usize) -> Self {
        let environment = TestEnv::new();
        environment.ztc_ok(&["plugins", "keygen", "../key", "--no-password"]);
        fs::create_dir(environment.root().join("tree")).unwrap();
        let world = Self { environment };
        world.publish("1.0.0", padding);
        world
    }

    fn publish(&self, version: &str, padding: usize) {
        let file = format!("ztc-adapter-hello-{version}-{}", machine());
        let path = self.tree().join(file);
        fs::write(&path, adapter(version, padding)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.environment
            .ztc_ok(&["plugins", "publish", "../tree", "--key", "../key"]);
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.environment.root().join("tree")
    }

    fn executable(&self, version: &str) -> String {
        format!("hello/{version}/ztc-adapter-hello-{version}-{}", machine())
    }

    fn data(&self) -> PathBuf {
        self.environment.root().join("home/.local/share/ztc")
    }

    pub(crate) fn install(&self, source: &str) -> Command {
        let command = ["plugins", "install", "hello", "--source", source];
        self.environment.command(&command)
    }

    /// What is installed, by `plugins verify`, which reads every byte.
    fn installed(&self) -> Vec<String> {
        let verified = self.environment.ztc_ok(&["plugins", "verify", "--json"]);
        let plugins = verified.json()["plugins"].as_array().unwrap().clone();
        let word = |plugin: &serde_json::Value| {
            assert_eq!(plugin["status"], "ok", "{plugin}");
            plugin["version"].as_str().unwrap().to_owned()
        };
        plugins.iter().map(word).collect()
    }

    /// Every file of the store and every record, without digests.
    fn files(&self) -> Vec<String> {
        let mut files = std::collections::BTreeMap::new();
        for part in ["store", "installed", "sources"] {
            let directory = self.data().join(part);
            if directory.is_dir() {
                crate::environment::collect(&self.data(), &directory, &mut files);
            }
        }
        files
            .into_keys()
            .map(|name| {
                self.environment
                    .filtered(&name)
                    .replace(&machine(), "[MACHINE]")
            })
            .collect()
    }

    pub(crate) fn run(&self, command: &mut Command) -> Run {
        let mut run = Run::new(&self.environment, &command.output().unwrap());
        for stream in [&mut run.stdout, &mut run.stderr] {
            *stream = stream.replace(&machine(), "[MACHINE]");
            let words = stream.split_inclusive([' ', '\n']).map(|word| {
                let bare = word.trim_end();
                match bare.starts_with("RW") && bare.len() == 56 {
                    true => word.replace(bare, "[KEY]"),
                    false => word.to_owned(),
                }
            });
            *stream = words.collect();
        }
        run
    }
}

/// What a server does with a file.
#[derive(Clone)]
pub(crate) enum Answer {
    Whole,
    /// Sends so many bytes, says so, and holds the connection until the other side is gone.
    Stop(usize),
    /// Sends so many bytes, says so, and the rest when it is told to.
    Pause(usize, std::sync::Arc<std::sync::Mutex<Receiver<()>>>),
    Redirect(String),
}

/// A static web server on loopback; it ends with the test.
pub(crate) struct Server {
    pub(crate) address: String,
    /// Hears of each answer that has stopped.
    stopped: Receiver<()>,
}

pub(crate) fn serve(
    directory: PathBuf,
    answer: impl Fn(&str) -> Answer + Send + Sync + Clone + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, stopped) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (directory, answer, sender) = (directory.clone(), answer.clone(), sender.clone());
            std::thread::spawn(move || one(stream, &directory, &answer, &sender));
        }
    });
    Server { address, stopped }
}

fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head)
        .lines()
        .next()
        .map(str::to_owned)
}

fn one(
    mut stream: TcpStream,
    directory: &Path,
    answer: &impl Fn(&str) -> Answer,
    stopped: &Sender<()>,
) -> Option<()> {
    let line = request(&mut stream)?;
    let path = line.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let content = fs::read(directory.join(&path)).ok()?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    match answer(&path) {
        Answer::Whole => {
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&content).ok()
        }
        Answer::Stop(bytes) => {
            // Without a length, so that even all of them are no end.
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                .ok()?;
            stream
                .write_all(&content[..bytes.min(content.len())])
                .ok()?;
            stream.flush().ok()?;
            stopped.send(()).ok()?;
            let _ = stream.read(&mut [0]);
            Some(())
        }
        Answer::Pause(bytes, gate) => {
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&content[..bytes]).ok()?;
            stream.flush().ok()?;
            stopped.send(()).ok()?;
            gate.lock().unwrap().recv().ok()?;
            stream.write_all(&content[bytes..]).ok()
        }
        Answer::Redirect(to) => {
            let head = format!(
                "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: {to}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).ok()
        }
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

/// Starts an installation whose output nobody reads.
fn start(command: &mut Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

const LEFT: [&str; 3] = [
    "installed/hello/1.0.0.json",
    "sources/[SHA256].json",
    "store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]",
];

#[test]
fn a_kill_while_bytes_come_leaves_what_was_there() {
    let world = World::new(200_000);
    let size = fs::metadata(world.tree().join(world.executable("1.0.0")))
        .unwrap()
        .len() as usize;
    let index = fs::metadata(world.tree().join("index.json")).unwrap().len() as usize;
    // All of its bytes, and no end of them: verified is nothing yet.
    let points = [
        ("index.json", 0),
        ("index.json", index / 2),
        ("index.json.minisig", 0),
        ("index.json.minisig", 100),
        ("ztc-adapter-", 0),
        ("ztc-adapter-", 1),
        ("ztc-adapter-", size / 2),
        ("ztc-adapter-", size - 1),
        ("ztc-adapter-", size),
    ];
    for (file, bytes) in points {
        let server = serve(world.tree(), move |path| {
            let is_it = path == file || (file.ends_with('-') && path.contains(file));
            if is_it {
                Answer::Stop(bytes)
            } else {
                Answer::Whole
            }
        });
        let child = start(&mut world.install(&server.address));
        server.stopped.recv().unwrap();
        kill(child);
        assert_eq!(world.installed(), Vec::<String>::new(), "{file} {bytes}");
    }
    // The one that comes next cleans up, and waits for nobody.
    insta::assert_snapshot!(world.run(&mut world.install("../tree")), @"
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    ");
    assert_eq!(world.installed(), ["1.0.0"]);
    assert_eq!(world.files(), LEFT);
    // An upgrade that is killed leaves the old one.
    world.publish("1.1.0", 200_000);
    for bytes in [0, size / 3, size] {
        let server = serve(world.tree(), move |path| {
            match path.contains("hello-1.1.0-") {
                true => Answer::Stop(bytes),
                false => Answer::Whole,
            }
        });
        let mut command = world.install(&server.address);
        let child = start(command.arg("--moved"));
        server.stopped.recv().unwrap();
        kill(child);
        assert_eq!(world.installed(), ["1.0.0"], "{bytes}");
    }
    assert!(world.run(&mut world.install("../tree")).code == Some(0));
    assert_eq!(world.installed(), ["1.1.0", "1.0.0"]);
    assert_eq!(world.files().len(), 5, "{:?}", world.files());
}

#[test]
fn a_kill_between_the_bytes_and_their_record_leaves_nothing_installed() {
    let world = World::new(0);
    let config = world.environment.root().join("home/.config/ztc");
    fs::create_dir_all(&config).unwrap();
    let pipe = config.join("trust.json");
    let make = || {
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
    };
    make();
    let child = start(&mut world.install("../tree"));
    // Opening for writing waits until the other side opens for reading: once before the index is fetched, and, with another pipe in the
    // place of the first, once more when the bytes are stored.
    let answer = || fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let mut first = answer();
    fs::remove_file(&pipe).unwrap();
    make();
    first.write_all(br#"{"format": 1, "sources": {}}"#).unwrap();
    drop(first);
    let second = answer();
    assert_eq!(
        world.files(),
        ["store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]"]
    );
    kill(child);
    drop(second);
    fs::remove_file(&pipe).unwrap();
    assert_eq!(world.installed(), Vec::<String>::new());
    assert_eq!(world.run(&mut world.install("../tree")).code, Some(0));
    assert_eq!(world.installed(), ["1.0.0"]);
    assert_eq!(world.files(), LEFT);
}

#[test]
fn who_comes_second_waits_and_says_so() {
    let world = World::new(1000);
    fs::create_dir_all(world.data()).unwrap();
    let lock = fs::File::create(world.data().join("plugins.lock")).unwrap();
    lock.lock().unwrap();
    let mut second = world
        .install("../tree")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "another ztc installs something; waiting for it"
    );
    // The lock ends with its process, however that ends.
    drop(lock);
    assert!(second.wait().unwrap().success());
    drop(lines);
    assert_eq!(world.installed(), ["1.0.0"]);
}

#[test]
fn a_slow_server_keeps_nobody_else_waiting() {
    let world = World::new(1000);
    let (go, gate) = mpsc::channel::<()>();
    let gate = std::sync::Arc::new(std::sync::Mutex::new(gate));
    let server = serve(world.tree(), move |path| {
        match path.contains("ztc-adapter-") {
            true => Answer::Pause(10, std::sync::Arc::clone(&gate)),
            false => Answer::Whole,
        }
    });
    let mut slow = start(world.install(&server.address).arg("--moved"));
    server.stopped.recv().unwrap();
    // Half of it is there, and whoever installs meanwhile cleans up after others.
    let quick = world.run(&mut world.install("../tree"));
    assert_eq!(
        (quick.code, quick.stderr.contains("waiting")),
        (Some(0), false)
    );
    go.send(()).unwrap();
    assert!(slow.wait().unwrap().success());
    assert_eq!(world.installed(), ["1.0.0"]);
    assert!(world.data().join("plugins.lock").is_file());
    assert_eq!(world.files().len(), 4, "{:?}", world.files());
}

/// Runs a shell script in namespaces of its own; nothing where this machine allows none.
fn in_namespace(world: &World, options: &str, script: &str) -> Option<String> {
    if !namespaces(options) {
        return None;
    }
    let ztc = world.environment.command(&[]);
    let mut command = Command::new("unshare");
    command
        .args([options, "bash", "-c", &format!("exec 2>&1\n{script}")])
        .env_clear()
        .current_dir(world.environment.repo());
    for (name, value) in ztc.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
        .env("DATA", world.data())
        .env("CONFIG", world.environment.root().join("home/.config"))
        .env("ZTC", programs().join("ztc"));
    let run = world.run(&mut command);
    Some(run.stdout)
}

#[test]
fn a_full_disk_says_so_and_keeps_nothing() {
    let world = World::new(200_000);
    let script = r#"
        mkdir -p "$DATA" && mount -t tmpfs -o size=64k tmpfs "$DATA"
        "$ZTC" plugins install hello --source ../tree; echo "exit: $?"
        find "$DATA" -type f -printf '%P %s\n'
        mount -o remount,size=4m "$DATA"
        "$ZTC" plugins install hello --source ../tree --quiet; echo "exit: $?"
        "$ZTC" plugins verify >/dev/null; echo "exit: $?""#;
    let Some(output) = in_namespace(&world, "-rm", script) else {
        return;
    };
    insta::assert_snapshot!(output, @"
    error: failed to keep `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` of `file://[ROOT]/tree`
      No space left on device (os error 28)
      nothing was installed
      help: free some space on the device of the plugins (`ztc doctor` says where it is) and run the same command again
    exit: 1
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    exit: 0
    exit: 0
    ");
}

#[test]
fn whatever_file_no_longer_fits_the_next_install_works() {
    let world = World::new(0);
    // Every number of files that may still be made, from none to enough: each step of the way fails once.
    let script = r#"
        mkdir -p "$DATA"
        for option in "" --quiet --json; do
        for left in $(seq 1 24); do
            mount -t tmpfs -o size=4m,nr_inodes=$left tmpfs "$DATA"
            rm -rf "$CONFIG"
            "$ZTC" plugins install hello --source ../tree $option 2>err >out; code=$?
            # Whatever failed: what is pinned was shown.
            shown=$(grep -c 'tree is trusted from now on: RW' err)
            [ "$shown" = 1 ] || [ ! -e "$CONFIG/ztc/trust.json" ] || echo "$left: pinned and not shown"
            if [ $code = 0 ]; then
                umount "$DATA"; echo "it works with $left"; break
            fi
            [ $code = 1 ] && grep -q 'No space left on device' err && grep -q 'help: free some space' err || { echo "$left: $code"; cat err; }
            records=$(find "$DATA/installed" -name '[0-9]*.json' 2>/dev/null | wc -l)
            [ "$records" = 0 ] || echo "$left: a record"
            mount -o remount,nr_inodes=100 "$DATA"
            "$ZTC" plugins install hello --source ../tree $option 2>again >out || echo "$left: does not work afterwards"
            shown=$(cat err again | grep -c 'tree is trusted from now on: RW')
            [ "$shown" = 1 ] || echo "$left: shown $shown times"
            "$ZTC" plugins verify --quiet >/dev/null || echo "$left: not good"
            [ "$(find "$DATA" -name '.*' -type f | wc -l)" = 0 ] || find "$DATA"
            umount "$DATA"
        done
        done"#;
    let Some(output) = in_namespace(&world, "-rm", script) else {
        return;
    };
    assert_eq!(output.lines().count(), 3, "{output}");
    for line in output.lines() {
        let (all, number) = line.rsplit_once(' ').unwrap();
        assert_eq!(all, "it works with", "{output}");
        // It failed at more than one step, and not for ever.
        assert!(
            (5..24).contains(&number.parse::<u32>().unwrap()),
            "{number}"
        );
    }
}

#[test]
fn a_read_only_home_says_what_to_do() {
    let world = World::new(0);
    let key = fs::read_to_string(world.environment.root().join("key.pub")).unwrap();
    let key = key.lines().last().unwrap();
    world
        .environment
        .ztc_ok(&["plugins", "trust", "add", "../tree", key]);
    fs::remove_dir_all(world.data()).unwrap();
    let script = r#"
        mount --bind "$HOME" "$HOME" && mount -o remount,bind,ro "$HOME"
        "$ZTC" plugins install hello --source ../tree; echo "exit: $?"
        "$ZTC" plugins install hello --source ../tree --dry-run --quiet; echo "exit: $?"
        "$ZTC" plugins verify --quiet; echo "exit: $?"
        "$ZTC" plugins search --source ../tree; echo "exit: $?"
        "$ZTC" plugins list --quiet; echo "exit: $?""#;
    let Some(output) = in_namespace(&world, "-rm", script) else {
        return;
    };
    insta::assert_snapshot!(output, @"
    error: failed to make `[ROOT]/home/.local/share/ztc/store`
      Read-only file system (os error 30)
      help: make the place writable for this user and run the same command again
    exit: 1
    exit: 0
    NAME  VERSION  TRUST  SOURCE  STATUS
    exit: 0
    warning: what file://[ROOT]/tree shows is not remembered: failed to make `[ROOT]/home/.local/share/ztc`
    NAME   VERSIONS  PROTOCOL  PLATFORMS     INSTALLED  SOURCE                            DESCRIPTION
    hello  1.0.0     1.0       [MACHINE]  no         file://[ROOT]/tree  says hello
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    exit: 0
    NAME     VERSION  SOURCE    TRUST     PROTOCOL  STATUS  LOCKED BY
    cilium   [VERSION]    built-in  built-in  1.0       ok      -
    hetzner  [VERSION]    built-in  built-in  1.0       ok      -
    talos    [VERSION]    built-in  built-in  1.0       ok      -
    exit: 0
    ");
}
