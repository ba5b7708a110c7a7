//! Stages of the kind `health`: something is asked until it answers well, often enough in a row, within the stage's time.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ztc_protocol::health::{Health, HttpProbe};

use crate::pipeline::attempt::{Ended, Stop};
use crate::pipeline::event::TaskFailure;
use crate::pipeline::gates;
use crate::pipeline::transcript::{Lines, Paper, Transcript};
use crate::plugins::certificates;
use crate::process;

/// Everything that one attempt needs.
pub struct Watch {
    /// Where it writes.
    pub paper: Paper,
    /// What is asked, and how often.
    pub health: Health,
    /// The environment of a command.
    pub environment: BTreeMap<String, String>,
    /// The root of the repository.
    pub directory: PathBuf,
    /// How long it may take.
    pub limit: Duration,
}

impl Watch {
    /// Asks until the answers are good, the time is over, or the run stops.
    pub async fn run(self, mut stop: watch::Receiver<Stop>, lines: Lines) -> Ended {
        if *stop.borrow() > Stop::No {
            return Ended::Stopped(None);
        }
        let Self {
            paper,
            health,
            environment,
            directory,
            limit,
        } = self;
        let mut transcript = Transcript::new(paper, lines);
        let asker = Asker {
            health: &health,
            environment: &environment,
            directory: &directory,
        };
        let healthy = tokio::select! {
            healthy = tokio::time::timeout(limit, asker.until_healthy(&mut transcript)) => healthy.is_ok(),
            _ = stop.changed() => return Ended::Stopped(None),
        };
        transcript.finish();
        match healthy {
            true => Ended::Well,
            false => Ended::Badly(transcript.failure(TaskFailure::unhealthy(limit), None)),
        }
    }
}

struct Asker<'a> {
    health: &'a Health,
    environment: &'a BTreeMap<String, String>,
    directory: &'a Path,
}

impl Asker<'_> {
    async fn until_healthy(&self, transcript: &mut Transcript) {
        let health = self.health;
        tokio::time::sleep(duration(health.initial_delay_seconds)).await;
        let (mut good, mut interval) = (0, health.interval_seconds);
        loop {
            match self.ask().await {
                Ok(()) => {
                    good += 1;
                    transcript.line(&format!("healthy ({good} of {})", health.successes));
                    if good >= health.successes {
                        return;
                    }
                    interval = health.interval_seconds;
                    tokio::time::sleep(duration(interval)).await;
                }
                Err(why) => {
                    good = 0;
                    let pause = interval.min(health.max_interval_seconds);
                    transcript.line(&format!("{why}; again in {} s", short(pause)));
                    tokio::time::sleep(duration(pause)).await;
                    interval = (interval * health.backoff_factor).min(health.max_interval_seconds);
                }
            }
        }
    }

    /// Asks once. The error is why it is not healthy, on one line.
    async fn ask(&self) -> Result<(), String> {
        let limit = duration(self.health.probe_timeout_seconds);
        if let Some(command) = &self.health.command {
            return self.command(command, limit).await;
        }
        let (answer, answered) = oneshot::channel();
        let (http, tcp) = (self.health.http.clone(), self.health.tcp.clone());
        let directory = self.directory.to_owned();
        // A thread of its own: one that hangs must not hold up the end of the program.
        std::thread::spawn(move || {
            let result = match (http, tcp) {
                (Some(probe), _) => http_probe(&probe, &directory, limit),
                (None, Some(address)) => tcp_probe(&address, limit),
                (None, None) => Err("nothing is asked".to_owned()),
            };
            let _ = answer.send(result);
        });
        match tokio::time::timeout(limit + Duration::from_millis(500), answered).await {
            Ok(Ok(result)) => result,
            _ => Err(no_answer(limit)),
        }
    }

    async fn command(&self, words: &[String], limit: Duration) -> Result<(), String> {
        let (name, arguments) = words
            .split_first()
            .ok_or_else(|| "no program is named".to_owned())?;
        let mut command = process::program(name);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment)
            .current_dir(self.directory);
        let finished = match process::run_group(command, limit).await {
            Ok(finished) => finished,
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                return Err(format!("`{name}`: {}", no_answer(limit)));
            }
            Err(error) => return Err(format!("`{name}`: {error}")),
        };
        if finished.success {
            return Ok(());
        }
        let said = finished
            .stderr
            .lines()
            .chain(finished.stdout.lines())
            .map(str::trim)
            .rfind(|line| !line.is_empty());
        Err(match said {
            Some(said) => format!("`{name}` ended with {}: {said}", finished.status),
            None => format!("`{name}` ended with {}", finished.status),
        })
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {} s", short(limit.as_secs_f64()))
}

fn tcp_probe(address: &str, limit: Duration) -> Result<(), String> {
    let (host, port) =
        gates::split(address).ok_or_else(|| format!("`{address}` is not `host:port`"))?;
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("{address}: {error}"))?;
    let mut last = format!("{address}: the name has no address");
    for one in addresses {
        match TcpStream::connect_timeout(&one, limit) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                last = format!("{address}: {}", no_answer(limit));
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

fn http_probe(probe: &HttpProbe, directory: &Path, limit: Duration) -> Result<(), String> {
    let url = &probe.url;
    let tls = match &probe.ca_file {
        Some(file) => TlsConfig::builder()
            .root_certs(authorities(&directory.join(file))?)
            .build(),
        None if !url.to_ascii_lowercase().starts_with("http:") => {
            certificates::config().map_err(|failure| failure.message)?
        }
        None => TlsConfig::default(),
    };
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(limit));
    let agent: Agent = config.build().into();
    let status = match agent.get(url).call() {
        Ok(response) => response.status().as_u16(),
        Err(ureq::Error::Timeout(_)) => return Err(format!("{url}: {}", no_answer(limit))),
        Err(error) => return Err(format!("{url}: {error}")),
    };
    let wanted = match probe.status.as_slice() {
        [] => (200..300).contains(&status),
        wanted => wanted.contains(&status),
    };
    match wanted {
        true => Ok(()),
        false => Err(format!("{url}: status {status}")),
    }
}

fn authorities(path: &Path) -> Result<RootCerts, String> {
    let text = std::fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(format!("`{}` holds no certificate (PEM)", path.display())),
        false => Ok(RootCerts::new_with_certs(&certificates)),
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Writes seconds without zeros that say nothing.
fn short(seconds: f64) -> String {
    let text = format!("{seconds:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
