//! The patterns that adapters give for answers: regular expressions that the whole answer must match. Pure.

use regex_lite::Regex;
use ztc_protocol::message::InputPrompt;

use crate::error::Failure;

/// Reads a pattern; what it makes matches a text as a whole. The error says why it cannot be read.
pub(crate) fn read(pattern: &str) -> Result<Regex, String> {
    // By itself first: `)(` is no pattern, and would be one inside of others.
    Regex::new(pattern)
        .and_then(|_| Regex::new(&format!("^(?:{pattern})$")))
        .map_err(|error| error.to_string())
}

/// Refuses questions that no answer would satisfy, those for items included.
pub(super) fn refuse(adapter: &str, section: &str, inputs: &[InputPrompt]) -> Result<(), Failure> {
    for input in inputs {
        let place = format!("{section}.{}", input.name);
        if let Some(pattern) = &input.validation
            && let Err(why) = read(pattern)
        {
            return Err(Failure::failed(format!(
                "adapter `{adapter}` asks for `{place}` with a pattern that cannot be read: `{pattern}`"
            ))
            .detail(why)
            .help("this is a bug of the adapter, tell its author; until then write the section into platform.yaml by hand"));
        }
        refuse(adapter, &place, &input.items)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_no_answer_satisfies_ends_the_wizard() {
        let input = |name: &str, pattern: &str, items| InputPrompt {
            name: name.into(),
            validation: Some(pattern.into()),
            items,
            ..InputPrompt::default()
        };
        let good = input("name", "[a-z]+", Vec::new());
        assert!(refuse("rack", "rack", &[good]).is_ok());
        let items = vec![input("ip", "(?=x)", Vec::new())];
        let failure = refuse("rack", "shelf", &[input("machines", "x", items)]).unwrap_err();
        assert_eq!(
            failure.message,
            "adapter `rack` asks for `shelf.machines.ip` with a pattern that cannot be read: `(?=x)`"
        );
        assert!(read(")(").is_err());
    }
}
