//! Programs that cannot be started, or that are no adapters.

use super::{Fake, without_times};
use crate::environment::programs;

/// An ELF file of another machine's.
fn elf(machine: u8) -> Vec<u8> {
    let mut file = vec![0; 4096];
    file[..20].copy_from_slice(&[
        0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, machine, 0,
    ]);
    file
}

#[test]
fn not_there() {
    insta::assert_snapshot!(Fake::without_program().fatal(4), @"
    error: there is no file `[REPO]/../bin/fake`, which `plugins.fake.path` names
      --> platform.yaml:5:3
      help: correct the path in platform.yaml; it is relative to that file
    ");
}

#[test]
fn not_executable() {
    insta::assert_snapshot!(Fake::with_program("#!/bin/sh\n", 0o644).fatal(4), @"
    error: adapter `fake` cannot be started: the file is not executable
      path: `[REPO]/../bin/fake`
      help: run `chmod +x [REPO]/../bin/fake`
    ");
}

#[test]
fn a_directory() {
    let fake = Fake::without_program();
    std::fs::create_dir(fake.program()).unwrap();
    insta::assert_snapshot!(fake.fatal(4), @"
    error: adapter `fake` cannot be started: it is a directory
      path: `[REPO]/../bin/fake`
      help: name the file in it
    ");
}

#[test]
fn of_another_architecture() {
    let said = Fake::with_program(elf(0xf3), 0o755).fatal(4);
    insta::assert_snapshot!(said.replace(std::env::consts::ARCH, "[ARCH]"), @"
    error: adapter `fake` cannot be started: it is built for riscv64, this machine is [ARCH]
      path: `[REPO]/../bin/fake`
      help: get the build for [ARCH]
    ");
}

#[test]
fn of_this_architecture_in_a_directory_without_ztc() {
    let fake = Fake::without_program();
    // Not by this process: a test that starts a program at that moment would keep the file open for writing.
    let copied = std::process::Command::new("cp")
        .args([&programs().join("fake-adapter"), &fake.program()])
        .status();
    assert!(copied.unwrap().success());
    assert_eq!(fake.harmless(), "");
}

#[test]
fn without_its_interpreter() {
    let script = "#!/opt/none/python9 -s\nprint()\n";
    insta::assert_snapshot!(Fake::with_program(script, 0o755).fatal(4), @"
    error: adapter `fake` cannot be started: its first line asks for the interpreter `/opt/none/python9 -s`, which is not there
      path: `[REPO]/../bin/fake`
      help: install the interpreter, or correct the first line
    ");
}

#[test]
fn with_windows_line_ends() {
    insta::assert_snapshot!(Fake::with_program("#!/bin/sh\r\ncat\r\n", 0o755).fatal(4), @r"
    error: adapter `fake` cannot be started: its first line asks for the interpreter `/bin/sh`, which is not there
      path: `[REPO]/../bin/fake`
      help: the file has Windows line ends; remove them with `sed -i 's/\r$//'`
    ");
}

#[test]
fn a_script_without_a_first_line() {
    insta::assert_snapshot!(Fake::with_program("print('hello')\n", 0o755).fatal(4), @"
    error: adapter `fake` cannot be started: it is neither a program of this system nor a script
      path: `[REPO]/../bin/fake`
      help: a script needs a first line such as `#!/usr/bin/env python3`
    ");
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(Fake::with_program("", 0o755).fatal(4), @"
    error: adapter `fake` cannot be started: it is neither a program of this system nor a script
      path: `[REPO]/../bin/fake`
      help: a script needs a first line such as `#!/usr/bin/env python3`
    ");
}

#[test]
fn garbage_instead_of_answers() {
    let fake = Fake::new("garbage").limits("2");
    insta::assert_snapshot!(fake.fatal(1), @"
    warning: adapter `fake` wrote a line that is not a JSON object; ignored: `Segmentation fault (just kidding)`
      help: only messages belong on an adapter's stdout, everything else on stderr
    error: adapter `fake` has not answered `initialize` within 2 s
      when cancelled, it said nothing
      adapter: fake, path, `[REPO]/../bin/fake`
      after: [TIME] in `initialize`, [TIME] since its start
      what it did beside answering:
        wrote a line that is not a JSON object: Segmentation fault (just kidding)
      help: it may be no adapter at all: see what `[REPO]/../bin/fake --ztc-describe` prints; if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
    ");
}

#[test]
fn garbage_and_the_end() {
    let script = "#!/bin/sh\necho 'usage: fake FILE'\necho 'no FILE' >&2\nexit 2\n";
    insta::assert_snapshot!(Fake::with_program(script, 0o755).fatal(1), @"
    warning: adapter `fake` wrote a line that is not a JSON object; ignored: `usage: fake FILE`
      help: only messages belong on an adapter's stdout, everything else on stderr
    error: adapter `fake` exited with code 2 during `initialize`
      adapter: fake, path, `[REPO]/../bin/fake`
      after: [TIME] in `initialize`, [TIME] since its start
      what it did beside answering:
        wrote a line that is not a JSON object: usage: fake FILE
      last lines of its stderr:
        no FILE
      help: it may be no adapter at all: see what `[REPO]/../bin/fake --ztc-describe` prints
    ");
}

#[test]
fn the_end_at_once() {
    insta::assert_snapshot!(Fake::new("exit-0-at-start").fatal(1), @"
    error: adapter `fake` exited with code 0 during `initialize`
      adapter: fake, path, `[REPO]/../bin/fake`
      after: [TIME] in `initialize`, [TIME] since its start
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
    insta::assert_snapshot!(Fake::new("exit-3-at-start").fatal(1), @"
    error: adapter `fake` exited with code 3 during `initialize`
      adapter: fake, path, `[REPO]/../bin/fake`
      after: [TIME] in `initialize`, [TIME] since its start
      last lines of its stderr:
        no reason to stay
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
}

#[test]
fn every_command_says_the_same() {
    let fake = Fake::new("exit-3-at-start");
    let render = fake.fatal(1);
    for command in ["validate", "graph"] {
        let run = fake.ztc(&[command]);
        assert_eq!(
            (run.code, without_times(&run.stderr)),
            (Some(1), render.clone()),
            "{command}"
        );
    }
}

#[test]
fn a_script_that_needs_what_this_machine_does_not_have() {
    let program = "#!/bin/sh\nexec a-program-that-is-nowhere --flag\n";
    let said = Fake::with_program(program, 0o755).fatal(4);
    insta::assert_snapshot!(without_times(&said), @"
    error: adapter `fake` exited with code 127 during `initialize`
      adapter: fake, path, `[REPO]/../bin/fake`
      after: [TIME] in `initialize`, [TIME] since its start
      last lines of its stderr:
        [REPO]/../bin/fake: 2: exec: a-program-that-is-nowhere: not found
      help: a program that the adapter needs is not on PATH: install the one that its last lines name
    ");
}
