//! The SSH server of a simulated machine. It listens only while the machine offers a login, and no session outlives a boot.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Session,
    VerifiedPublicKey,
};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::faults::Fault;
use crate::files::Tools;
use crate::node::Login;
use crate::shell;
use crate::world::{self, Inner};

/// Exit code of a shell that could not be started.
const NOT_STARTED: u32 = 127;

/// Where a machine is reached and what its shells have.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) tools: Tools,
}

/// Serves a machine's logins for ever.
pub(crate) async fn serve(
    world: Arc<Inner>,
    mut logins: watch::Receiver<Option<Login>>,
    place: Place,
) {
    loop {
        let login = logins.borrow_and_update().clone();
        match login {
            None => {
                if logins.changed().await.is_err() {
                    return;
                }
            }
            // Dropping the future closes the port and cuts every connection.
            Some(login) => tokio::select! {
                changed = logins.changed() => if changed.is_err() { return },
                () = accept(&world, login, &place) => {}
            },
        }
    }
}

async fn accept(world: &Arc<Inner>, login: Login, place: &Place) {
    let Some(config) = config() else {
        return std::future::pending().await;
    };
    let listener = loop {
        match TcpListener::bind((place.ip.as_str(), place.port)).await {
            Ok(listener) => break listener,
            // A client's connection may hold the port for a moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut sessions = JoinSet::new();
    // As with the real server, what a client has started goes on without it: it ends with the boot.
    let shells = Arc::new(Mutex::new(JoinSet::new()));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if world.lock().faults.take(Fault::SshRefused) {
            continue;
        }
        let machine = Machine {
            login: login.clone(),
            tools: place.tools.clone(),
            shells: Arc::clone(&shells),
            input: None,
        };
        sessions.spawn(session(config.clone(), stream, machine));
        while sessions.try_join_next().is_some() {}
    }
}

fn config() -> Option<Arc<Config>> {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&world::seed().ok()?));
    Some(Arc::new(Config {
        keys: vec![key],
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(50),
        auth_rejection_time_initial: Some(Duration::ZERO),
        nodelay: true,
        ..Config::default()
    }))
}

/// Carries one connection. The library's session runs in a task of its own; the pipe between them breaks when this future is dropped.
async fn session(config: Arc<Config>, mut stream: TcpStream, machine: Machine) {
    let (near, mut far) = tokio::io::duplex(256 * 1024);
    let run = async {
        if let Ok(session) = russh::server::run_stream(config, near, machine).await {
            // How a client left does not matter.
            let _ = session.await;
        }
    };
    tokio::join!(run, async {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
        drop(far);
    });
}

/// One connection's view of the machine.
struct Machine {
    login: Login,
    tools: Tools,
    shells: Arc<Mutex<JoinSet<()>>>,
    input: Option<tokio::process::ChildStdin>,
}

impl Machine {
    fn knows(&self, key: &PublicKey) -> bool {
        let known = self
            .login
            .keys
            .iter()
            .filter_map(|text| PublicKey::from_openssh(text).ok());
        known
            .into_iter()
            .any(|known| known.key_data() == key.key_data())
    }

    fn judge(&self, user: &str, key: &PublicKey) -> Auth {
        if user == "root" && self.knows(key) {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }
}

impl Handler for Machine {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.judge(user, key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let command = String::from_utf8_lossy(data).into_owned();
        let tools = if self.login.host_name == "rescue" {
            &self.tools.rescue
        } else {
            &self.tools.old
        };
        let handle = session.handle();
        let shell = shell::restricted(&command, tools, &self.tools.home);
        let started = shell.and_then(|mut shell| {
            shell
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            shell.spawn().ok()
        });
        let Some(mut child) = started else {
            finish(&handle, channel, NOT_STARTED).await;
            return Ok(());
        };
        self.input = child.stdin.take();
        let mut shells = self.shells.lock().unwrap_or_else(PoisonError::into_inner);
        while shells.try_join_next().is_some() {}
        shells.spawn(run(child, handle, channel));
        Ok(())
    }

    async fn data(
        &mut self,
        _: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(input) = &mut self.input
            && tokio::io::AsyncWriteExt::write_all(input, data)
                .await
                .is_err()
        {
            self.input = None;
        }
        Ok(())
    }

    async fn channel_eof(&mut self, _: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.input = None;
        Ok(())
    }
}

/// Kills a shell and what it started, unless it has ended.
struct Group(Option<rustix::process::Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // The group may have ended by itself.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn run(mut child: tokio::process::Child, handle: Handle, channel: ChannelId) {
    let raw = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(raw.and_then(rustix::process::Pid::from_raw));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    tokio::join!(
        forward(stdout, &handle, channel, None),
        forward(stderr, &handle, channel, Some(1))
    );
    let code = child
        .wait()
        .await
        .ok()
        .and_then(|status| status.code())
        .and_then(|code| u32::try_from(code).ok());
    group.0 = None;
    finish(&handle, channel, code.unwrap_or(NOT_STARTED)).await;
}

/// Sends what a shell prints; `extended`: the number of the stream, for standard error.
async fn forward(
    stream: Option<impl AsyncRead + Unpin>,
    handle: &Handle,
    channel: ChannelId,
    extended: Option<u32>,
) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let data = buffer[..length].to_vec();
        let sent = match extended {
            None => handle.data(channel, data).await.is_ok(),
            Some(number) => handle.extended_data(channel, number, data).await.is_ok(),
        };
        if !sent {
            return;
        }
    }
}

async fn finish(handle: &Handle, channel: ChannelId, code: u32) {
    // The client may be gone.
    let _ = handle.exit_status_request(channel, code).await;
    let _ = handle.eof(channel).await;
    let _ = handle.close(channel).await;
}
