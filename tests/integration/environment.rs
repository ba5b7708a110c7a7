//! The hermetic environment: a temporary directory with a repository, a home and a PATH of its own, and the programs under test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Returns the directory with the programs, which are built once. `ZTC_TEST_BIN_DIR` names one where they are built already.
pub(crate) fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        if let Some(directory) = std::env::var_os("ZTC_TEST_BIN_DIR") {
            return PathBuf::from(directory);
        }
        let this = std::env::current_exe().unwrap();
        let directory = this.ancestors().nth(2).unwrap().to_owned();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--workspace", "--bins", "--quiet"]);
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(
            cargo.status().unwrap().success(),
            "the programs under test do not build"
        );
        directory
    })
}

/// A repository, a home and a PATH that belong to one test.
pub(crate) struct TestEnv {
    root: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl TestEnv {
    /// Makes an environment with an empty repository.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("ztc-test-")
            .tempdir()
            .unwrap();
        for directory in ["repo", "home", "bin", "tmp"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        let path = |name: &str| root.path().join(name).display().to_string();
        let variables = BTreeMap::from([
            (
                "PATH".to_owned(),
                format!("{}:{}", path("bin"), crate::needs::SYSTEM_PATH),
            ),
            ("HOME".to_owned(), path("home")),
            ("TMPDIR".to_owned(), path("tmp")),
            ("XDG_CACHE_HOME".to_owned(), path("home/.cache")),
            ("XDG_CONFIG_HOME".to_owned(), path("home/.config")),
            ("XDG_DATA_HOME".to_owned(), path("home/.local/share")),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
            // Nothing listens there: no test reaches the real one.
            (
                "HCLOUD_ENDPOINT".to_owned(),
                "http://127.0.0.1:1/v1".to_owned(),
            ),
            ("COLUMNS".to_owned(), "100".to_owned()),
        ]);
        Self { root, variables }
    }

    /// The repository.
    pub(crate) fn repo(&self) -> PathBuf {
        self.root.path().join("repo")
    }

    /// A directory at the front of PATH.
    pub(crate) fn bin(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    /// The whole environment's directory.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Sets a variable for all commands.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    /// Removes a variable for all commands.
    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    /// Puts a directory at the front of PATH.
    pub(crate) fn prepend_path(&mut self, directory: &str) {
        let path = format!("{directory}:{}", self.variables["PATH"]);
        self.set("PATH", path);
    }

    /// Writes a file of the repository.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.repo().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Reads a file of the repository.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.repo().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Makes an executable script at the front of PATH.
    pub(crate) fn tool(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.bin().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Prepares `ztc` in the repository.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        // A test run that ignores SIGHUP (`nohup`) would hand that down, and `ztc` respects it.
        let mut command = Command::new("/usr/bin/env");
        command
            .arg("--default-signal")
            .arg(programs().join("ztc"))
            .args(arguments)
            .current_dir(self.repo())
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null());
        command
    }

    /// Runs `ztc` to its end.
    #[track_caller]
    pub(crate) fn ztc(&self, arguments: &[&str]) -> Run {
        let run = Run::new(self, &self.command(arguments).output().unwrap());
        let own = ["run", "test", "replay"];
        if arguments.contains(&"plugins") && !own.iter().any(|own| arguments.contains(own)) {
            run.every_refusal_says_what_to_type();
            crate::typable::typable(self, arguments, &run);
        }
        let last = run.stdout.lines().last().unwrap_or_default();
        if arguments.contains(&"--json") && last.starts_with("{\"error\":") {
            crate::schemas::valid("error.schema.json", &serde_json::from_str(last).unwrap());
        }
        run
    }

    /// Runs `ztc` and expects success.
    #[track_caller]
    pub(crate) fn ztc_ok(&self, arguments: &[&str]) -> Run {
        let run = self.ztc(arguments);
        assert_eq!(run.code, Some(0), "ztc {arguments:?}\n{run}");
        run
    }

    /// Runs a script of bash in a directory below the environment's own, with the programs under test on PATH.
    pub(crate) fn shell(&self, directory: &str, script: &str) -> Run {
        let path = format!("{}:{}", programs().display(), self.variables["PATH"]);
        let output = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", script])
            .current_dir(self.root.path().join(directory))
            .env_clear()
            .envs(&self.variables)
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run::new(self, &output)
    }

    /// Gives the repository generated secrets: made by `ztc` once for all tests, since keys take seconds, and copied from then on.
    pub(crate) fn secrets(&self) {
        static BUNDLES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
        let bundles = BUNDLES.get_or_init(|| {
            self.ztc_ok(&["secrets", "generate"]);
            let mut bundles = BTreeMap::new();
            collect(
                &self.repo().join("secrets"),
                &self.repo().join("secrets"),
                &mut bundles,
            );
            bundles
        });
        for (name, content) in bundles {
            let path = format!("secrets/{name}");
            self.write(&path, content);
            let path = self.repo().join(path);
            let private = std::os::unix::fs::PermissionsExt::from_mode;
            std::fs::set_permissions(&path, private(0o600)).unwrap();
            std::fs::set_permissions(path.parent().unwrap(), private(0o700)).unwrap();
        }
    }

    /// Returns a text without what differs from test to test.
    pub(crate) fn filtered(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        without_digests(text)
            .replace(&format!("{root}/repo"), "[REPO]")
            .replace(&root, "[ROOT]")
            .replace(&programs().display().to_string(), "[PROGRAMS]")
            .replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
    }

    /// Returns every file of the repository with its content, links and empty directories included.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.repo(), &self.repo(), &mut files);
        files
    }
}

/// Returns a text with every SHA-256 in it replaced.
fn without_digests(text: &str) -> String {
    let mut result = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() {
            word.push(c);
            continue;
        }
        result.push_str(if word.len() == 64 { "[SHA256]" } else { &word });
        word.clear();
        result.push(c);
    }
    result.pop();
    result
}

/// Adds every file below a directory.
pub(crate) fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            files.insert(name, fs::read(&path).unwrap_or_default());
        }
    }
}

/// What a finished `ztc` left.
pub(crate) struct Run {
    /// The exit code; nothing where a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output, filtered.
    pub(crate) stdout: String,
    /// Standard error, filtered.
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn new(environment: &TestEnv, output: &Output) -> Self {
        let text = |bytes: &[u8]| environment.filtered(&String::from_utf8_lossy(bytes));
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Expects what to do behind each error: whatever is refused, whoever reads it knows how to go on.
    #[track_caller]
    fn every_refusal_says_what_to_type(&self) {
        let is_usage = self.stderr.contains("For more information, try '--help'.");
        let mut blocks = self.stderr.split("\nerror: ").peekable();
        let first = blocks.next().unwrap_or_default();
        let first = first.strip_prefix("error: ").into_iter();
        for block in first.chain(blocks).filter(|_| !is_usage) {
            assert!(block.contains("\n  help: "), "error: {block}");
        }
    }

    /// Reads standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = match self.code {
            Some(code) => format!("exit: {code}\n"),
            None => "exit: by a signal\n".to_owned(),
        };
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                let _ = write!(text, "--- {name}\n{stream}");
            }
        }
        f.write_str(text.trim_end())
    }
}

/// The simulated world, which ends with its value.
pub(crate) struct Lab {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What the world says about itself.
    world: Value,
}

impl Lab {
    /// Starts a world below the environment's directory and points the environment at it.
    pub(crate) fn start(environment: &mut TestEnv, options: &[&str]) -> Self {
        let directory = environment.root().join("world");
        fs::create_dir(&directory).unwrap();
        let mut child = Command::new(programs().join("ztc-lab"))
            .arg("world")
            .arg("--dir")
            .arg(&directory)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let world: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let lab = Self {
            stdin: child.stdin.take(),
            child,
            world,
        };
        environment.set("HCLOUD_TOKEN", lab.text("token"));
        environment.set("HCLOUD_ENDPOINT", lab.text("endpoint"));
        environment.prepend_path(&lab.text("bin"));
        let config = lab.text("ssh_config");
        let name = Path::new(&config).file_name().unwrap();
        fs::copy(&config, environment.repo().join(name)).unwrap();
        lab
    }

    fn text(&self, name: &str) -> String {
        self.world[name]
            .as_str()
            .unwrap_or_else(|| panic!("the world has no `{name}`"))
            .to_owned()
    }

    /// The token of the simulated cloud.
    pub(crate) fn token(&self) -> String {
        self.text("token")
    }

    /// The directory of the stand-ins.
    pub(crate) fn bin(&self) -> String {
        self.text("bin")
    }

    /// The file with the answers for `ztc init`.
    pub(crate) fn answers(&self) -> String {
        self.text("answers")
    }

    /// The names of the nodes.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let nodes = self.world["nodes"].as_array().unwrap();
        nodes
            .iter()
            .map(|node| node["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Makes something go wrong, such as `bad-gateway=3`.
    pub(crate) fn fault(&self, fault: &str) {
        self.request("POST", &format!("/lab/faults/{fault}"));
    }

    /// Takes every fault away.
    pub(crate) fn mend(&self) {
        self.request("DELETE", "/lab/faults");
    }

    /// Returns the state of the world.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.request("GET", "/lab/state")).unwrap()
    }

    /// How often each node's disk was written, by node.
    pub(crate) fn installs(&self) -> BTreeMap<String, u64> {
        let state = self.state();
        let nodes = state["nodes"].as_array().unwrap();
        nodes
            .iter()
            .map(|node| {
                (
                    node["name"].as_str().unwrap().to_owned(),
                    node["installs"].as_u64().unwrap(),
                )
            })
            .collect()
    }

    /// Cuts a machine's power, as somebody does in the console of the cloud, and waits until it is off.
    pub(crate) fn power_off(&self, name: &str) {
        let node = |state: &Value| {
            let nodes = state["nodes"].as_array().unwrap();
            let node = nodes.iter().find(|node| node["name"] == name);
            node.unwrap().clone()
        };
        let id = node(&self.state())["server_id"].clone();
        self.request("POST", &format!("/v1/servers/{id}/actions/poweroff"));
        while node(&self.state())["power"] != "off" {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn request(&self, method: &str, path: &str) -> String {
        use std::io::{Read, Write};
        let control = self.text("control");
        let address = control
            .trim_start_matches("http://")
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
            self.token()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.0 2") || head.starts_with("HTTP/1.1 2"),
            "{method} {path}: {answer}"
        );
        body.to_owned()
    }

    /// Returns a text without what differs from world to world: addresses, ports, ids, digests, times.
    pub(crate) fn filtered(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for node in self.world["nodes"].as_array().unwrap() {
            let name = node["name"].as_str().unwrap().to_uppercase();
            text = text.replace(node["ip"].as_str().unwrap(), &format!("[IP {name}]"));
            text = text.replace(&node["server_id"].to_string(), &format!("[ID {name}]"));
        }
        text.replace(&self.text("factory_url"), "[FACTORY]")
            .replace(
                self.text("factory_url").trim_start_matches("http://"),
                "[FACTORY]",
            )
            .replace(&self.text("endpoint"), "[API]")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
