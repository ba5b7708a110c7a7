//! The command line of jq, as far as scripts use it.

use jaq_json::{Val, read};

use crate::jq::{COMPILE, Problem, USAGE, open, values};

/// What the command line says.
#[derive(Default)]
pub(super) struct Options {
    pub(super) program: String,
    pub(super) files: Vec<String>,
    /// Global variables with their `$`.
    pub(super) variables: Vec<(String, Val)>,
    pub(super) null_input: bool,
    pub(super) raw_input: bool,
    pub(super) slurp: bool,
    pub(super) raw_output: bool,
    pub(super) join_output: bool,
    pub(super) sort_keys: bool,
    pub(super) exit_status: bool,
    /// What one level is indented by; nothing: compact.
    pub(super) indent: Option<String>,
}

impl Options {
    /// Reads the command line.
    pub(super) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Problem> {
        let mut options = Self {
            indent: Some("  ".to_owned()),
            ..Self::default()
        };
        let (mut program, mut only_words) = (None, false);
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix("--") {
                _ if only_words => options.word(&mut program, argument),
                Some("") => only_words = true,
                Some(long) => options.long(long, &mut arguments, &mut program)?,
                None => match argument.strip_prefix('-') {
                    Some(letters) if !letters.is_empty() => {
                        for letter in letters.chars() {
                            options.short(letter, &mut arguments, &mut program)?;
                        }
                    }
                    _ => options.word(&mut program, argument),
                },
            }
        }
        options.program = program.ok_or_else(|| {
            Problem::new(USAGE, "a program is missing: jq [options] FILTER [FILE...]")
        })?;
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let environment = environment
            .map(|(name, value)| (Val::from(name), Val::from(value)))
            .collect();
        let named = options
            .variables
            .iter()
            .map(|(name, value)| (Val::from(name[1..].to_owned()), value.clone()))
            .collect();
        let positional = (
            Val::from("positional".to_owned()),
            std::iter::empty::<Val>().collect(),
        );
        let arguments = [positional, (Val::from("named".to_owned()), Val::obj(named))]
            .into_iter()
            .collect();
        options
            .variables
            .push(("$ENV".to_owned(), Val::obj(environment)));
        options
            .variables
            .push(("$ARGS".to_owned(), Val::obj(arguments)));
        Ok(options)
    }

    /// The first word is the program, the others are files.
    fn word(&mut self, program: &mut Option<String>, word: String) {
        match program {
            None => *program = Some(word),
            Some(_) => self.files.push(word),
        }
    }

    fn short(
        &mut self,
        letter: char,
        arguments: &mut impl Iterator<Item = String>,
        program: &mut Option<String>,
    ) -> Result<(), Problem> {
        let long = match letter {
            'n' => "null-input",
            'R' => "raw-input",
            's' => "slurp",
            'r' => "raw-output",
            'j' => "join-output",
            'c' => "compact-output",
            'S' => "sort-keys",
            'e' => "exit-status",
            'M' => "monochrome-output",
            'f' => "from-file",
            other => return Err(Problem::new(USAGE, format!("unknown option `-{other}`"))),
        };
        self.long(long, arguments, program)
    }

    fn long(
        &mut self,
        option: &str,
        arguments: &mut impl Iterator<Item = String>,
        program: &mut Option<String>,
    ) -> Result<(), Problem> {
        match option {
            "null-input" => self.null_input = true,
            "raw-input" => self.raw_input = true,
            "slurp" => self.slurp = true,
            "raw-output" => self.raw_output = true,
            "join-output" => (self.raw_output, self.join_output) = (true, true),
            "compact-output" => self.indent = None,
            "tab" => self.indent = Some("\t".to_owned()),
            "sort-keys" => self.sort_keys = true,
            "exit-status" => self.exit_status = true,
            "monochrome-output" | "unbuffered" => {}
            "indent" => self.indent(&next(option, arguments)?)?,
            "from-file" => {
                // What would have been the program is a file then.
                let text = std::io::read_to_string(open(&next(option, arguments)?)?)
                    .map_err(|error| Problem::new(COMPILE, error))?;
                self.files.extend(program.replace(text));
            }
            "arg" | "argjson" | "slurpfile" | "rawfile" => self.variable(option, arguments)?,
            other => return Err(Problem::new(USAGE, format!("unknown option `--{other}`"))),
        }
        Ok(())
    }

    fn indent(&mut self, width: &str) -> Result<(), Problem> {
        let width: usize = width
            .parse()
            .map_err(|_| Problem::new(USAGE, "`--indent` takes a number"))?;
        self.indent = (width > 0).then(|| " ".repeat(width.min(7)));
        Ok(())
    }

    fn variable(
        &mut self,
        option: &str,
        arguments: &mut impl Iterator<Item = String>,
    ) -> Result<(), Problem> {
        let (name, text) = (next(option, arguments)?, next(option, arguments)?);
        let value = match option {
            "arg" => Val::from(text),
            "argjson" => read::parse_single(text.as_bytes()).map_err(|error| {
                Problem::new(
                    USAGE,
                    format!("invalid JSON text passed to --argjson: {error}"),
                )
            })?,
            "rawfile" => std::io::read_to_string(open(&text)?)
                .map(Val::from)
                .map_err(|error| Problem::new(USAGE, error))?,
            _ => values(std::io::BufReader::new(open(&text)?))
                .collect::<Result<Val, String>>()
                .map_err(|error| {
                    Problem::new(
                        USAGE,
                        format!("bad JSON in --{option} {name} {text}: {error}"),
                    )
                })?,
        };
        self.variables.push((format!("${name}"), value));
        Ok(())
    }
}

fn next(option: &str, arguments: &mut impl Iterator<Item = String>) -> Result<String, Problem> {
    arguments
        .next()
        .ok_or_else(|| Problem::new(USAGE, format!("`--{option}` needs more arguments")))
}
