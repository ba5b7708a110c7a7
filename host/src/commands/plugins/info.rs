//! `ztc plugins info`: who an adapter is, what it provides and requires, and everything that it may touch.

use serde_json::json;
use ztc_protocol::Manifest;

use crate::adapter::grant::Granted;
use crate::adapter::sandbox::Support;
use crate::adapter::{Candidate, Discovery, Source, Supervisor, attach};
use crate::commands::plugins::available;
use crate::commands::plugins::list::{Trust, origin};
use crate::commands::plugins::{Introduction, discovery, introduce};
use crate::commands::{Context, wait_for};
use crate::digest;
use crate::error::{Exit, Failure};
use crate::lock::Lock;
use crate::plugins::projects;
use crate::plugins::tree::Unsigned;
use crate::shell::word;
use crate::versions::{Pins, Tables, Used};

/// Options of `ztc plugins info`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The adapter; with a range of versions what its source offers, also where it is not installed
    #[arg(value_name = "NAME[@RANGE]")]
    what: String,
    /// What this source offers: a directory, `file://`, `https://` or `oci://`
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Show what a source offers that nobody has signed
    #[arg(long)]
    allow_unsigned: bool,
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let (what, source) = (arguments.what.as_str(), arguments.source.as_deref());
    if what.contains('/') {
        return Err(Failure::invalid(format!(
            "`{what}` is a place, and not the name of an adapter"
        ))
        .help(format!(
            "name the adapter that it has: `ztc plugins info NAME --source {}`",
            word(what)
        )));
    }
    if what.contains('@') || source.is_some() {
        let unsigned = Unsigned::of(arguments.allow_unsigned);
        return available::run(context, what, source, unsigned).map(|()| Exit::Done);
    }
    let discovery = discovery(context);
    attach::check_used(discovery.attached(), &[what.to_owned()])?;
    match discovery.find(what) {
        Ok(candidate) => installed(context, discovery, candidate),
        Err(failure) => {
            let unsigned = Unsigned::of(arguments.allow_unsigned);
            missing(context, &discovery, (what, unsigned), failure)
        }
    }
}

/// Shows what a source offers under a name that means nothing here.
fn missing(
    context: &Context,
    discovery: &Discovery,
    (name, unsigned): (&str, Unsigned),
    failure: Failure,
) -> Result<Exit, Failure> {
    // What is installed and cannot be used is no question of what is offered.
    let is_recorded = discovery.records().iter().any(|record| record.name == name);
    if failure.exit != Exit::Missing || is_recorded {
        return Err(failure);
    }
    let Err(offered) = available::run(context, name, None, unsigned) else {
        // Whoever only asks whether it is here has the answer, too.
        return Ok(Exit::Missing);
    };
    let is_asked = discovery.names().contains(name);
    match (is_asked, offered.exit) {
        // Where it comes from is known, so why it cannot be seen there is what matters.
        (true, Exit::Refused | Exit::Failed) => Err(offered),
        (true, _) => Err(failure),
        (false, Exit::Refused | Exit::Failed) => Err(failure.detail(format!(
            "a trusted source was not searched: {}",
            offered.message
        ))),
        (false, _) => Err(failure),
    }
}

fn installed(
    context: &Context,
    discovery: Discovery,
    candidate: Candidate,
) -> Result<Exit, Failure> {
    let name = &candidate.name.clone();
    let granted = Grants::of(&discovery, &candidate);
    let (installed_from, publisher_key) = origin(&discovery, &candidate);
    let trust = Trust::of(&candidate, publisher_key.as_ref());
    // What cannot be read of the repository was said when this was made.
    let again = discovery.clone();
    let mut introductions = introduce(context, discovery, std::slice::from_ref(&candidate))?;
    let missing = || {
        Failure::failed(format!("adapter `{name}` did not introduce itself"))
            .help("`ztc plugins list` says why")
    };
    let mut introduction = introductions.remove(name).ok_or_else(missing)??;
    let used = in_use(context, again, &mut introduction)?;
    let sha256 = match (candidate.source, &candidate.sha256) {
        (Source::BuiltIn | Source::Attached, _) => None,
        (_, Some(verified)) => Some(verified.clone()),
        (_, None) => Some(
            digest::file(&candidate.program)
                .map_err(|error| Failure::io("read", &candidate.program, &error))?,
        ),
    };
    let version = &introduction.manifest.version;
    let projects = projects::all(&context.machine);
    let locked_by = projects
        .iter()
        .filter(|project| {
            candidate.source == Source::Installed && project.locks(name, version, sha256.as_deref())
        })
        .map(|project| project.path.display().to_string())
        .collect();
    let standing = Standing {
        sha256,
        installed_from,
        trust,
        publisher_key,
        locked_by,
        versions: used,
    };
    if context.ui.is_json() {
        context.ui.json(&json!({
            "source": candidate.source,
            "program": candidate.program,
            "sha256": standing.sha256,
            "installed_from": standing.installed_from,
            "trust": standing.trust,
            "publisher_key": standing.publisher_key,
            "locked_by": standing.locked_by,
            "protocol": introduction.protocol,
            "manifest": introduction.manifest,
            "versions_table": standing.versions,
            "granted_environment": granted.names(&introduction.manifest),
            "sandbox": Support::of_this_kernel(),
        }));
    } else {
        context.ui.data(&text(
            &candidate,
            &introduction,
            &granted,
            &standing,
            Support::of_this_kernel(),
        ));
    }
    Ok(Exit::Done)
}

/// Says which table of versions the adapter works with here, and takes up what it says of itself then.
fn in_use(
    context: &Context,
    discovery: Discovery,
    introduction: &mut Introduction,
) -> Result<Option<Used>, Failure> {
    let lock = Lock::load(&context.repository).ok().flatten();
    let tables = Tables::of(&context.machine, lock.as_ref(), &Pins::Hold)?;
    let from = discovery.source_of(&introduction.manifest.name);
    let chosen = tables.choose(&introduction.manifest, from.as_deref())?;
    if chosen.as_ref().is_some_and(|chosen| chosen.table.is_some()) {
        let name = introduction.manifest.name.clone();
        let supervisor =
            Supervisor::new(discovery.granting_nothing(), context.ui.clone()).with_tables(tables);
        introduction.manifest = wait_for(async {
            let started = supervisor.start(&name).await;
            supervisor.shutdown().await;
            started.map(|adapter| adapter.manifest.clone())
        })?;
    }
    Ok(chosen.map(|chosen| chosen.used))
}

/// Where an adapter comes from and who needs it.
struct Standing {
    sha256: Option<String>,
    installed_from: Option<String>,
    trust: Trust,
    publisher_key: Option<String>,
    locked_by: Vec<String>,
    /// The table of versions that it works with here.
    versions: Option<Used>,
}

fn text(
    candidate: &Candidate,
    introduction: &Introduction,
    granted: &Grants,
    standing: &Standing,
    support: Support,
) -> String {
    let manifest = &introduction.manifest;
    let Manifest {
        name,
        version,
        description,
        ..
    } = manifest;
    let program = match candidate.source {
        Source::BuiltIn => "built into ztc".to_owned(),
        source => format!("{} ({})", candidate.program.display(), source.word()),
    };
    let mut page = Page(vec![format!("{name} {version}: {description}")]);
    page.section("program", [program]);
    page.section("sha256", standing.sha256.clone());
    page.section("source", standing.installed_from.clone());
    let trust = match &standing.publisher_key {
        Some(key) => Some(format!("signed by {key}")),
        None if standing.trust == Trust::BuiltIn => None,
        None => Some("nobody has signed it".to_owned()),
    };
    page.section("trust", trust);
    page.section("locked by", standing.locked_by.clone());
    page.section("protocol", [introduction.protocol.to_string()]);
    page.section("homepage", manifest.homepage.clone());
    page.section("license", manifest.license.clone());
    page.section("versions", versions(manifest));
    page.section("table", standing.versions.as_ref().map(Used::short));
    page.section(
        "artifacts",
        [format!("platform/generated/{}", output_directory(manifest))],
    );
    relations(&mut page, manifest);
    touches(&mut page, manifest, granted);
    page.section("sandbox", [support.text().to_owned()]);
    page.0.join("\n")
}

/// Lines with a title in front of the first.
pub(super) struct Page(pub(super) Vec<String>);

impl Page {
    pub(super) fn section(&mut self, title: &str, lines: impl IntoIterator<Item = String>) {
        for (number, line) in lines.into_iter().enumerate() {
            let title = if number == 0 { title } else { "" };
            self.0.push(format!("  {title:<12} {line}"));
        }
    }

    /// A section that says `nothing` where it is empty: that an adapter touches nothing is worth knowing.
    pub(super) fn always(&mut self, title: &str, lines: Vec<String>) {
        let lines = if lines.is_empty() {
            vec!["nothing".to_owned()]
        } else {
            lines
        };
        self.section(title, lines);
    }
}

fn versions(manifest: &Manifest) -> Option<String> {
    let word = |version: &String| {
        let default = *version == manifest.default_version;
        if default {
            format!("{version} (default)")
        } else {
            version.clone()
        }
    };
    let versions: Vec<String> = manifest.supported_versions.iter().map(word).collect();
    (!versions.is_empty()).then(|| versions.join(", "))
}

fn output_directory(manifest: &Manifest) -> String {
    match manifest.output_dir.as_str() {
        "" => format!("{}/{}", manifest.phase, manifest.name),
        directory => directory.to_owned(),
    }
}

fn relations(page: &mut Page, manifest: &Manifest) {
    let provides = manifest.provides.iter();
    page.always(
        "provides",
        provides
            .map(|item| format!("{} {}", item.capability, item.version))
            .collect(),
    );
    let requires = manifest.requires.iter().map(|item| {
        let optional = if item.optional { " (optional)" } else { "" };
        format!("{} {}{optional}", item.capability, item.version)
    });
    page.always("requires", requires.collect());
}

/// Which of the variables that it declares an adapter may see here.
enum Grants {
    /// All: it is part of ztc.
    BuiltIn,
    /// It runs already, and sees what it was started with.
    Attached,
    /// These, by platform.yaml.
    These(Vec<String>),
}

impl Grants {
    fn of(discovery: &Discovery, candidate: &Candidate) -> Self {
        match (candidate.source, discovery.granted(candidate)) {
            (Source::Attached, _) => Self::Attached,
            (_, Granted::Everything) => Self::BuiltIn,
            (_, Granted::These(names)) => Self::These(names.to_vec()),
        }
    }

    fn word(&self, name: &str) -> &'static str {
        match self {
            Self::BuiltIn | Self::Attached => "",
            Self::These(names) if names.iter().any(|granted| granted == name) => {
                " (granted by platform.yaml)"
            }
            Self::These(_) => " (not granted)",
        }
    }

    fn names<'a>(&self, manifest: &'a Manifest) -> Option<Vec<&'a str>> {
        let declared = manifest.environment.iter().map(|item| item.name.as_str());
        match self {
            Self::BuiltIn => Some(declared.collect()),
            Self::Attached => None,
            Self::These(names) => Some(
                declared
                    .filter(|name| names.iter().any(|granted| granted == name))
                    .collect(),
            ),
        }
    }
}

fn touches(page: &mut Page, manifest: &Manifest, granted: &Grants) {
    let environment = manifest.environment.iter();
    page.always(
        "environment",
        environment
            .map(|item| format!("{}{}: {}", item.name, granted.word(&item.name), item.why))
            .collect(),
    );
    let secrets = manifest.secrets.iter().map(|item| {
        let also = if item.discover {
            "; also handed to the adapter itself"
        } else {
            ""
        };
        format!("{} ({}): {}{also}", item.input, item.variable, item.why)
    });
    let bundles = manifest.bundles.iter();
    let bundles = bundles.map(|item| {
        format!(
            "secrets/<environment>/{}.yaml: {}",
            item.name, item.description
        )
    });
    page.always("secrets", secrets.chain(bundles).collect());
    let network = manifest.network.iter();
    page.always(
        "network",
        network
            .map(|item| format!("{}:{}: {}", item.host, item.port, item.why))
            .collect(),
    );
    let tools = manifest
        .tools
        .iter()
        .map(|tool| match tool.minimum_version.as_str() {
            "" => tool.name.clone(),
            version => format!("{} {version} or later", tool.name),
        });
    page.always("tools", tools.collect());
}

#[cfg(test)]
mod tests {
    use ztc_protocol::PROTOCOL;
    use ztc_protocol::manifest::*;

    use super::*;

    #[test]
    fn everything_that_it_may_touch_is_shown() {
        let manifest = Manifest {
            name: "bgp".into(),
            version: "1.2.0".into(),
            description: "announces addresses".into(),
            license: Some("MIT".into()),
            phase: "networking".into(),
            provides: vec![Provision {
                capability: "example.com/bgp".into(),
                version: "1.0".into(),
                schema: None,
            }],
            supported_versions: vec!["v2".into(), "v1".into()],
            default_version: "v2".into(),
            secrets: vec![SecretInput {
                input: "password".into(),
                variable: "BGP_PASSWORD".into(),
                why: "peers ask for it".into(),
                discover: true,
            }],
            environment: ["BGP_ZONE", "BGP_URL"]
                .map(|name| EnvironmentVariable {
                    name: name.into(),
                    why: "where peers are".into(),
                })
                .into(),
            network: vec![NetworkEndpoint {
                host: "router".into(),
                port: 179,
                why: "asks for peers".into(),
            }],
            tools: vec![
                Tool {
                    name: "curl".into(),
                    ..Tool::default()
                },
                Tool {
                    name: "jq".into(),
                    minimum_version: "1.6".into(),
                    ..Tool::default()
                },
            ],
            ..Manifest::default()
        };
        let candidate = Candidate {
            name: "bgp".into(),
            source: Source::Path,
            program: "/opt/ztc-adapter-bgp".into(),
            arguments: Vec::new(),
            sha256: None,
        };
        assert_eq!(
            text(
                &candidate,
                &Introduction {
                    manifest,
                    protocol: PROTOCOL
                },
                &Grants::These(vec!["BGP_ZONE".into()]),
                &Standing {
                    sha256: Some("abcd".into()),
                    installed_from: None,
                    trust: Trust::Unsigned,
                    publisher_key: None,
                    locked_by: vec!["/a".into(), "/b".into()],
                    versions: None,
                },
                Support::Full
            ),
            "bgp 1.2.0: announces addresses
  program      /opt/ztc-adapter-bgp (PATH)
  sha256       abcd
  trust        nobody has signed it
  locked by    /a
               /b
  protocol     1.0
  license      MIT
  versions     v2 (default), v1
  artifacts    platform/generated/networking/bgp
  provides     example.com/bgp 1.0
  requires     nothing
  environment  BGP_ZONE (granted by platform.yaml): where peers are
               BGP_URL (not granted): where peers are
  secrets      password (BGP_PASSWORD): peers ask for it; also handed to the adapter itself
  network      router:179: asks for peers
  tools        curl
               jq 1.6 or later
  sandbox      Landlock: adapters write to their scratch directory and connect to declared ports only; stages run as you"
        );
    }
}
