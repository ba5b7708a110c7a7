//! Ctrl-C while adapters are installed: it is said what was installed, the bar is gone, and nothing of a download stays.

use std::fs;

use crate::distribution_robust::{Answer, World, serve};
use crate::terminal::Terminal;

/// What lies in the store.
fn stored(world: &World) -> usize {
    let store = world.environment.root().join("home/.local/share/ztc/store");
    fs::read_dir(store).map_or(0, Iterator::count)
}

#[test]
fn a_download_that_is_interrupted_leaves_nothing() {
    let world = World::new(400_000);
    let server = serve(world.tree(), |path| match path.contains("ztc-adapter-") {
        true => Answer::Stop(200_000),
        false => Answer::Whole,
    });
    let source = server.address.as_str();
    let install = ["plugins", "install", "hello", "--source", source];
    let mut terminal = Terminal::ztc(&world.environment, &install);
    terminal.wait_for("KiB of");
    assert_eq!(stored(&world), 1);
    terminal.press("\x03");
    let (code, screen, _) = terminal.end();
    assert_eq!(code, Some(130));
    insta::assert_snapshot!(screen, @"
    error: interrupted; nothing was installed
      help: start again with the same command
    ");
    assert_eq!(stored(&world), 0);
}

#[test]
fn what_was_installed_before_an_interruption_is_said() {
    let world = World::new(400_000);
    let server = serve(world.tree(), |path| match path {
        path if path.contains("ztc-adapter-") => Answer::Stop(200_000),
        _ => Answer::Whole,
    });
    let platform = format!(
        "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  first: {{}}\n  hello: {{}}\nplugins:\n  first: {{source: ../other}}\n  hello: {{source: \"{}\"}}\n",
        server.address
    );
    world.environment.write("platform.yaml", platform);
    let other = world.environment.root().join("other");
    let file = format!("ztc-adapter-first-1.0.0-{}", crate::distribution::machine());
    let program = crate::distribution_team::renderer("first", "1.0.0", "");
    crate::distribution_team::executable(&other.join(file), &program);
    let publish = ["plugins", "publish", "../other", "--key", "../key"];
    world.environment.ztc_ok(&publish);
    let mut terminal = Terminal::ztc(&world.environment, &["plugins", "install"]);
    terminal.wait_for("KiB of");
    terminal.press("\x03");
    let (code, screen, _) = terminal.end();
    assert_eq!(code, Some(130));
    let last: Vec<&str> = screen.lines().rev().take(2).collect();
    insta::assert_snapshot!(last.join("\n"), @"
      help: start again with the same command
    error: interrupted; first 1.0.0 was installed, and nothing else
    ");
    assert_eq!(stored(&world), 1);
}
