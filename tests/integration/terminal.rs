//! A terminal for tests: `ztc` on a pseudo-terminal of its own, typed into when what it waits for is on the screen.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::environment::TestEnv;

/// How long anything may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    /// What is behind the text that was waited for last.
    screen: String,
    /// Everything that was written.
    seen: Vec<u8>,
}

impl Terminal {
    /// Starts `ztc` with the terminal as its controlling one.
    pub(crate) fn ztc(environment: &TestEnv, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = || {
            File::options()
                .read(true)
                .write(true)
                .open(name.to_str().unwrap())
                .unwrap()
        };
        let size = rustix::termios::Winsize {
            ws_row: 50,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&master, size).unwrap();
        let ztc = environment.command(arguments);
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(ztc.get_program())
            .args(ztc.get_args());
        command
            .env_clear()
            .current_dir(environment.repo())
            .env("TERM", "xterm-256color");
        command.envs(
            ztc.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.stdin(slave()).stdout(slave()).stderr(slave());
        let child = command.spawn().unwrap();
        let output = reader(rustix::io::dup(&master).unwrap());
        Self {
            child,
            keyboard: File::from(master),
            output,
            screen: String::new(),
            seen: Vec::new(),
        }
    }

    /// Waits until a text is on the screen behind what was waited for before, then types.
    #[track_caller]
    pub(crate) fn answer(&mut self, question: &str, keys: &str) {
        self.wait_for(question);
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a text is on the screen behind what was waited for before.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let plain = without_escapes(&self.screen);
            if let Some(start) = plain.find(text) {
                self.screen = plain[start + text.len()..].to_owned();
                return;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(rest) {
                Ok(bytes) => {
                    self.screen.push_str(&String::from_utf8_lossy(&bytes));
                    self.seen.extend(bytes);
                }
                Err(_) => panic!("`{text}` did not appear; the screen shows\n{plain}"),
            }
        }
    }

    /// Presses Ctrl-C until a text appears: a key that comes before the program reads keys is a signal, which it notices with the next key.
    #[track_caller]
    pub(crate) fn interrupt(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !without_escapes(&self.screen).contains(text) {
            assert!(Instant::now() < deadline, "`{text}` did not appear");
            let _ = self.keyboard.write_all(b"\x03");
            while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(300)) {
                self.screen.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// The terminal's modes.
    pub(crate) fn modes(&self) -> String {
        modes(&self.keyboard)
    }

    /// Waits for the end of the program and returns its exit code, what the screen shows then, and the terminal's modes.
    pub(crate) fn end(mut self) -> (Option<i32>, String, String) {
        let code = self.child.wait().unwrap().code();
        let modes = modes(&self.keyboard);
        // The reader ends with the last of those that hold the other side, and so does what it sends.
        while let Ok(bytes) = self.output.recv_timeout(PATIENCE) {
            self.seen.extend(bytes);
        }
        (code, shown(&String::from_utf8_lossy(&self.seen)), modes)
    }

    /// Waits for the end of the program and returns its exit code.
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        status.code()
    }
}

/// Reads the terminal until it is closed, so that the program is never held up.
fn reader(master: OwnedFd) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut master = File::from(master);
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = master.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn modes(terminal: &File) -> String {
    let modes = rustix::termios::tcgetattr(terminal).unwrap();
    format!(
        "{:?} {:?} {:?}",
        modes.input_modes, modes.output_modes, modes.local_modes
    )
}

/// What a terminal shows to which this was written, from the first line on: as much of a terminal as ztc makes use of.
fn shown(written: &str) -> String {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                let mut number = String::new();
                let end = rest.by_ref().skip(1).find(|c| {
                    number.push(*c);
                    c.is_ascii_alphabetic()
                });
                let up = number.trim_end_matches('A').parse().unwrap_or(0);
                match end {
                    Some('K') if number == "2K" => lines[row].clear(),
                    Some('A') => row -= row.min(up),
                    Some('J') => {
                        lines.truncate(row + 1);
                        lines[row].truncate(column);
                    }
                    _ => {}
                }
            }
            c => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.iter().collect::<String>().trim_end().to_owned())
        .collect();
    lines.join("\n").trim_end().to_owned()
}

/// Returns a text without the sequences that move the cursor and colour letters. One that is not complete yet stays.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('\u{1b}') {
        plain.push_str(&rest[..start]);
        let sequence = &rest[start..];
        let body = sequence.strip_prefix("\u{1b}[").unwrap_or("");
        match body.find(|c: char| c.is_ascii_alphabetic()) {
            Some(end) => rest = &body[end + 1..],
            None => {
                plain.push_str(sequence);
                return plain;
            }
        }
    }
    plain + rest
}
