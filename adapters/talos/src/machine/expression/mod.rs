//! Expressions that choose disks and volumes, in the Common Expression Language: whether they can be read, and whether their types fit.
//!
//! Nothing is computed: a disk is known only to the machine.

mod token;
mod types;

use token::{Kind, Token, tokens};
use types::{Outcome, Type, UNITS, concrete, field, logical, mismatch, only, sized};

use super::suggest;

/// What an expression is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum About {
    Disk,
    Volume,
}

/// Deepest nesting of an expression.
const MAX_DEPTH: usize = 100;

/// Says what is wrong with an expression that has to be true or false.
pub(crate) fn check(text: &str, about: About) -> Result<(), String> {
    let mut reader = Reader {
        tokens: tokens(text)?,
        at: 0,
        about,
        variables: Vec::new(),
        depth: 0,
    };
    let kind = reader.expression()?;
    if reader.peek() != &Kind::End {
        return Err(reader.unexpected());
    }
    if kind == Type::Bool {
        Ok(())
    } else {
        Err(format!(
            "its result is of type {} and must be bool",
            kind.name()
        ))
    }
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    about: About,
    /// The variables of macros such as `exists`.
    variables: Vec<(String, Type)>,
    depth: usize,
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
            Kind::Integer | Kind::Unsigned | Kind::Float => "a number".into(),
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

    fn expression(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".into());
        }
        let condition = self.either()?;
        let kind = if self.take("?") {
            only(&condition, &[Type::Bool], "?:")?;
            let yes = self.either()?;
            self.need(":")?;
            let no = self.expression()?;
            if !yes.fits(&no) {
                return Err(mismatch("?:", &yes, &no));
            }
            yes
        } else {
            condition
        };
        self.depth -= 1;
        Ok(kind)
    }

    fn either(&mut self) -> Outcome {
        let mut left = self.both()?;
        while self.take("||") {
            let right = self.both()?;
            left = logical("||", &left, &right)?;
        }
        Ok(left)
    }

    fn both(&mut self) -> Outcome {
        let mut left = self.relation()?;
        while self.take("&&") {
            let right = self.relation()?;
            left = logical("&&", &left, &right)?;
        }
        Ok(left)
    }

    fn relation(&mut self) -> Outcome {
        let mut left = self.sum()?;
        loop {
            if *self.peek() == Kind::Name("in".into()) {
                self.at += 1;
                let right = self.sum()?;
                match &right {
                    Type::List(item) if item.fits(&left) => {}
                    Type::Any | Type::Map => {}
                    _ => return Err(mismatch("in", &left, &right)),
                }
                left = Type::Bool;
                continue;
            }
            let Some(sign) = self.take_one_of(&["<=", ">=", "<", ">", "==", "!="]) else {
                return Ok(left);
            };
            let right = self.sum()?;
            let ordered = [
                Type::Bool,
                Type::Int,
                Type::Uint,
                Type::Double,
                Type::Text,
                Type::Bytes,
            ];
            let equality = matches!(sign, "==" | "!=");
            if !left.fits(&right)
                || !(equality || left.is_one_of(&ordered) && right.is_one_of(&ordered))
            {
                return Err(mismatch(sign, &left, &right));
            }
            left = Type::Bool;
        }
    }

    fn sum(&mut self) -> Outcome {
        let mut left = self.product()?;
        while let Some(sign) = self.take_one_of(&["+", "-"]) {
            let right = self.product()?;
            let numbers = [Type::Int, Type::Uint, Type::Double];
            let texts = [Type::Text, Type::Bytes];
            let joins = sign == "+" && (left.is_one_of(&texts) || matches!(left, Type::List(_)));
            if !left.fits(&right) || !(left.is_one_of(&numbers) || joins) {
                return Err(mismatch(sign, &left, &right));
            }
            left = concrete(left, right);
        }
        Ok(left)
    }

    fn product(&mut self) -> Outcome {
        let mut left = self.unary()?;
        while let Some(sign) = self.take_one_of(&["*", "/", "%"]) {
            let right = self.unary()?;
            let numbers: &[Type] = if sign == "%" {
                &[Type::Int, Type::Uint]
            } else {
                &[Type::Int, Type::Uint, Type::Double]
            };
            if !left.fits(&right) || !left.is_one_of(numbers) || !right.is_one_of(numbers) {
                return Err(mismatch(sign, &left, &right));
            }
            left = concrete(left, right);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Outcome {
        let mut signs = Vec::new();
        while let Some(sign) = self.take_one_of(&["!", "-"]) {
            signs.push(sign);
        }
        let kind = self.member()?;
        for sign in signs {
            match sign {
                "!" => only(&kind, &[Type::Bool], "!")?,
                _ => only(&kind, &[Type::Int, Type::Double], "-")?,
            }
        }
        Ok(kind)
    }

    fn member(&mut self) -> Outcome {
        let mut kind = self.primary()?;
        loop {
            if self.take("[") {
                let index = self.expression()?;
                self.need("]")?;
                kind = match kind {
                    Type::List(item) => {
                        only(&index, &[Type::Int], "[]")?;
                        *item
                    }
                    Type::Map | Type::Any => Type::Any,
                    other => return Err(format!("a {} has no items", other.name())),
                };
            } else if self.take(".") {
                let Kind::Name(name) = self.peek().clone() else {
                    return Err(self.unexpected());
                };
                self.at += 1;
                kind = if self.take("(") {
                    self.method(&kind, &name)?
                } else {
                    field(&kind, &name)?
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
            _ => None,
        };
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
            let items = self.items("]")?;
            let first = items.first().cloned().unwrap_or(Type::Any);
            let same = items.iter().all(|item| item.fits(&first));
            return Ok(Type::List(Box::new(if same { first } else { Type::Any })));
        }
        if self.take("{") {
            while !self.take("}") {
                self.expression()?;
                self.need(":")?;
                self.expression()?;
                if !self.take(",") && *self.peek() != Kind::Sign("}") {
                    return Err(self.unexpected());
                }
            }
            return Ok(Type::Map);
        }
        let Kind::Name(name) = token else {
            return Err(self.unexpected());
        };
        self.at += 1;
        if self.take("(") {
            self.function(&name)
        } else {
            self.variable(&name)
        }
    }

    fn items(&mut self, end: &str) -> Result<Vec<Type>, String> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.expression()?);
            if !self.take(",") {
                self.need(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn variable(&self, name: &str) -> Outcome {
        if let Some((_, kind)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Ok(kind.clone());
        }
        match (name, self.about) {
            ("true" | "false", _) => Ok(Type::Bool),
            ("null", _) => Ok(Type::Null),
            ("disk", _) => Ok(Type::Disk),
            ("system_disk", About::Disk) => Ok(Type::Bool),
            ("volume", About::Volume) => Ok(Type::Volume),
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

    fn function(&mut self, name: &str) -> Outcome {
        let arguments = self.items(")")?;
        let one = |result| match arguments.len() {
            1 => Ok(result),
            count => Err(format!("`{name}` takes one argument and has {count}")),
        };
        match name {
            "glob" if self.about == About::Disk => {
                if arguments.len() == 2 && arguments.iter().all(|kind| kind.fits(&Type::Text)) {
                    Ok(Type::Bool)
                } else {
                    Err("`glob` takes a pattern and a string".into())
                }
            }
            "size" => {
                let kind = one(Type::Int)?;
                sized(&arguments[0])?;
                Ok(kind)
            }
            "int" => one(Type::Int),
            "uint" => one(Type::Uint),
            "double" => one(Type::Double),
            "string" => one(Type::Text),
            "bytes" => one(Type::Bytes),
            "bool" | "has" => one(Type::Bool),
            "dyn" | "type" | "duration" | "timestamp" => one(Type::Any),
            "matches" if arguments.len() == 2 => Ok(Type::Bool),
            _ => {
                let known = [
                    "glob", "size", "int", "uint", "double", "string", "bool", "has", "matches",
                ];
                Err(format!(
                    "there is no function `{name}`{}",
                    suggest::did_you_mean(name, known)
                ))
            }
        }
    }

    fn method(&mut self, of: &Type, name: &str) -> Outcome {
        match name {
            "all" | "exists" | "exists_one" | "filter" | "map" => self.for_each(of, name),
            "contains" | "startsWith" | "endsWith" | "matches" => {
                let arguments = self.items(")")?;
                only(of, &[Type::Text], name)?;
                match arguments.as_slice() {
                    [argument] if argument.fits(&Type::Text) => Ok(Type::Bool),
                    _ => Err(format!("`{name}` takes one string")),
                }
            }
            "size" => {
                self.items(")")?;
                sized(of)?;
                Ok(Type::Int)
            }
            _ => {
                let known = [
                    "contains",
                    "startsWith",
                    "endsWith",
                    "matches",
                    "size",
                    "exists",
                    "all",
                ];
                Err(format!(
                    "a {} has no function `{name}`{}",
                    of.name(),
                    suggest::did_you_mean(name, known)
                ))
            }
        }
    }

    /// `list.exists(variable, expression)` and its like.
    fn for_each(&mut self, of: &Type, name: &str) -> Outcome {
        let item = match of {
            Type::List(item) => (**item).clone(),
            Type::Map | Type::Any => Type::Any,
            other => return Err(format!("a {} has no items for `{name}`", other.name())),
        };
        let Kind::Name(variable) = self.peek().clone() else {
            return Err(self.unexpected());
        };
        self.at += 1;
        self.need(",")?;
        self.variables.push((variable, item));
        let result = self.expression()?;
        self.variables.pop();
        self.need(")")?;
        match name {
            "map" => Ok(Type::List(Box::new(result))),
            "filter" => {
                only(&result, &[Type::Bool], name)?;
                Ok(of.clone())
            }
            _ => {
                only(&result, &[Type::Bool], name)?;
                Ok(Type::Bool)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_expressions_pass() {
        for good in [
            "disk.transport == \"nvme\"",
            "disk.size > 120u * GB && disk.size < 1u * TB",
            "disk.transport == 'sata' && !disk.rotational && !system_disk",
            "disk.model.startsWith('SAMSUNG') || glob('*CT1000*', disk.model)",
            "'/dev/disk/by-id/x' in disk.symlinks",
            "disk.symlinks.exists(link, link.contains('by-id'))",
            "disk.size >= (system_disk ? 100u : 200u) * GiB // why",
            "disk.transport in ['sata', 'nvme'] == true",
            "size(disk.serial) > 0 && disk.serial.size() < 10",
            "uint(5) + 0x10u == 21u && -1 < 2 && 1.5e3 > 1.0",
        ] {
            assert_eq!(check(good, About::Disk), Ok(()), "{good}");
        }
        assert_eq!(
            check(
                "volume.partition_label == 'MY-DATA' && disk.size > 1u * GB",
                About::Volume
            ),
            Ok(())
        );
    }

    #[test]
    fn wrong_expressions_say_why() {
        for (text, why) in [
            (
                "disk.transport = 'nvme'",
                "`=` at character 16 does not compare; write `==`",
            ),
            (
                "disk.size > 100",
                "`>` does not go with uint and int; an unsigned number is written as `100u`",
            ),
            (
                "disk.trnsport == 'nvme'",
                "a disk has no field `trnsport`, did you mean `transport`?",
            ),
            ("disk.size", "its result is of type uint and must be bool"),
            ("disk.size >", "it ends too early"),
            ("'nvme", "the text at character 1 has no end"),
            (
                "disks.size > 1u",
                "there is no `disks`, did you mean `disk`?",
            ),
            (
                "disk.size > 1u && disk.model",
                "`&&` does not take a string",
            ),
            ("(disk.rotational", "it ends too early"),
            (
                "disk.rotational)",
                "`)` at character 16 does not belong there",
            ),
            (
                "disk.rotational == 'no'",
                "`==` does not go with bool and string",
            ),
            (
                "disk.model.beginsWith('x')",
                "a string has no function `beginsWith`",
            ),
            ("glob(disk.model)", "`glob` takes a pattern and a string"),
            ("volume.size > 1u", "there is no `volume`"),
            ("", "it ends too early"),
            (
                "disk.rotational § true",
                "`§` at character 17 does not belong there",
            ),
            ("!disk.size", "`!` does not take a uint"),
        ] {
            assert_eq!(check(text, About::Disk).unwrap_err(), why, "{text}");
        }
        assert!(check(&"(".repeat(5000), About::Disk).is_err());
    }
}
