//! Adapters that do not behave: whatever one does, `ztc` ends within a bounded time, says exactly what happened, writes everything or
//! nothing, and leaves no process behind.
//!
//! The adapter is `tests/fake-adapter`, named in platform.yaml like anybody's, with the sins that each test gives it.

mod ending;
mod fatal;
mod harmless;
mod limits;
mod protocol;
mod starting;
mod words;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::environment::{Run, TestEnv, programs};

/// Longer than any of these runs takes on a busy machine, and no longer than anybody would wait for a test that hangs.
const BOUND: Duration = Duration::from_secs(90);

/// A platform of one adapter.
const PLATFORM: &str = "\
apiVersion: ztc/v1
environment: production
plugins: {fake: {path: ../bin/fake}}
adapters:
  fake: {version: v1, greeting: hello}
";

/// What a successful render of it says.
const RENDERED: &str = "  added    bootstrap/pipeline/production.yaml
  added    platform/generated/services/fake/fake.json
  added    platform/lock.json
✓ rendered `production`: 1 artifacts, 0 stages (3 added, 0 changed, 0 removed, 0 unchanged)
  next: ztc plan  shows what a bootstrap would do
";

/// A repository whose platform uses the fake adapter.
struct Fake {
    environment: TestEnv,
}

impl Fake {
    /// Makes a repository and an adapter with these sins.
    fn new(sins: &str) -> Self {
        let fake = Self::without_program();
        symlink(programs().join("fake-adapter"), fake.program()).unwrap();
        fs::write(fake.environment.bin().join("fake.sin"), sins).unwrap();
        fake
    }

    /// The same with a program of the test's own.
    fn with_program(content: impl AsRef<[u8]>, mode: u32) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let fake = Self::without_program();
        fs::write(fake.program(), content).unwrap();
        fs::set_permissions(fake.program(), fs::Permissions::from_mode(mode)).unwrap();
        fake
    }

    fn without_program() -> Self {
        let environment = TestEnv::new();
        environment.write("platform.yaml", PLATFORM);
        Self { environment }
    }

    fn program(&self) -> PathBuf {
        self.environment.bin().join("fake")
    }

    /// Sets the limits of all calls.
    fn limits(mut self, text: &str) -> Self {
        self.environment.set("ZTC_ADAPTER_TIMEOUT", text);
        self
    }

    /// Runs `ztc` to its end, which must come, and makes sure that no process is left.
    fn ztc(&self, arguments: &[&str]) -> Run {
        let run = Run::new(
            &self.environment,
            &bounded(self.environment.command(arguments)),
        );
        self.assert_alone(&run.to_string());
        run
    }

    /// Renders, expects success whatever the sin was, and returns what was said beside the usual.
    #[track_caller]
    fn harmless(&self) -> String {
        let run = self.ztc(&["render"]);
        assert_eq!(run.code, Some(0), "{run}");
        let artifact = self
            .environment
            .read("platform/generated/services/fake/fake.json");
        assert!(artifact.contains("\"greeting\": \"hello\""), "{artifact}");
        assert!(run.stderr.contains(RENDERED), "{run}");
        run.stderr.replacen(RENDERED, "", 1)
    }

    /// Renders, expects failure with this exit code and nothing written, and returns what was said, without times.
    #[track_caller]
    fn fatal(&self, code: i32) -> String {
        let before = self.environment.files();
        let run = self.ztc(&["render"]);
        assert_eq!(run.code, Some(code), "{run}");
        assert_eq!(run.stdout, "");
        let mut after = self.environment.files();
        after.retain(|file, _| !file.starts_with(".zerotouch-cache/"));
        assert_eq!(after, before, "something was written\n{run}");
        without_times(&run.stderr)
    }

    /// Every living process that a `ztc` of this environment has started, and the `ztc` themselves.
    fn processes(&self) -> Vec<String> {
        let marker = self.environment.root().display().to_string();
        let alive = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let directory = entry.ok()?.path();
            // What has ended, or belongs to another user, has no environment to read.
            let environment = fs::read(directory.join("environ")).ok()?;
            let command = fs::read(directory.join("cmdline")).ok()?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', " ");
            let ours = text(&environment).contains(&marker) || text(&command).contains(&marker);
            ours.then(|| text(&command))
        });
        alive.collect()
    }

    /// The private directories that are there: those of adapters, and `ztc`'s own.
    fn scratch_directories(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.environment.root().join("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Waits until no process of this environment is left, nor a directory of one.
    #[track_caller]
    fn assert_alone(&self, context: &str) {
        let left = || (self.processes(), self.scratch_directories());
        let gone = until(Duration::from_secs(2), || left() == (vec![], vec![]));
        assert!(gone, "still there: {:?}\n{context}", left());
    }

    /// Starts `ztc` without waiting for its end.
    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.environment.command(arguments);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

/// Runs a program to its end, which must come, and that of everything that holds its streams.
#[track_caller]
fn bounded(mut command: Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    let waiting = std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(BOUND) else {
        // The process still runs, so the number is still its own.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        panic!("{command:?} has not ended after {BOUND:?}");
    };
    waiting.join().unwrap().unwrap();
    output.unwrap()
}

/// Waits until something holds, and says whether it did in time.
fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        // Nobody tells of the end of a process that is not one's own child.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Replaces the times of a report, and takes out the numbers of thread and line that a panic tells.
fn without_times(text: &str) -> String {
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        if line.trim_start().starts_with("after: ") {
            for word in &mut words {
                if word.starts_with(|c: char| c.is_ascii_digit()) {
                    *word = "[TIME]";
                }
            }
            words.retain(|word| !["s", "ms"].contains(word));
        } else if line.contains("panicked at ") {
            words.retain(|word| !word.starts_with('(') && !word.contains(".rs:"));
        }
        words.join(" ") + "\n"
    };
    text.lines().map(line).collect()
}
