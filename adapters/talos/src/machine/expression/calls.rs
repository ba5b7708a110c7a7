//! Calls in expressions: functions, methods, the macros that go through lists, and messages written out.

use super::functions::{self, Numbers, Style};
use super::token::Kind;
use super::types::{Outcome, Type, field, named};
use super::{Last, Reader};
use crate::machine::suggest;

impl Reader {
    /// Reads the arguments of a call behind its parenthesis.
    fn arguments(&mut self) -> Result<Vec<Type>, String> {
        let mut arguments = Vec::new();
        if self.take(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if self.take(")") {
                return Ok(arguments);
            }
            self.need(",")?;
        }
    }

    pub(super) fn function(&mut self, name: &str) -> Outcome {
        let arguments = self.arguments()?;
        if name == "has" && arguments.len() == 1 {
            return match self.last {
                Last::Field => {
                    self.last = Last::Other;
                    Ok(Type::Bool)
                }
                Last::Other => {
                    Err("`has` takes a field of something, as in `has(disk.serial)`".into())
                }
            };
        }
        self.last = Last::Other;
        let is_known = functions::exists(name) && (name != "glob" || self.has_glob());
        if !is_known {
            let known = functions::names(Style::Plain)
                .filter(|known| *known != name)
                .chain(["has"]);
            return Err(format!(
                "there is no function `{name}`{}",
                suggest::did_you_mean(name, known)
            ));
        }
        self.call(name, Style::Plain, &arguments)
    }

    fn call(&mut self, name: &str, style: Style, arguments: &[Type]) -> Outcome {
        let result = functions::call(name, style, arguments, &mut self.known, &mut self.next);
        result.ok_or_else(|| {
            let arguments: Vec<Type> = arguments
                .iter()
                .map(|kind| self.known.resolved(kind))
                .collect();
            functions::refusal(name, style, &arguments)
        })
    }

    pub(super) fn method(&mut self, of: &Type, name: &str) -> Outcome {
        if let Some(count) = self.macro_arguments(name) {
            return self.for_each(of, name, count);
        }
        let mut arguments = vec![of.clone()];
        arguments.extend(self.arguments()?);
        self.last = Last::Other;
        if !functions::exists(name) {
            let known = functions::names(Style::Method).chain(["all", "exists", "filter", "map"]);
            return Err(format!(
                "a {} has no function `{name}`{}",
                self.known.resolved(of).name(),
                suggest::did_you_mean(name, known)
            ));
        }
        self.call(name, Style::Method, &arguments)
    }

    /// How many arguments a macro has here; nothing where this is none.
    fn macro_arguments(&self, name: &str) -> Option<usize> {
        let allowed: &[usize] = match name {
            "all" | "exists" | "exists_one" | "filter" => &[2],
            "map" => &[2, 3],
            _ => return None,
        };
        let (mut depth, mut count) = (0_usize, 1);
        for token in self.tokens.get(self.at..)? {
            match token.kind {
                Kind::Sign("(" | "[" | "{") => depth += 1,
                Kind::Sign(")") if depth == 0 => break,
                Kind::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
                Kind::Sign(",") if depth == 0 => count += 1,
                _ => {}
            }
        }
        allowed.contains(&count).then_some(count)
    }

    /// `list.exists(variable, expression)` and its like.
    fn for_each(&mut self, of: &Type, name: &str, count: usize) -> Outcome {
        let item = match self.known.resolved(of) {
            Type::List(item) => *item,
            Type::Map(key, _) => *key,
            Type::Any => Type::Any,
            open @ Type::Open(_) => {
                self.known.unify(&[(&Type::Any, &open)]);
                Type::Any
            }
            other => {
                return Err(format!(
                    "{} has no items for `{name}`",
                    other.with_article()
                ));
            }
        };
        let Kind::Name(variable) = self.peek().clone() else {
            return Err(self.unexpected());
        };
        self.at += 1;
        if !self.take(",") {
            return Err(format!("`{name}` takes the name of a variable first"));
        }
        self.numbers = Numbers::Mixed;
        self.variables.push((variable, item.clone()));
        let mut result = self.expression()?;
        if count == 3 {
            self.only_bool(&result, name)?;
            self.need(",")?;
            result = self.expression()?;
        }
        self.variables.pop();
        self.need(")")?;
        self.last = Last::Other;
        if name == "map" {
            return Ok(Type::list(result));
        }
        self.only_bool(&result, name)?;
        Ok(match name {
            "filter" => Type::list(item),
            _ => Type::Bool,
        })
    }

    /// A type by its full name, as in `google.protobuf.Duration`, alone or with its fields behind it. Names that are not known here may be so to
    /// Talos, and say nothing.
    pub(super) fn qualified(&mut self, first: &str) -> Outcome {
        let mut name = first.to_owned();
        while self.peek() == &Kind::Sign(".") {
            let Some(Kind::Name(part)) = self.tokens.get(self.at + 1).map(|token| &token.kind)
            else {
                break;
            };
            name = format!("{name}.{part}");
            self.at += 2;
        }
        let kind = match named(&name) {
            Some(kind) => kind,
            None if name.starts_with("google.protobuf.") => Type::Any,
            None if name == "talos.resource.definitions.block.DiscoveredVolumeSpec" => Type::Volume,
            None if name.starts_with("talos.resource.definitions.block.") => Type::Any,
            None => return Err(format!("there is no `{name}`")),
        };
        if self.take("{") {
            self.message(kind)
        } else {
            Ok(Type::kind(kind))
        }
    }

    fn message(&mut self, kind: Type) -> Outcome {
        while !self.take("}") {
            if self.take(",") {
                self.need("}")?;
                break;
            }
            let Kind::Name(name) = self.peek().clone() else {
                return Err(self.unexpected());
            };
            self.at += 1;
            self.need(":")?;
            let value = self.expression()?;
            let wanted = match (&kind, name.as_str()) {
                (Type::Duration | Type::Timestamp, "seconds" | "nanos") => Type::Int,
                (Type::Duration | Type::Timestamp, _) => {
                    return Err(format!("a {} has no field `{name}`", kind.name()));
                }
                (Type::Any, _) => Type::Any,
                (kind, name) => field(kind, name)?,
            };
            if !self.known.unify(&[(&wanted, &value)]) {
                let value = self.known.resolved(&value).name();
                return Err(format!(
                    "`{name}` is a {} and does not take a {value}",
                    wanted.name()
                ));
            }
            if self.peek() != &Kind::Sign("}") {
                self.need(",")?;
            }
        }
        self.last = Last::Other;
        Ok(kind)
    }

    fn has_glob(&self) -> bool {
        self.about == super::About::Disk
    }
}
