//! A running world for tests, and how they talk to it. Tests nothing itself.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The schematic of an image without extensions: the one that every factory has.
const VANILLA: &str = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";

/// The longest that anything in these tests may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Says a count that counts even where the test succeeds and its output is kept back.
pub(crate) fn count(line: &str) {
    use std::io::Write;
    // Where nobody reads it, the test counts all the same.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prepares a program.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the test's one place that starts programs"
    )]
    Command::new(name)
}

/// A running `ztc-lab world`; dropping it closes its stdin, which ends it.
pub(crate) struct World {
    child: Child,
    pub(crate) info: Value,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) agent: ureq::Agent,
}

impl World {
    /// Starts it.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = program(env!("CARGO_BIN_EXE_ztc-lab"))
            .arg("world")
            .args(["--speed", "200", "--dir"])
            .arg(directory.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .build()
            .into();
        Self {
            child,
            info: serde_json::from_str(&line).unwrap(),
            directory,
            agent,
        }
    }

    /// What the world says about itself.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.info[key].as_str().unwrap()
    }

    /// Sets a fault.
    pub(crate) fn fault(&self, name: &str) -> u16 {
        let url = format!("{}/faults/{name}", self.text("control"));
        let answer = self.agent.post(url).send_empty().unwrap();
        answer.status().as_u16()
    }

    /// Asks the cloud to delete something.
    pub(crate) fn delete(&self, path: &str) -> u16 {
        let url = format!("{}{path}", self.text("endpoint"));
        let answer = self
            .agent
            .delete(url)
            .header("Authorization", format!("Bearer {}", self.text("token")))
            .call()
            .unwrap();
        answer.status().as_u16()
    }

    /// Asks the cloud; nothing where the answer is not JSON.
    pub(crate) fn try_get(&self, path: &str) -> (u16, Option<Value>) {
        let url = format!("{}{path}", self.text("endpoint"));
        let mut response = self
            .agent
            .get(url)
            .header("Authorization", format!("Bearer {}", self.text("token")))
            .call()
            .unwrap();
        (
            response.status().as_u16(),
            response.body_mut().read_json().ok(),
        )
    }

    /// Asks the cloud.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.text("endpoint"));
        let mut response = self
            .agent
            .get(url)
            .header("Authorization", format!("Bearer {}", self.text("token")))
            .call()
            .unwrap();
        (
            response.status().as_u16(),
            response.body_mut().read_json().unwrap(),
        )
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.text("endpoint"));
        let mut response = self
            .agent
            .post(url)
            .header("Authorization", format!("Bearer {}", self.text("token")))
            .send_json(body)
            .unwrap();
        (
            response.status().as_u16(),
            response.body_mut().read_json().unwrap(),
        )
    }

    pub(crate) fn state(&self) -> Value {
        self.agent
            .get(format!("{}/state", self.text("control")))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    /// Waits until something is true of the state.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let state = self.state();
            if holds(&state) {
                return state;
            }
            assert!(begun.elapsed() < LIMIT, "{what} did not happen: {state:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Does something to the first server and waits for its end.
    pub(crate) fn act(&self, action: &str, body: &Value) {
        let (status, answer) = self.post(&format!("/servers/42000001/actions/{action}"), body);
        assert_eq!(status, 201, "{answer}");
        let id = answer["action"]["id"].as_u64().unwrap();
        self.wait(action, |_| {
            self.get(&format!("/actions/{id}")).1["action"]["status"] == "success"
        });
    }

    pub(crate) fn make_key(&self) -> PathBuf {
        let key = self.directory.path().join("key");
        let made = program("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap();
        assert!(made.success());
        key
    }

    /// Boots the first server into rescue and returns the key that opens it.
    pub(crate) fn enter_rescue(&self) -> PathBuf {
        let key = self.make_key();
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let (status, answer) = self.post(
            "/ssh_keys",
            &json!({"name": "test", "public_key": public.trim()}),
        );
        assert_eq!(status, 201, "{answer}");
        self.act("poweroff", &json!({}));
        self.act(
            "enable_rescue",
            &json!({"type": "linux64", "ssh_keys": [answer["ssh_key"]["id"]]}),
        );
        self.act("poweron", &json!({}));
        self.wait("rescue", |state| {
            state["nodes"][0]["power"] == json!({"up": "rescue"})
        });
        // Its SSH server listens a moment later.
        self.wait("the login", |_| {
            text(&self.ssh(&key, "hostname").stdout) == "rescue\n"
        });
        key
    }

    pub(crate) fn ssh(&self, key: &Path, command: &str) -> Output {
        let mut ssh = program("ssh");
        ssh.arg("-F")
            .arg(self.text("ssh_config"))
            .arg("-i")
            .arg(key);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=10",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.arg("root@127.42.0.11")
            .arg(command)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn install(&self, key: &Path) -> Output {
        let image = format!(
            "{}/image/{VANILLA}/v1.11.5/hcloud-amd64.raw.xz",
            self.text("factory_url")
        );
        let write = format!(
            "set -o pipefail; blkdiscard -f /dev/sda && curl -fsSL --retry 3 {image} | xz -dc | dd of=/dev/sda bs=4M conv=sparse && sync"
        );
        self.ssh(key, &write)
    }

    pub(crate) fn talosctl(&self, words: &[&str]) -> (i32, String) {
        let output = program(Path::new(self.text("bin")).join("talosctl"))
            .args(words)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap().trim().to_owned(),
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(
                begun.elapsed() < LIMIT || std::thread::panicking(),
                "the world did not end with its stdin"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What a program printed.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
