//! `ztc plugins info` of what is not installed: what the signed index of its source says of it, so that everybody can read what an adapter may
//! touch before it is here. Downloads no adapter, starts nothing, trusts nobody anew.

use semver::Version;
use serde::Serialize;

use crate::commands::Context;
use crate::commands::plugins::info::Page;
use crate::commands::plugins::sources::{Sources, Wanted};
use crate::error::{Failure, counted};
use crate::foreign::printable;
use crate::lock;
use crate::plugins::agreed::{self, Powers};
use crate::plugins::index::{Choice, Release};
use crate::plugins::inputs::Inputs;
use crate::plugins::install::{Mode, Terms, both};
use crate::plugins::powers::Kind;
use crate::plugins::store::Store;
use crate::plugins::tree::{LOCK, Signed, Tree};
use crate::shell::word;

/// A release, as `--json` shows it.
#[derive(Serialize)]
struct Available {
    name: String,
    version: Version,
    description: String,
    source: String,
    /// As the publisher calls itself.
    publisher: String,
    publisher_key: String,
    key: KeyWord,
    /// The versions that there are, the newest first.
    versions: Vec<Version>,
    /// Those that are installed here, from wherever.
    installed: Vec<Version>,
    release: Release,
    powers: Powers,
}

/// Why the key of an index is the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum KeyWord {
    Pinned,
    Locked,
    /// Nobody here knows it.
    New,
}

/// Shows a release.
pub(crate) fn run(context: &Context, what: &str, source: Option<&str>) -> Result<(), Failure> {
    let terms = Terms::plain(Mode::DryRun);
    let sources = Sources::read(context, &terms)?;
    let mut wanted = sources.wanted(&[what.to_owned()], source)?;
    let Some(Wanted {
        name,
        range,
        source,
    }) = wanted.pop()
    else {
        return Ok(());
    };
    let tree = sources.open(&name, source)?;
    let range = both(range.as_ref(), tree.source.range());
    let place = tree.source.name();
    let machine = lock::machine();
    let choice = tree.index.choose(&place, &name, range.as_ref(), &machine)?;
    let available = available(context, &sources, &tree, choice);
    if context.ui.is_json() {
        context.ui.json(&available);
        return Ok(());
    }
    if available.installed.is_empty() {
        context.ui.say(format!(
            "`{name}` is not installed; this is what {place} offers:"
        ));
    }
    context.ui.data(&text(&available));
    if available.release.yanked.is_some() {
        // Nobody is sent to what its publisher has taken back.
        return Ok(());
    }
    let is_asked = !what.contains('@') && sources.is_wanted(&name);
    let command = match is_asked {
        true => "ztc plugins install".to_owned(),
        false => format!(
            "ztc plugins install {name}@{} --source {}",
            available.version,
            word(&place)
        ),
    };
    context.ui.next(&command, "installs it");
    Ok(())
}

fn available(context: &Context, sources: &Sources<'_>, tree: &Tree, choice: Choice) -> Available {
    let installed = Store::new(&context.machine).installed();
    let pin = sources.pin(&choice.name);
    let earlier = agreed::earlier(&installed, pin, Some(&tree.index), &choice);
    let entry = tree.index.adapters.get(&choice.name);
    let versions = entry.map(|entry| entry.newest_first());
    let own = installed.iter().filter(|it| it.name == choice.name);
    Available {
        description: entry.map_or_else(String::new, |entry| entry.description.clone()),
        source: tree.source.name(),
        publisher: tree.index.publisher.name.clone(),
        publisher_key: tree.index.publisher.key.clone(),
        key: match (&tree.signer, tree.says.as_deref()) {
            (Signed::Known(_), Some(LOCK)) => KeyWord::Locked,
            (Signed::Known(_), _) => KeyWord::Pinned,
            (Signed::New(_) | Signed::Nobody, _) => KeyWord::New,
        },
        versions: versions.into_iter().flatten().map(|it| it.0).collect(),
        installed: own.map(|record| record.version.clone()).collect(),
        powers: Powers::of(&choice.release, earlier.as_ref()),
        name: choice.name,
        version: choice.version,
        release: choice.release,
    }
}

fn text(available: &Available) -> String {
    let Available {
        name,
        version,
        release,
        powers,
        ..
    } = available;
    let mut page = Page(vec![match available.description.as_str() {
        "" => format!("{name} {version}"),
        about => format!("{name} {version}: {}", printable(about)),
    }]);
    let listed = |versions: &[Version]| {
        let versions: Vec<String> = versions.iter().map(Version::to_string).collect();
        versions.join(", ")
    };
    page.section("source", [available.source.clone()]);
    let publisher = Some(&available.publisher).filter(|name| !name.is_empty());
    page.section(
        "publisher",
        publisher.map(|name| format!("{}, as it calls itself", printable(name))),
    );
    let why = match available.key {
        KeyWord::Pinned => "which this machine trusts",
        KeyWord::Locked => "which the lock names",
        KeyWord::New => "which is new here: compare it with what the publisher shows elsewhere",
    };
    page.section(
        "trust",
        [
            format!("signed by {},", available.publisher_key),
            why.into(),
        ],
    );
    let yanked = release.yanked.as_ref();
    page.section(
        "taken back",
        yanked.map(|why| format!("by its publisher: {}", printable(why))),
    );
    page.section("versions", [listed(&available.versions)]);
    let installed = Some(listed(&available.installed)).filter(|text| !text.is_empty());
    page.section("installed", installed);
    let platforms = release.platforms.iter();
    page.section(
        "platforms",
        platforms.map(|(platform, asset)| {
            format!("{platform}: {}", counted(asset.size, "byte", "bytes"))
        }),
    );
    page.section("protocol", [release.protocols.join(", ")]);
    page.always("provides", release.provides.clone());
    page.always("requires", release.requires.clone());
    page.section(
        "stages",
        [
            "run as you, outside of the sandbox; `ztc render` writes their scripts to read"
                .to_owned(),
        ],
    );
    if powers.known {
        touches(&mut page, powers);
        inputs(&mut page, release.inputs.as_ref());
    } else {
        page.section("touches", [powers.words()]);
    }
    page.0.join("\n")
}

fn touches(page: &mut Page, powers: &Powers) {
    let touches = &powers.touches;
    for (title, kind, all) in [
        ("environment", Kind::Environment, &touches.environment),
        ("secrets", Kind::Secret, &touches.secrets),
        ("network", Kind::Network, &touches.network),
        ("tools", Kind::Tool, &touches.tools),
    ] {
        let is_new = |what: &String| {
            let mut new = powers.new.iter();
            new.any(|power| power.kind == kind && power.what == *what)
        };
        let before = powers.compared_with.as_deref().unwrap_or_default();
        let line = |what: &String| match is_new(what) {
            true => format!("{} (new since {before})", printable(what)),
            false => printable(what),
        };
        page.always(title, all.iter().map(line).collect());
    }
}

fn inputs(page: &mut Page, inputs: Option<&Inputs>) {
    let lines = inputs.into_iter().flatten();
    page.section(
        "inputs",
        lines.map(|(place, text)| format!("{}: {}", printable(place), printable(text))),
    );
}
