//! Whether bash can read the scripts. They are parsed, never run.

use std::time::Duration;

use ztc_protocol::stage::Script;

use crate::conformance::checks::fault;
use crate::conformance::report::Outcome;
use crate::error::counted;
use crate::process;
use crate::secrets::secure_dir::SecureDir;

/// How long bash may take for one script.
const LIMIT: Duration = Duration::from_secs(10);

/// The first line of every script.
const FIRST: &str = "#!/usr/bin/env bash";

/// Parses every script with `bash -n`.
pub(super) async fn syntax(scripts: &[Script]) -> Outcome {
    if scripts.is_empty() {
        return Outcome::skipped("there are no scripts");
    }
    let Ok(directory) = SecureDir::new() else {
        return Outcome::skipped("no private directory could be made");
    };
    let mut faults = Vec::new();
    for (number, script) in scripts.iter().enumerate() {
        let place = format!("`{}`", script.name);
        if script.content.lines().next() != Some(FIRST) {
            faults.push(fault(
                &place,
                format!("does not begin with the line `{FIRST}`"),
            ));
        }
        let path = directory.path().join(format!("{number}.sh"));
        if let Err(error) = std::fs::write(&path, &script.content) {
            return Outcome::skipped(format!(
                "a script could not be written to be parsed: {error}"
            ));
        }
        let mut command = process::program("bash");
        command.arg("-n").arg(&path);
        match process::run(command, LIMIT).await {
            Err(error) => return Outcome::skipped(format!("bash could not be started: {error}")),
            Ok(finished) if finished.success => {}
            Ok(finished) => {
                let said = finished.stderr.lines().next().unwrap_or_default();
                let said = said.replace(&format!("{}: ", path.display()), "");
                faults.push(fault(&place, format!("bash cannot read it: {said}")));
            }
        }
    }
    Outcome::of(
        faults,
        format!("bash reads {}", counted(scripts.len(), "script", "scripts")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_that_bash_cannot_read_is_named() {
        let script = |name: &str, content: &str| Script {
            name: name.into(),
            content: content.into(),
            ..Script::default()
        };
        let good = script("good.sh", "#!/usr/bin/env bash\ntrue\n");
        assert_eq!(
            syntax(std::slice::from_ref(&good)).await,
            Outcome::ok("bash reads 1 scripts")
        );
        let bad = script("bad.sh", "#!/usr/bin/env bash\nif true; then\n");
        let Outcome::Failed { faults } = syntax(&[good, bad]).await else {
            panic!("the script was taken");
        };
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].place, "`bad.sh`");
        assert!(
            faults[0]
                .why
                .starts_with("bash cannot read it: line 3: syntax error"),
            "{}",
            faults[0].why
        );
    }
}
