//! A `jq` for stages on machines that have none: `ztc __jq` with jq's command line and exit codes, on the jaq crates.
//!
//! It stands at the end of a stage's PATH, so that a real jq comes first.

mod options;

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use jaq_core::data::{DataT, HasLut};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Exn, Lut, Vars, compile, load};
use jaq_json::{Val, read, write};
use jaq_std::input::{HasInputs, Inputs, RcIter};

use crate::atomic::{self, Existing};
use crate::error::Failure;
use crate::jq::options::Options;
use crate::paths::Repository;
use crate::shell::word;

/// The argument that makes ztc a jq.
pub(crate) const ARGUMENT: &str = "__jq";

/// Exit codes as jq has them.
const FALSY: u8 = 1;
const USAGE: u8 = 2;
const COMPILE: u8 = 3;
const NO_OUTPUT: u8 = 4;
const RUNTIME: u8 = 5;

/// Returns the variables with a `jq` at the end of PATH. Variables that are not UTF-8 are left out.
pub(crate) fn with_jq(repository: &Repository) -> Result<BTreeMap<String, String>, Failure> {
    let bin = repository.cache().join("bin");
    let ztc = std::env::current_exe()
        .map_err(|error| Failure::failed("failed to find ztc itself").detail(error))?;
    let text = format!(
        "#!/bin/sh\nexec {} {ARGUMENT} \"$@\"\n",
        word(&ztc.display().to_string())
    );
    let file = bin.join("jq");
    if std::fs::read_to_string(&file).ok().as_deref() != Some(&text) {
        atomic::private(&file, text.as_bytes(), Existing::Replace)?;
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&file, executable)
            .map_err(|error| Failure::io("write", &file, &error))?;
    }
    let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let mut variables: BTreeMap<String, String> = std::env::vars_os().filter_map(utf8).collect();
    let path = variables
        .entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    path.push(':');
    path.push_str(&bin.display().to_string());
    Ok(variables)
}

/// Runs as jq.
pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let code = run(arguments, io::stdin().lock(), &mut stdout);
    let code = code.and_then(|code| {
        stdout
            .flush()
            .map(|()| code)
            .map_err(|error| Problem::new(USAGE, error))
    });
    code.unwrap_or_else(|problem| {
        let _ = writeln!(io::stderr(), "jq: error: {}", problem.message);
        problem.code
    })
    .into()
}

/// What ends jq early.
pub(crate) struct Problem {
    code: u8,
    message: String,
}

impl Problem {
    fn new(code: u8, message: impl ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

/// What filters run on: JSON values, with the rest of the input at hand.
struct Kind;

#[derive(Clone, Copy)]
struct Data<'a> {
    lut: &'a Lut<Kind>,
    inputs: Inputs<'a, Val>,
}

impl DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = Data<'a>;
}

impl<'a> HasLut<'a, Kind> for Data<'a> {
    fn lut(&self) -> &'a Lut<Kind> {
        self.lut
    }
}

impl<'a> HasInputs<'a, Val> for Data<'a> {
    fn inputs(&self) -> Inputs<'a, Val> {
        self.inputs
    }
}

fn run(
    arguments: impl Iterator<Item = String>,
    stdin: impl Read,
    out: &mut impl Write,
) -> Result<u8, Problem> {
    let options = Options::parse(arguments)?;
    let filter = compile(&options)?;
    let inputs = inputs(&options, stdin)?;
    let inputs: Box<dyn Iterator<Item = Result<Val, String>> + '_> = inputs;
    let inputs = RcIter::new(inputs);
    let data = Data {
        lut: &filter.lut,
        inputs: &inputs,
    };
    let vars = Vars::new(options.variables.iter().map(|(_, value)| value.clone()));
    let (mut last, mut code) = (None, 0);
    let null = options.null_input.then(|| Ok(Val::Null));
    let all = null.into_iter().chain(std::iter::from_fn(|| {
        if options.null_input {
            None
        } else {
            (&inputs).next()
        }
    }));
    for input in all {
        let input = input.map_err(|error| Problem::new(USAGE, error))?;
        for output in filter.id.run((Ctx::<Kind>::new(data, vars.clone()), input)) {
            match output {
                Ok(value) => {
                    print(&options, &value, out).map_err(|error| Problem::new(USAGE, error))?;
                    last = Some(value);
                }
                Err(exception) => match failed(exception) {
                    Ok(exit) => return Ok(exit),
                    Err(message) => {
                        let _ = out.flush();
                        let _ = writeln!(io::stderr(), "jq: error: {message}");
                        code = RUNTIME;
                        break;
                    }
                },
            }
        }
    }
    Ok(match (code, options.exit_status, last) {
        (0, true, None) => NO_OUTPUT,
        (0, true, Some(Val::Null | Val::Bool(false))) => FALSY,
        (code, ..) => code,
    })
}

/// Returns the exit code where the program halted, else what went wrong.
fn failed(exception: Exn<'_, Val>) -> Result<u8, String> {
    match exception.get_halt() {
        Ok(code) => Ok(u8::try_from(code & 0xff).unwrap_or(RUNTIME)),
        Err(other) => Err(match other.get_err() {
            Ok(error) => match error.into_val() {
                Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
                value => format!("{value} (not a string)"),
            },
            Err(_) => "break outside of its label".to_owned(),
        }),
    }
}

fn compile(options: &Options) -> Result<jaq_core::Filter<Kind>, Problem> {
    let own = load::parse(include_str!("jq/defs.jq"), |parser| parser.defs()).unwrap_or_default();
    let definitions = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .chain(own);
    let input_functions = jaq_std::input::funs::<Kind>()
        .into_vec()
        .into_iter()
        .map(jaq_core::native::run::<Kind>);
    let functions = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs())
        .chain(input_functions);
    let arena = Arena::default();
    let program = File {
        code: options.program.as_str(),
        path: (),
    };
    let modules = Loader::new(definitions)
        .load(&arena, program)
        .map_err(|errors| {
            Problem::new(
                COMPILE,
                errors
                    .iter()
                    .map(|(_, error)| syntax(error))
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        })?;
    Compiler::default()
        .with_funs(functions)
        .with_global_vars(options.variables.iter().map(|(name, _)| name.as_str()))
        .compile(modules)
        .map_err(|errors| Problem::new(COMPILE, undefined(&errors)))
}

fn syntax(error: &load::Error<&str>) -> String {
    let at = |rest: &str| match rest.chars().take(20).collect::<String>() {
        rest if rest.is_empty() => "at the end".to_owned(),
        rest => format!("at `{rest}`"),
    };
    let all: Vec<String> = match error {
        load::Error::Io(errors) => errors
            .iter()
            .map(|(path, error)| format!("{path}: {error}"))
            .collect(),
        load::Error::Lex(errors) => errors
            .iter()
            .map(|(expected, rest)| format!("expected {} {}", expected.as_str(), at(rest)))
            .collect(),
        load::Error::Parse(errors) => errors
            .iter()
            .map(|(expected, rest)| format!("expected {} {}", expected.as_str(), at(rest)))
            .collect(),
    };
    format!("syntax error: {}", all.join(", "))
}

fn undefined<P>(errors: &compile::Errors<&str, P>) -> String {
    let names = errors
        .iter()
        .flat_map(|(_, errors)| errors)
        .map(|(name, kind)| format!("undefined {} `{name}`", kind.as_str()));
    names.collect::<Vec<_>>().join(", ")
}

type Values<'a> = Box<dyn Iterator<Item = Result<Val, String>> + 'a>;

/// The values in the files, or on standard input where there are none.
fn inputs<'a>(options: &Options, stdin: impl Read + 'a) -> Result<Values<'a>, Problem> {
    let source: Box<dyn Read + 'a> = if options.files.is_empty() {
        Box::new(stdin)
    } else {
        let mut all: Box<dyn Read> = Box::new(io::empty());
        for file in &options.files {
            all = Box::new(all.chain(open(file)?));
        }
        all
    };
    let mut reader = BufReader::new(source);
    let text = |reader: &mut BufReader<_>| {
        let mut text = String::new();
        reader
            .read_to_string(&mut text)
            .map(|_| Val::from(text))
            .map_err(|error| error.to_string())
    };
    Ok(match (options.raw_input, options.slurp) {
        (true, true) => Box::new(std::iter::once(text(&mut reader))),
        (true, false) => Box::new(
            io::BufRead::lines(reader)
                .map(|line| line.map(Val::from).map_err(|error| error.to_string())),
        ),
        (false, true) => Box::new(std::iter::once(
            values(reader).collect::<Result<Val, String>>(),
        )),
        (false, false) => Box::new(values(reader)),
    })
}

fn open(path: &str) -> Result<std::fs::File, Problem> {
    std::fs::File::open(Path::new(path))
        .map_err(|error| Problem::new(USAGE, format!("could not open {path}: {error}")))
}

/// All JSON values of a stream.
fn values<'a>(reader: impl io::BufRead + 'a) -> impl Iterator<Item = Result<Val, String>> + 'a {
    read::read_many(reader).map(|value| value.map_err(|error| error.to_string()))
}

fn print(options: &Options, value: &Val, out: &mut impl Write) -> io::Result<()> {
    match value {
        Val::TStr(text) if options.raw_output => out.write_all(text)?,
        value => {
            let printer = write::Pp {
                indent: options.indent.clone(),
                sort_keys: options.sort_keys,
                sep_space: options.indent.is_some(),
                ..write::Pp::default()
            };
            write::write(out, &printer, 0, value)?;
        }
    }
    if options.join_output {
        Ok(())
    } else {
        out.write_all(b"\n")
    }
}

#[cfg(test)]
#[path = "jq/tests.rs"]
mod tests;
