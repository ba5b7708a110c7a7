//! Expressions that choose disks and volumes, in the Common Expression Language: whether they can be read, and whether their types fit.
//!
//! Nothing is computed: a disk is known only to the machine.

mod calls;
mod functions;
#[cfg(test)]
mod tests;
mod token;
mod types;

use functions::{Numbers, operator};
use token::{Kind, Token, tokens};
use types::{Known, Outcome, Type, UNITS, field, most_general, named};

use super::suggest;

/// What an expression is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum About {
    Disk,
    Volume,
}

/// Deepest nesting of an expression.
const MAX_DEPTH: usize = 100;

/// Words that the language keeps for itself.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
];

/// Says what is wrong with an expression that has to be true or false.
pub(crate) fn check(text: &str, about: About) -> Result<(), String> {
    let mut reader = Reader {
        tokens: tokens(text)?,
        at: 0,
        about,
        variables: Vec::new(),
        depth: 0,
        known: Known::default(),
        next: 0,
        last: Last::Other,
        numbers: Numbers::Apart,
    };
    let kind = reader.expression()?;
    if reader.peek() != &Kind::End {
        return Err(reader.unexpected());
    }
    match reader.known.resolved(&kind) {
        Type::Bool => Ok(()),
        kind => Err(format!(
            "its result is of type {} and must be bool",
            kind.name()
        )),
    }
}

/// What was read last: `has` wants a field and nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Last {
    Field,
    Other,
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    about: About,
    /// The variables of macros such as `exists`.
    variables: Vec<(String, Type)>,
    depth: usize,
    known: Known,
    /// The number of the next open type.
    next: usize,
    last: Last,
    numbers: Numbers,
}

impl Reader {
    fn peek(&self) -> &Kind {
        &self.tokens[self.at.min(self.tokens.len() - 1)].kind
    }

    fn unexpected(&self) -> String {
        let token = &self.tokens[self.at.min(self.tokens.len() - 1)];
        let what = match &token.kind {
            Kind::End => return "it ends too early".into(),
            Kind::Sign("=") => {
                return format!("`=` at character {} does not compare; write `==`", token.at);
            }
            Kind::Name(name) => format!("`{name}`"),
            Kind::Sign(sign) => format!("`{sign}`"),
            Kind::Integer | Kind::Lowest | Kind::Unsigned | Kind::Float => "a number".into(),
            Kind::Text | Kind::Bytes => "a text".into(),
        };
        format!("{what} at character {} does not belong there", token.at)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Kind::Sign(found) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn take_one_of(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        signs.iter().copied().find(|sign| self.take(sign))
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn open(&mut self) -> Type {
        self.next += 1;
        Type::Open(self.next - 1)
    }

    fn operator(&mut self, sign: &str, sides: &[Type]) -> Outcome {
        self.last = Last::Other;
        operator(sign, sides, self.numbers, &mut self.known, &mut self.next)
    }

    fn only_bool(&mut self, kind: &Type, what: &str) -> Result<(), String> {
        if self.known.unify(&[(kind, &Type::Bool)]) {
            Ok(())
        } else {
            let kind = self.known.resolved(kind).with_article();
            Err(format!("`{what}` does not take {kind}"))
        }
    }

    fn expression(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".into());
        }
        let condition = self.either()?;
        let kind = if self.take("?") {
            let yes = self.either()?;
            self.need(":")?;
            let no = self.expression()?;
            self.only_bool(&condition, "?:")?;
            self.operator("?:", &[condition, yes, no])?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(kind)
    }

    fn either(&mut self) -> Outcome {
        self.logical("||", Self::both)
    }

    fn both(&mut self) -> Outcome {
        self.logical("&&", Self::relation)
    }

    fn logical(&mut self, sign: &str, side: fn(&mut Self) -> Outcome) -> Outcome {
        let mut left = side(self)?;
        while self.take(sign) {
            let right = side(self)?;
            self.only_bool(&left, sign)?;
            self.only_bool(&right, sign)?;
            self.last = Last::Other;
            left = Type::Bool;
        }
        Ok(left)
    }

    fn relation(&mut self) -> Outcome {
        let mut left = self.sum()?;
        loop {
            let sign = if *self.peek() == Kind::Name("in".into()) {
                self.at += 1;
                "in"
            } else if let Some(sign) = self.take_one_of(&["<=", ">=", "<", ">", "==", "!="]) {
                sign
            } else {
                return Ok(left);
            };
            let right = self.sum()?;
            left = self.operator(sign, &[left, right])?;
        }
    }

    fn sum(&mut self) -> Outcome {
        self.binary(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Outcome {
        self.binary(&["*", "/", "%"], Self::unary)
    }

    fn binary(&mut self, signs: &[&'static str], side: fn(&mut Self) -> Outcome) -> Outcome {
        let mut left = side(self)?;
        while let Some(sign) = self.take_one_of(signs) {
            let right = side(self)?;
            left = self.operator(sign, &[left, right])?;
        }
        Ok(left)
    }

    /// Signs before a value are of one kind, and two of them take each other away without a look at the value.
    fn unary(&mut self) -> Outcome {
        let Some(sign) = self.take_one_of(&["!", "-"]) else {
            return self.member();
        };
        let mut count = 1;
        while self.take(sign) {
            count += 1;
        }
        // The minus right before a number belongs to the number, and so may stand behind a `!`.
        if sign == "!" && self.take("-") && !self.is_number() {
            self.at -= 1;
            return Err(self.unexpected());
        }
        let number = sign == "-" && self.is_number();
        let kind = match self.peek() {
            Kind::Lowest => {
                self.at += 1;
                Type::Int
            }
            _ => self.member()?,
        };
        if (count - usize::from(number)) % 2 == 0 {
            return Ok(kind);
        }
        self.operator(sign, &[kind])
    }

    fn is_number(&self) -> bool {
        matches!(self.peek(), Kind::Integer | Kind::Lowest | Kind::Float)
    }

    fn member(&mut self) -> Outcome {
        let mut kind = self.primary()?;
        loop {
            if self.take("[") {
                let index = self.expression()?;
                self.need("]")?;
                kind = self.operator("[]", &[kind, index])?;
            } else if self.take(".") {
                let Kind::Name(name) = self.peek().clone() else {
                    return Err(self.unexpected());
                };
                if ["in", "true", "false", "null"].contains(&name.as_str()) {
                    return Err(self.unexpected());
                }
                self.at += 1;
                kind = if self.take("(") {
                    self.last = Last::Other;
                    self.method(&kind, &name)?
                } else {
                    self.last = Last::Field;
                    field(&self.known.resolved(&kind), &name)?
                };
            } else {
                return Ok(kind);
            }
        }
    }

    fn primary(&mut self) -> Outcome {
        let token = self.peek().clone();
        let simple = match &token {
            Kind::Integer => Some(Type::Int),
            Kind::Unsigned => Some(Type::Uint),
            Kind::Float => Some(Type::Double),
            Kind::Text => Some(Type::Text),
            Kind::Bytes => Some(Type::Bytes),
            Kind::Lowest => return Err("`9223372036854775808` is not a number of 64 bits".into()),
            Kind::Name(_) | Kind::Sign(_) | Kind::End => None,
        };
        self.last = Last::Other;
        if let Some(kind) = simple {
            self.at += 1;
            return Ok(kind);
        }
        if self.take("(") {
            let kind = self.expression()?;
            self.need(")")?;
            return Ok(kind);
        }
        if self.take("[") {
            return self.list();
        }
        if self.take("{") {
            return self.mapping();
        }
        self.take(".");
        let Kind::Name(name) = self.peek().clone() else {
            return Err(self.unexpected());
        };
        if name == "in" {
            return Err(self.unexpected());
        }
        self.at += 1;
        if RESERVED.contains(&name.as_str()) {
            return Err(format!("`{name}` is a word that cannot be used as a name"));
        }
        if self.take("(") {
            self.function(&name)
        } else {
            self.variable(&name)
        }
    }

    fn list(&mut self) -> Outcome {
        let mut item = None;
        if !self.take("]") {
            loop {
                if item.is_none() && self.take(",") {
                    self.need("]")?;
                    break;
                }
                let kind = self.expression()?;
                item = Some(self.joined(item, kind));
                if self.take("]") {
                    break;
                }
                self.need(",")?;
                if self.take("]") {
                    break;
                }
            }
        }
        self.last = Last::Other;
        let item = item.unwrap_or_else(|| self.open());
        Ok(Type::list(item))
    }

    fn mapping(&mut self) -> Outcome {
        let mut types = None;
        if !self.take("}") {
            loop {
                if types.is_none() && self.take(",") {
                    self.need("}")?;
                    break;
                }
                let key = self.expression()?;
                self.need(":")?;
                let value = self.expression()?;
                let (keys, values) = types.unzip();
                types = Some((self.joined(keys, key), self.joined(values, value)));
                if self.take("}") {
                    break;
                }
                self.need(",")?;
                if self.take("}") {
                    break;
                }
            }
        }
        self.last = Last::Other;
        let (key, value) = types.unwrap_or_else(|| (self.open(), self.open()));
        Ok(Type::map(key, value))
    }

    /// The type of the items of a list that has one more: of several types it is `dyn`.
    fn joined(&mut self, before: Option<Type>, next: Type) -> Type {
        match before {
            None => next,
            Some(before) if self.known.unify(&[(&before, &next)]) => most_general(before, next),
            Some(_) => Type::Any,
        }
    }

    fn variable(&mut self, name: &str) -> Outcome {
        if let Some((_, kind)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Ok(kind.clone());
        }
        if let Some(kind) = named(name) {
            return Ok(Type::kind(kind));
        }
        match (name, self.about) {
            ("true" | "false", _) => Ok(Type::Bool),
            ("null", _) => Ok(Type::Null),
            ("disk", _) => Ok(Type::Disk),
            ("system_disk", About::Disk) => Ok(Type::Bool),
            ("volume", About::Volume) => Ok(Type::Volume),
            ("google" | "talos", _) => self.qualified(name),
            (unit, _) if UNITS.contains(&unit) => Ok(Type::Uint),
            _ => {
                let mut known = vec!["disk", "true", "false"];
                known.push(if self.about == About::Disk {
                    "system_disk"
                } else {
                    "volume"
                });
                known.extend(UNITS);
                Err(format!(
                    "there is no `{name}`{}",
                    suggest::did_you_mean(name, known)
                ))
            }
        }
    }
}
