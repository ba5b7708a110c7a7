//! A health stage that asks over `https`: whom it believes.

use super::*;

/// A server with a certificate of an authority that nobody knows. It ends with its value.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Makes the authority `ca.pem` in the repository, and serves under it.
    fn start(pipe: &Pipe) -> Self {
        const KEYS: &str = "
            new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \"$@\"; }
            new -keyout ca.key -out ca.pem -subj /CN=authority -addext basicConstraints=critical,CA:TRUE
            new -keyout leaf.key -out leaf.pem -subj /CN=leaf -CA ca.pem -CAkey ca.key \
                -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE
            new -keyout other.key -out other.pem -subj /CN=other -addext basicConstraints=critical,CA:TRUE";
        let made = Command::new("bash")
            .args(["-euc", KEYS])
            .current_dir(pipe.environment.repo())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut child = Command::new("openssl")
            .args([
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-www",
                "-cert",
                "leaf.pem",
                "-key",
                "leaf.key",
            ])
            .current_dir(pipe.environment.repo())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned))
            .unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            url: format!("https://{address}/"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_answer_over_https_is_believed_under_the_authority_that_is_named() {
    let mut pipe = Pipe::new(&[], &[]);
    let server = Server::start(&pipe);
    let gate = |authority: Option<&str>| {
        let health = json!({
            "http": { "url": server.url, "ca_file": authority },
            "interval_seconds": 0.05,
            "max_interval_seconds": 0.05,
        });
        json!({ "name": "api", "cache_key": null, "timeout_seconds": 2, "health": health })
    };
    pipe.render(&[gate(Some("ca.pem"))], &[]);
    pipe.environment.ztc_ok(&["bootstrap"]);
    for (authority, why) in [
        (None, "certificate"),
        (Some("other.pem"), "certificate"),
        (Some("leaf.key"), "holds no certificate (PEM)"),
        (Some("gone.pem"), "No such file"),
    ] {
        pipe.render(&[gate(authority)], &[]);
        let run = pipe.fails(&["bootstrap"], 1);
        assert!(run.stderr.contains(why), "{authority:?}\n{run}");
    }
    // Without a name, the authorities that the operator trusts count, as for every other program.
    pipe.render(&[gate(None)], &[]);
    let authority = pipe.environment.repo().join("ca.pem").display().to_string();
    pipe.environment.set("SSL_CERT_FILE", authority);
    pipe.environment.ztc_ok(&["bootstrap"]);
    pipe.environment.set("SSL_CERT_FILE", "gone.pem".to_owned());
    let run = pipe.fails(&["bootstrap"], 1);
    let why = "`SSL_CERT_FILE` names no certificates of authorities that can be read";
    assert!(run.stderr.contains(why), "{run}");
}
