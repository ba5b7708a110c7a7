//! Running what is installed: whatever happens to its file while it starts, and whichever command starts it, only the bytes that were verified run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::distribution::{Publisher, machine};
use crate::environment::{Run, TestEnv, programs};
use crate::schemas::valid;

/// An adapter in sh that says `word` about itself, and leaves a file where it may.
fn script(interpreter: &str, word: &str, mark: &Path) -> String {
    format!(
        r#"#!{interpreter}
echo started >>{mark} 2>/dev/null
[ "$1" = --ztc-adapter ] || {{ echo "{word}"; exit; }}
while read -r line; do
  id=${{line#*\"id\":}}; id=${{id%%,*}}
  echo '{{"jsonrpc": "2.0", "id": '"$id"', "result": {{"protocol": "1.0", "manifest": {{"name": "hello", "version": "1.0.0", "description": "{word}", "phase": "network", "supported_versions": ["v1"], "default_version": "v1"}}}}}}'
done
"#,
        mark = mark.display()
    )
}

fn executable(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes a pipe in the place of a file.
fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// An installed adapter whose interpreter waits at `bin/gate` before it reads the script.
struct World {
    publisher: Publisher,
}

impl World {
    fn new() -> Self {
        let publisher = Publisher::new();
        let bin = publisher.environment.bin();
        fs::write(bin.join("gate"), "\n").unwrap();
        let slow = format!(
            "#!/bin/sh\nread -r _ <{}\nexec /bin/sh \"$@\"\n",
            bin.join("gate").display()
        );
        executable(&bin.join("slow"), slow, 0o755);
        let world = Self { publisher };
        let file = format!("ztc-adapter-hello-1.1.0-{}", machine());
        let content = world.script("good").replace("1.0.0", "1.1.0");
        executable(&world.publisher.tree().join(file), content, 0o755);
        world.publisher.publish(&[]);
        let run = world.publisher.install(&[]);
        assert_eq!(run.code, Some(0), "{run}");
        world
    }

    fn environment(&self) -> &TestEnv {
        &self.publisher.environment
    }

    fn mark(&self) -> PathBuf {
        self.environment().root().join("mark")
    }

    fn script(&self, word: &str) -> String {
        let interpreter = self.environment().bin().join("slow");
        script(&interpreter.display().to_string(), word, &self.mark())
    }

    /// The file in the store.
    fn file(&self) -> PathBuf {
        let store = self
            .environment()
            .root()
            .join("home/.local/share/ztc/store");
        let directory = fs::read_dir(store).unwrap().next().unwrap().unwrap().path();
        fs::read_dir(directory)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    }

    /// Runs `ztc` and does something to the file between the moment in which it was verified and the one in which its interpreter reads it.
    fn meanwhile(&self, arguments: &[&str], change: impl FnOnce(&Path)) -> Run {
        let gate = self.environment().bin().join("gate");
        pipe(&gate);
        let mut command = self.environment().command(arguments);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Opening it waits until the interpreter has opened it, too.
        let mut open = fs::OpenOptions::new().write(true).open(&gate).unwrap();
        change(&self.file());
        // Whoever comes again finds the gate open.
        fs::remove_file(&gate).unwrap();
        fs::write(&gate, "\n").unwrap();
        open.write_all(b"\n").unwrap();
        drop(open);
        Run::new(self.environment(), &child.wait_with_output().unwrap())
    }
}

#[test]
fn a_script_that_changes_while_it_starts_runs_as_it_was_verified() {
    for options in [&[][..], &["--no-sandbox"]] {
        for swap in [true, false] {
            let world = World::new();
            let evil = world.script("evil");
            let change = |file: &Path| {
                if swap {
                    let other = file.with_extension("other");
                    executable(&other, &evil, 0o555);
                    fs::rename(other, file).unwrap();
                } else {
                    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
                    fs::write(file, &evil).unwrap();
                }
            };
            let info = ["plugins", "info", "hello", "--json"];
            let run = world.meanwhile(&[&info, options].concat(), change);
            assert_eq!(run.code, Some(0), "{options:?} {swap} {run}");
            assert_eq!(
                run.json()["manifest"]["description"],
                "good",
                "{options:?} {swap}"
            );
            // The next start sees what has happened.
            assert_eq!(world.environment().ztc(&info).code, Some(5));
        }
    }
    // The adapter's own command, which shares the terminal.
    let world = World::new();
    let evil = world.script("evil");
    let run = world.meanwhile(&["plugins", "run", "hello", "x"], |file| {
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(file, &evil).unwrap();
    });
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "good\n"),
        "{run}"
    );
    let left = fs::read_dir(world.environment().root().join("tmp")).unwrap();
    assert_eq!(left.count(), 0, "a copy is left");
}

/// A compiled adapter, started as the keeper starts it in a sandbox, which stops after it was verified until `go` is opened.
struct Compiled {
    environment: TestEnv,
    file: PathBuf,
    go: PathBuf,
    child: Child,
}

impl Compiled {
    fn start() -> Self {
        let environment = TestEnv::new();
        let at = |name: &str| environment.root().join(name);
        fs::create_dir(at("store")).unwrap();
        fs::create_dir(at("scratch")).unwrap();
        let file = at("store/ztc-adapter-namespaces");
        // Copied by somebody else: while this process has it open for writing, nothing could execute it.
        let copied = Command::new("cp")
            .arg(programs().join("ztc-adapter-namespaces"))
            .arg(&file)
            .status();
        assert!(copied.unwrap().success());
        let sum = Command::new("sha256sum").arg(&file).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        let sha256 = sum.split(' ').next().unwrap();
        let go = at("bin/go");
        pipe(&go);
        // The sandbox looks at what the adapter may start after it has verified the adapter, and before it becomes it.
        let mut command = environment.command(&["__sandboxed", "--scratch"]);
        let child = command
            .arg(at("scratch"))
            .args(["--sha256", sha256, "--program"])
            .arg(&go)
            .arg("--")
            .arg(&file)
            .arg("--ztc-adapter")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            environment,
            file,
            go,
            child,
        }
    }

    /// Does something to the file, lets the adapter start, and asks it who it is.
    fn meanwhile(mut self, change: impl FnOnce(&Path)) -> (String, Run) {
        let open = fs::OpenOptions::new().write(true).open(&self.go).unwrap();
        change(&self.file);
        drop(open);
        let mut stdin = self.child.stdin.take().unwrap();
        let question = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocols":["1.0"],"host":{"name":"test","version":"1"}}}"#;
        // Where it was refused, nobody reads.
        let _ = writeln!(stdin, "{question}");
        let mut answer = String::new();
        let mut stdout = BufReader::new(self.child.stdout.take().unwrap());
        stdout.read_line(&mut answer).unwrap();
        drop(stdin);
        let output = self.child.wait_with_output().unwrap();
        (answer, Run::new(&self.environment, &output))
    }
}

#[test]
fn a_compiled_program_that_is_swapped_while_it_starts_runs_as_it_was_verified() {
    let (answer, run) = Compiled::start().meanwhile(|file| {
        let other = file.with_extension("other");
        fs::copy("/bin/false", &other).unwrap();
        fs::rename(other, file).unwrap();
    });
    assert!(answer.contains(r#""name":"namespaces""#), "{answer}\n{run}");
    assert_eq!(run.code, Some(0), "{run}");
}

#[test]
fn a_compiled_program_that_is_written_to_while_it_starts_does_not_run() {
    let (answer, run) = Compiled::start().meanwhile(|file| {
        use std::os::unix::fs::FileExt;
        let open = fs::OpenOptions::new().write(true).open(file).unwrap();
        open.write_all_at(b"evil", 4096).unwrap();
    });
    assert_eq!(answer, "");
    // The keeper's word for the system's error number, which ztc makes a refusal of.
    assert!(run.stderr.ends_with("error 74\n"), "{run}");
}

#[test]
fn no_command_starts_what_was_changed_after_it_was_installed() {
    let world = World::new();
    let environment = world.environment();
    environment.write(
        "platform.yaml",
        "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\n",
    );
    let record = environment.repo().join("recorded");
    environment.ztc_ok(&[
        "plugins",
        "info",
        "hello",
        "--record",
        &record.display().to_string(),
    ]);
    let file = world.file();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&file, world.script("evil")).unwrap();
    let _ = fs::remove_file(world.mark());
    let refusal =
        "adapter `hello` was not started: its file does not have the bytes that were installed";
    let commands = [
        ("init --answers platform.yaml --force", 2),
        ("render", 5),
        ("render --check", 5),
        ("validate", 5),
        ("plan", 5),
        ("bootstrap --yes", 5),
        ("graph", 5),
        ("secrets generate", 5),
        ("doctor", 1),
        ("plugins list", 0),
        ("plugins info hello", 5),
        ("plugins test hello", 5),
        ("plugins run hello x", 5),
        ("plugins replay recorded --as-host", 5),
        ("update-versions --offline", 0),
    ];
    for (command, code) in commands {
        for option in [None, Some("--no-sandbox")] {
            let arguments: Vec<&str> = command.split(' ').chain(option).collect();
            let run = environment.ztc(&arguments);
            assert!(run.to_string().contains(refusal), "{arguments:?}\n{run}");
            assert_eq!(run.code, Some(code), "{arguments:?}\n{run}");
            assert!(!world.mark().exists(), "{arguments:?}\n{run}");
        }
    }
    // The same commands start what is as it was, which leaves its mark.
    fs::write(&file, world.script("good").replace("1.0.0", "1.1.0")).unwrap();
    environment.ztc_ok(&["plugins", "info", "hello", "--no-sandbox"]);
    assert!(world.mark().exists());
    // A file to which others may write is not what was installed either.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o775)).unwrap();
    insta::assert_snapshot!(world.publisher.run(&["plugins", "info", "hello"]), @"
    exit: 5
    --- stderr
    error: adapter `hello` was not started: other users may write to its file
      installed: `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]`
      help: run `chmod go-w [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]`, and `ztc plugins verify`
    ");
    // All who judge it say the same.
    insta::assert_snapshot!(world.publisher.run(&["plugins", "verify"]), @"
    exit: 5
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.1.0  signed  file://[ROOT]/tree  other users may write to its file
    --- stderr
    error: installed adapters are not what was installed
      hello 1.1.0: other users may write to its file
      help: run `chmod go-w [ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.1.0-[MACHINE]`, and `ztc plugins verify` again
    ");
    let verified = environment.ztc(&["plugins", "verify", "--json"]);
    valid("plugins-verify.schema.json", &verified.json());
    let chmod = format!("chmod go-w {}", file.display());
    environment.shell("repo", &chmod);
    environment.ztc_ok(&["plugins", "verify"]);
    environment.ztc_ok(&["plugins", "info", "hello"]);
    // Another installation mends it, too, and says that it did.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o757)).unwrap();
    let install = ["plugins", "install", "hello@1.1.0", "--source", "../tree"];
    insta::assert_snapshot!(world.publisher.run(&install), @"
    exit: 0
    --- stderr
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    ");
    environment.ztc_ok(&["plugins", "verify"]);
    // A program that nobody may execute starts nowhere; a script is run by its interpreter.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    environment.ztc_ok(&["plugins", "verify"]);
    environment.ztc_ok(&["plugins", "info", "hello"]);
}

/// A publisher whose index says something else than the files are. Nobody has signed it, which changes nothing of what is looked at here.
fn lying(change: impl FnOnce(&Publisher, &mut serde_json::Value)) -> Publisher {
    let publisher = Publisher::new();
    publisher.change(|index| change(&publisher, index));
    fs::remove_file(publisher.tree().join("index.json.minisig")).unwrap();
    publisher
}

#[test]
fn a_program_for_another_machine_is_not_installed() {
    // A program for macOS on Arm, whatever machine this is; and a file that is nothing.
    let contents: [&[u8]; 2] = [
        b"\xcf\xfa\xed\xfe\x0c\0\0\x01\0\0\0\0\x02\0\0\0\0\0\0\0\0",
        b"PK\x03\x04 an archive",
    ];
    let messages = contents.map(|content| {
        let publisher = lying(|publisher, index| {
            let path = publisher.executable();
            fs::write(&path, content).unwrap();
            let sum = Command::new("sha256sum").arg(&path).output().unwrap();
            let sum = String::from_utf8(sum.stdout).unwrap();
            let asset =
                &mut index["adapters"]["hello"]["versions"]["1.0.0"]["platforms"][machine()];
            asset["size"] = content.len().into();
            asset["sha256"] = sum.split(' ').next().unwrap().into();
        });
        let run = publisher.install(&["--allow-unsigned"]);
        let verify = publisher.run(&["plugins", "verify"]);
        assert_eq!(verify.stdout.lines().count(), 1, "{verify}");
        let store = publisher
            .environment
            .root()
            .join("home/.local/share/ztc/store");
        assert_eq!(fs::read_dir(store).unwrap().count(), 0);
        run.to_string()
    });
    insta::assert_snapshot!(messages.join("\n"), @"
    exit: 5
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` is not what it is called, a program for [MACHINE]: it is a program for macOS
      nothing was installed
      help: tell its publisher; another version may be right: `NAME@VERSION`
    exit: 5
    --- stderr
    error: `hello/1.0.0/ztc-adapter-hello-1.0.0-[MACHINE]` is not what it is called, a program for [MACHINE]: it is neither a program nor a script
      nothing was installed
      help: tell its publisher; another version may be right: `NAME@VERSION`
    ");
}

#[test]
fn an_adapter_that_says_another_version_than_was_signed_does_not_run() {
    let publisher = lying(|_, index| {
        let versions = index["adapters"]["hello"]["versions"]
            .as_object_mut()
            .unwrap();
        let release = versions.remove("1.0.0").unwrap();
        versions.insert("1.9.0".to_owned(), release);
    });
    let run = publisher.install(&["--allow-unsigned"]);
    assert_eq!(run.code, Some(0), "{run}");
    insta::assert_snapshot!(publisher.run(&["plugins", "info", "hello"]), @"
    exit: 5
    --- stderr
    error: adapter `hello` says that it is version 1.0.0, and it was installed as 1.9.0
      installed: `[ROOT]/home/.local/share/ztc/store/[SHA256]/ztc-adapter-hello-1.0.0-[MACHINE]`
      help: do not use this version: tell its publisher, whose index has to say what a file is
    ");
}
