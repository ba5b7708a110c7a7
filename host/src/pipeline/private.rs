//! The private directory of one attempt, `ztc-secure-*`: script, context and filled-in files, written just before and removed right after.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::atomic::private_directory;
use crate::error::Failure;
use crate::pipeline::{context, files};
use crate::secrets::secure_dir::SecureDir;
use crate::shell::quoted;

/// The directory; removed when dropped.
pub struct Private {
    directory: SecureDir,
    script: PathBuf,
}

impl Private {
    /// Writes everything that an attempt reads. `script` is the file's name and its bytes.
    pub fn create(
        script: (&str, &[u8]),
        context: &Map<String, Value>,
        contents: &[(String, Vec<u8>)],
    ) -> Result<Self, Failure> {
        let secure = SecureDir::new()?;
        let scripts = secure.path().join("script");
        let private = Self {
            script: scripts.join(script.0),
            directory: secure,
        };
        private_directory(&scripts)?;
        let shell = context::shell(context)
            .map_err(|why| Failure::invalid(format!("the context does not fit bash: {why}")))?;
        private.write(&private.script, script.1)?;
        private.write(
            &private.context_file(),
            Value::Object(context.clone()).to_string().as_bytes(),
        )?;
        private.write(&private.context_shell(), shell.as_bytes())?;
        private.write(
            &private.guard(),
            guard(private.directory.path(), &private.files()).as_bytes(),
        )?;
        let files = private.files();
        private_directory(&files)?;
        private_directory(&private.temporary())?;
        for (name, content) in contents {
            private.write(&files.join(name), content)?;
        }
        Ok(private)
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), Failure> {
        files::write_private(path, content).map_err(|error| Failure::io("write", path, &error))
    }

    /// The script.
    pub fn script(&self) -> &Path {
        &self.script
    }

    /// `ZTC_CONTEXT_FILE`.
    pub fn context_file(&self) -> PathBuf {
        self.directory.path().join("context.json")
    }

    /// `ZTC_CONTEXT_SH`.
    pub fn context_shell(&self) -> PathBuf {
        self.directory.path().join("context.sh")
    }

    /// `ZTC_FILES_DIR`.
    pub fn files(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// `TMPDIR`: what the script leaves there goes with everything else.
    pub fn temporary(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    /// What bash reads before the script: it ends a stage when ztc is killed.
    pub fn guard(&self) -> PathBuf {
        self.directory.path().join("guard.sh")
    }
}

/// Writes what ends a stage when ztc itself is killed: a shell in the stage's process group that waits for the end of a pipe which only
/// ztc holds. It starts, in a group of its own, what ends the stage: TERM, so that the script can take back what it has made elsewhere (a
/// key at a cloud), five seconds at most until the script has ended, KILL; on Linux also for what has left the
/// group, told by the `ZTC_FILES_DIR` that no other attempt has; then it removes the private directory. It tries more than once, because
/// the stage may start another process or write a file meanwhile. The guard stays in the group until then and keeps its number. The
/// script's own standard input is empty.
fn guard(directory: &Path, files: &Path) -> String {
    let word = |path: &Path| quoted(&path.display().to_string()).unwrap_or_default();
    let (directory, files) = (word(directory), word(files));
    format!(
        "unset BASH_ENV
exec 9<&0 </dev/null
( (
  trap '' HUP INT TERM
  read -r -u 9
  if [ -d {directory} ]; then
    set -m
    (
      unset ZTC_FILES_DIR
      kill -TERM -- -$$
      for pause in 0.01 0.04 0.2 0.25 0.5 1 1 1 1; do
        kill -0 $$ || break
        sleep $pause
      done
      kill -KILL -- -$$
      for pause in 0.01 0.05 0.1 1 5; do
        for found in $(grep -slzxF -- ZTC_FILES_DIR={files} /proc/[0-9]*/environ); do
          found=${{found#/proc/}}
          [ \"${{found%/*}}\" = \"$BASHPID\" ] || kill -KILL \"${{found%/*}}\"
        done
        [ $pause = 0.01 ] || ! rm -rf -- {directory} || break
        sleep $pause
      done
    ) &
    sleep 60
  fi
  kill -KILL 0
) >/dev/null 2>&1 & )
exec 9<&-
"
    )
}
