//! The world from outside: the program, its cloud API, its SSH servers with a real client, and its stand-ins.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The longest that anything in these tests may take.
const LIMIT: Duration = Duration::from_secs(30);

fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the test's one place that starts programs"
    )]
    Command::new(name)
}

/// A running `ztc-lab world`; dropping it closes its stdin, which ends it.
struct World {
    child: Child,
    info: Value,
    directory: tempfile::TempDir,
    agent: ureq::Agent,
}

impl World {
    fn start(arguments: &[&str]) -> Self {
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

    fn text(&self, key: &str) -> &str {
        self.info[key].as_str().unwrap()
    }

    fn get(&self, path: &str) -> (u16, Value) {
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

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
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

    fn state(&self) -> Value {
        self.agent
            .get(format!("{}/state", self.text("control")))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    /// Waits until something is true of the state.
    fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
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
    fn act(&self, action: &str, body: &Value) {
        let (status, answer) = self.post(&format!("/servers/42000001/actions/{action}"), body);
        assert_eq!(status, 201, "{answer}");
        let id = answer["action"]["id"].as_u64().unwrap();
        self.wait(action, |_| {
            self.get(&format!("/actions/{id}")).1["action"]["status"] == "success"
        });
    }

    fn make_key(&self) -> PathBuf {
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
    fn enter_rescue(&self) -> PathBuf {
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

    fn ssh(&self, key: &Path, command: &str) -> Output {
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

    fn install(&self, key: &Path) -> Output {
        let image = format!(
            "{}/image/{}/v1.11.5/hcloud-amd64.raw.xz",
            self.text("factory_url"),
            "0".repeat(64)
        );
        let write = format!(
            "set -o pipefail; blkdiscard -f /dev/sda && curl -fsSL --retry 3 {image} | xz -dc | dd of=/dev/sda bs=4M conv=sparse && sync"
        );
        self.ssh(key, &write)
    }

    fn talosctl(&self, words: &[&str]) -> (i32, String) {
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_image_written_over_ssh_boots_talos() {
    let world = World::start(&["--nodes", "1"]);
    let key = world.make_key();
    assert!(text(&world.ssh(&key, "hostname").stderr).contains("Permission denied"));
    std::fs::remove_file(&key).unwrap();
    std::fs::remove_file(key.with_extension("pub")).unwrap();
    let early = world.talosctl(&[
        "apply-config",
        "--insecure",
        "-n",
        "127.42.0.11",
        "-f",
        "/dev/null",
    ]);
    assert!(early.1.contains("connect: connection refused"), "{early:?}");

    let key = world.enter_rescue();
    assert_eq!(text(&world.ssh(&key, "hostname").stdout), "rescue\n");
    let installed = world.install(&key);
    assert!(installed.status.success(), "{}", text(&installed.stderr));
    world.ssh(&key, "reboot");
    let state = world.wait("maintenance mode", |state| {
        state["nodes"][0]["power"]["up"]["talos"]["version"] == "v1.11.5"
    });
    assert_eq!(
        (&state["nodes"][0]["installs"], &state["violations"]),
        (&json!(1), &json!([]))
    );
    world.wait("the end of the login", |_| {
        text(&world.ssh(&key, "hostname").stderr).contains("Connection refused")
    });
    assert_eq!(
        world
            .talosctl(&[
                "get",
                "machinestatus",
                "--insecure",
                "-n",
                "127.42.0.11",
                "-o",
                "jsonpath={.spec.stage}"
            ])
            .0,
        0
    );
}

#[test]
fn half_an_image_does_not_boot_and_a_second_try_does() {
    let world = World::start(&["--nodes", "1", "--fault", "disk-full=1"]);
    let key = world.enter_rescue();
    let failed = world.install(&key);
    assert!(
        !failed.status.success() && text(&failed.stderr).contains("dd: error writing '/dev/sda'"),
        "{}",
        text(&failed.stderr)
    );
    assert_eq!(world.state()["nodes"][0]["disk"], "nothing");
    assert!(world.install(&key).status.success());
    assert_eq!(
        world.state()["nodes"][0]["disk"]["talos"]["platform"],
        "hcloud"
    );
}

#[test]
fn no_command_over_ssh_reaches_anything_but_the_disk_file() {
    let world = World::start(&["--nodes", "1"]);
    let key = world.enter_rescue();
    let victim = world.directory.path().join("victim");
    std::fs::File::create(&victim)
        .unwrap()
        .write_all(b"untouched")
        .unwrap();
    let victim_name = victim.display();
    for hostile in [
        format!("echo x > {victim_name}"),
        format!("bash -c 'echo x > {victim_name}'"),
        format!("echo x | dd of={victim_name}"),
        format!("blkdiscard {victim_name}"),
        format!(
            "curl -o {victim_name} {}/lab/state",
            world.text("factory_url")
        ),
        format!("PATH=/bin:/usr/bin cp /etc/hostname {victim_name}"),
        "bash -c /bin/ls".into(),
        "bash /etc/profile".into(),
        "/bin/ls".into(),
        "echo x | dd of=/dev/sdb".into(),
        "curl -fsS http://192.0.2.1/".into(),
    ] {
        let output = world.ssh(&key, &hostile);
        assert!(!output.status.success(), "`{hostile}` succeeded");
        assert_eq!(
            std::fs::read_to_string(&victim).unwrap(),
            "untouched",
            "`{hostile}`"
        );
    }
    assert_eq!(
        world.state()["violations"],
        json!([
            format!("cp01: `dd` of `{victim_name}`, which is not `/dev/sda`"),
            format!("cp01: `blkdiscard` of `{victim_name}`, which is not `/dev/sda`"),
            "cp01: `dd` of `/dev/sdb`, which is not `/dev/sda`",
        ])
    );
}

#[test]
fn the_cloud_has_pages_locks_limits_and_servers_that_are_not_ours() {
    let world = World::start(&["--fault", "many-servers=60"]);
    let (mut page, mut names) = (json!(1), Vec::new());
    while let Some(number) = page.as_u64() {
        let (_, answer) = world.get(&format!("/servers?per_page=50&page={number}"));
        names.extend(
            answer["servers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|server| server["name"].clone()),
        );
        page = answer["meta"]["pagination"]["next_page"].clone();
    }
    assert_eq!(
        (names.len(), &names[113..]),
        (
            116,
            [json!("cp01"), json!("worker01"), json!("worker02")].as_slice()
        )
    );
    assert_eq!(
        world.get("/servers?name=worker01").1["servers"][0]["id"],
        42_000_002
    );
    assert_eq!(world.get("/servers/1").0, 404);
    assert_eq!(world.get("/actions").0, 410);

    assert_eq!(
        world
            .post("/servers/42000001/actions/poweroff", &json!({}))
            .0,
        201
    );
    let (status, locked) = world.post("/servers/42000001/actions/poweron", &json!({}));
    assert_eq!((status, &locked["error"]["code"]), (423, &json!("locked")));
    assert_eq!(
        world
            .post("/servers/31000000/actions/poweroff", &json!({}))
            .0,
        403
    );
    assert_eq!(
        world.state()["violations"],
        json!(["`poweroff` of server 31000000 (`shop-01`), which is not ours"])
    );

    let anonymous = world
        .agent
        .get(format!("{}/servers", world.text("endpoint")))
        .call()
        .unwrap();
    assert_eq!(anonymous.status().as_u16(), 401);
    let fault = |name: &str| {
        world
            .agent
            .post(format!("{}/faults/{name}", world.text("control")))
            .send_empty()
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!((fault("readonly-token"), fault("nonsense")), (204, 400));
    let (status, refused) = world.post("/ssh_keys", &json!({"name": "x", "public_key": "y"}));
    assert_eq!(
        (status, &refused["error"]["code"]),
        (403, &json!("token_readonly"))
    );
    assert_eq!(fault("rate-limit=1"), 204);
    let limited = world
        .agent
        .get(format!("{}/servers", world.text("endpoint")))
        .call()
        .unwrap();
    let header = |name: &str| {
        limited
            .headers()
            .get(name)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (
            limited.status().as_u16(),
            header("ratelimit-limit"),
            header("ratelimit-remaining")
        ),
        (429, "3600".into(), "0".into())
    );
}
