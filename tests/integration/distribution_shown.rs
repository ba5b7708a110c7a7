//! What people see of adapters of others: that nobody has signed one, that one stands behind another, how far a download is, and what a shell completes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::distribution::Publisher;
use crate::distribution_robust;
use crate::distribution_team::{executable, renderer};
use crate::environment::TestEnv;
use crate::terminal::Terminal;

#[test]
fn what_nobody_has_signed_is_listed_as_such() {
    let publisher = Publisher::new();
    fs::remove_file(publisher.tree().join("index.json.minisig")).unwrap();
    let run = publisher.install(&["--allow-unsigned"]);
    assert_eq!(run.code, Some(0), "{run}");
    let list = publisher.run(&["plugins", "list"]).stdout;
    let hello = list.lines().find(|line| line.starts_with("hello"));
    let expected = "hello  1.0.0  file://[ROOT]/tree  unsigned  1.0  ok  -";
    assert_eq!(hello, Some(expected), "{list}");
    let list = publisher
        .environment
        .ztc_ok(&["plugins", "list", "--json"])
        .json();
    let adapters = list["plugins"].as_array().unwrap();
    let hello = adapters.iter().find(|adapter| adapter["name"] == "hello");
    assert_eq!(hello.unwrap()["trust"], "unsigned", "{list:#}");
    let info = publisher
        .environment
        .ztc_ok(&["plugins", "info", "hello", "--json"])
        .json();
    assert_eq!(info["trust"], "unsigned");
}

/// A repository that uses `hello`, and directories for PATH beside it.
struct Paths {
    environment: TestEnv,
}

impl Paths {
    fn new(directories: &[&str]) -> Self {
        let mut environment = TestEnv::new();
        let platform = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {}\n";
        environment.write("platform.yaml", platform);
        for directory in directories.iter().rev() {
            let path = environment.root().join(directory);
            fs::create_dir_all(&path).unwrap();
            environment.prepend_path(&path.display().to_string());
        }
        Self { environment }
    }

    fn put(&self, path: &str, version: &str) {
        let path = self.environment.root().join(path);
        executable(&path, &renderer("hello", version, ""));
    }

    /// What several commands say about adapters that are not used: each must say the same, once.
    #[track_caller]
    fn warning(&self) -> String {
        let mut all: Vec<String> = ["render", "validate", "plan"]
            .map(|command| {
                let run = self.environment.ztc_ok(&[command]);
                let lines = run.stderr.lines().filter(|line| line.contains("not used"));
                lines.collect::<Vec<_>>().join("\n")
            })
            .to_vec();
        all.dedup();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

#[test]
fn an_adapter_behind_another_is_one_warning_with_both_paths() {
    let paths = Paths::new(&["one", "two", "three"]);
    paths.put("one/ztc-adapter-hello", "0.1.0");
    paths.put("two/ztc-adapter-hello", "0.2.0");
    paths.put("three/ztc-adapter-hello", "0.3.0");
    insta::assert_snapshot!(paths.warning(), @"warning: adapter `hello` is `[ROOT]/one/ztc-adapter-hello` (PATH); `[ROOT]/two/ztc-adapter-hello` (PATH), `[ROOT]/three/ztc-adapter-hello` (PATH) are not used");
    paths.put(
        "home/.local/share/ztc/plugins/ztc-adapter-hello-0.4.0",
        "0.4.0",
    );
    // An older one in the plugin directory is what the directory is for.
    paths.put(
        "home/.local/share/ztc/plugins/ztc-adapter-hello-0.3.9",
        "0.3.9",
    );
    insta::assert_snapshot!(paths.warning(), @"warning: adapter `hello` is `[ROOT]/home/.local/share/ztc/plugins/ztc-adapter-hello-0.4.0` (plugin-directory); `[ROOT]/one/ztc-adapter-hello` (PATH), `[ROOT]/two/ztc-adapter-hello` (PATH), `[ROOT]/three/ztc-adapter-hello` (PATH) are not used");
}

#[test]
fn the_same_file_by_another_way_is_no_other() {
    // The same directory twice, with another spelling, and through a link.
    let paths = Paths::new(&["one", "one", "two/../one", "two"]);
    let at = |name: &str| paths.environment.root().join(name);
    paths.put("one/ztc-adapter-hello", "0.1.0");
    assert_eq!(paths.warning(), "");
    fs::remove_dir(at("two")).unwrap();
    symlink(at("one"), at("two")).unwrap();
    assert_eq!(paths.warning(), "");
    fs::remove_file(at("two")).unwrap();
    fs::create_dir(at("two")).unwrap();
    // A link to the file, a hard link, and a copy.
    let program = |directory: &str| at(directory).join("ztc-adapter-hello");
    let ways: [fn(&Path, &Path); 3] = [
        |from, to| symlink(from, to).unwrap(),
        |from, to| fs::hard_link(from, to).unwrap(),
        |from, to| assert!(fs::copy(from, to).unwrap() > 0),
    ];
    for way in ways {
        way(&program("one"), &program("two"));
        assert_eq!(paths.warning(), "");
        fs::remove_file(program("two")).unwrap();
    }
    // Nor is one that is not used named twice.
    let paths = Paths::new(&["two", "one", "one"]);
    paths.put("one/ztc-adapter-hello", "0.1.0");
    paths.put("two/ztc-adapter-hello", "0.2.0");
    insta::assert_snapshot!(paths.warning(), @"warning: adapter `hello` is `[ROOT]/two/ztc-adapter-hello` (PATH); `[ROOT]/one/ztc-adapter-hello` (PATH) is not used");
}

#[test]
fn a_download_shows_how_far_it_is() {
    let world = distribution_robust::World::new(200_000);
    let server =
        distribution_robust::serve(world.tree(), |path| match path.contains("ztc-adapter-") {
            true => distribution_robust::Answer::Stop(150_000),
            false => distribution_robust::Answer::Whole,
        });
    let install = ["plugins", "install", "hello", "--source", &server.address];
    let mut terminal = Terminal::ztc(&world.environment, &install);
    // The rest never comes: what is on the screen is what has come.
    terminal.wait_for("[=");
    terminal.wait_for("146.48 KiB of ");
    // Without a terminal there is none, and with --quiet neither.
    let plain = world.run(&mut world.install("../tree"));
    assert!(!plain.stderr.contains("KiB"), "{plain}");
}

#[test]
fn every_shell_completes_every_command_of_plugins() {
    let environment = TestEnv::new();
    let help = environment.ztc_ok(&["plugins", "--help"]).stdout;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for wanted in ["list", "publish-check", "mirror", "trust", "upgrade"] {
        assert!(commands.contains(&wanted), "{help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = environment.ztc_ok(&["completions", shell]).stdout;
        for command in &commands {
            // As each of them writes a command of a command.
            let line = match shell {
                "bash" => format!("ztc__subcmd__plugins,{command})"),
                "zsh" => format!("'{command}:"),
                _ => format!("-a \"{command}\" "),
            };
            assert!(script.contains(&line), "{shell}: no {command}");
        }
        for option in ["allow-unsigned", "moved", "accept"] {
            assert!(script.contains(option), "{shell}: no --{option}");
        }
    }
}
