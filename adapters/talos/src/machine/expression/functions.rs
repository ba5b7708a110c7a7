//! What the functions and operators of expressions take and give: the standard library of the language, and what Talos adds to it. Pure.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::types::{Known, Outcome, Type, named};

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Style {
    /// `size(x)`, and operators.
    Plain,
    /// `x.size()`.
    Method,
}

/// Each line is a way to call: a method begins with a dot, and `A` and `B` stand for any type. The order decides where a type is open. Comparisons of
/// different numbers (`mixed`) are switched off, up to the first macro such as `exists`: there Talos' checker forgets that they are.
const TABLE: &str = "
! bool -> bool
neg double -> double
neg int -> int
?: bool A A -> A
== A A -> bool
!= A A -> bool
in A list(A) -> bool
in A map(A,B) -> bool
[] list(A) int -> A
[] map(A,B) A -> B
+ bytes bytes -> bytes
+ double double -> double
+ duration duration -> duration
+ duration timestamp -> timestamp
+ timestamp duration -> timestamp
+ int int -> int
+ list(A) list(A) -> list(A)
+ string string -> string
+ uint uint -> uint
- double double -> double
- duration duration -> duration
- int int -> int
- timestamp duration -> timestamp
- timestamp timestamp -> duration
- uint uint -> uint
* double double -> double
* int int -> int
* uint uint -> uint
/ double double -> double
/ int int -> int
/ uint uint -> uint
% int int -> int
% uint uint -> uint
order bool bool -> bool
order int int -> bool
order uint uint -> bool
order double double -> bool
order string string -> bool
order bytes bytes -> bool
order timestamp timestamp -> bool
order duration duration -> bool
mixed bool bool -> bool
mixed int int -> bool
mixed int double -> bool
mixed int uint -> bool
mixed uint uint -> bool
mixed uint double -> bool
mixed uint int -> bool
mixed double double -> bool
mixed double int -> bool
mixed double uint -> bool
mixed string string -> bool
mixed bytes bytes -> bool
mixed timestamp timestamp -> bool
mixed duration duration -> bool
bool bool -> bool
bool string -> bool
bytes bytes -> bytes
bytes string -> bytes
double double -> double
double int -> double
double string -> double
double uint -> double
duration duration -> duration
duration int -> duration
duration string -> duration
dyn A -> dyn
int int -> int
int double -> int
int duration -> int
int string -> int
int timestamp -> int
int uint -> int
matches string string -> bool
.matches string string -> bool
.contains string string -> bool
.startsWith string string -> bool
.endsWith string string -> bool
size bytes -> int
size list(A) -> int
size map(A,B) -> int
size string -> int
.size bytes -> int
.size list(A) -> int
.size map(A,B) -> int
.size string -> int
string string -> string
string bool -> string
string bytes -> string
string double -> string
string duration -> string
string int -> string
string timestamp -> string
string uint -> string
timestamp timestamp -> timestamp
timestamp int -> timestamp
timestamp string -> timestamp
type A -> type(A)
uint uint -> uint
uint double -> uint
uint int -> uint
uint string -> uint
.getDate timestamp -> int
.getDate timestamp string -> int
.getDayOfMonth timestamp -> int
.getDayOfMonth timestamp string -> int
.getDayOfWeek timestamp -> int
.getDayOfWeek timestamp string -> int
.getDayOfYear timestamp -> int
.getDayOfYear timestamp string -> int
.getFullYear timestamp -> int
.getFullYear timestamp string -> int
.getMonth timestamp -> int
.getMonth timestamp string -> int
.getHours timestamp -> int
.getHours timestamp string -> int
.getHours duration -> int
.getMinutes timestamp -> int
.getMinutes timestamp string -> int
.getMinutes duration -> int
.getSeconds timestamp -> int
.getSeconds timestamp string -> int
.getSeconds duration -> int
.getMilliseconds timestamp -> int
.getMilliseconds timestamp string -> int
.getMilliseconds duration -> int
glob string string -> bool
";

/// A way to call a function. The open types 0 and 1 are `A` and `B`.
struct Way {
    takes: Vec<Type>,
    gives: Type,
}

static WAYS: LazyLock<BTreeMap<&'static str, Vec<Way>>> = LazyLock::new(|| {
    let mut ways: BTreeMap<_, Vec<Way>> = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let mut takes: Vec<Type> = words.filter(|word| *word != "->").map(parse).collect();
        let gives = takes.pop().unwrap_or(Type::Any);
        ways.entry(name).or_default().push(Way { takes, gives });
    }
    ways
});

fn parse(word: &str) -> Type {
    match word {
        "A" => Type::Open(0),
        "B" => Type::Open(1),
        "list(A)" => Type::list(Type::Open(0)),
        "map(A,B)" => Type::map(Type::Open(0), Type::Open(1)),
        "type(A)" => Type::kind(Type::Open(0)),
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        plain => named(plain).unwrap_or(Type::Any),
    }
}

fn ways(name: &str, style: Style) -> &'static [Way] {
    let key = match style {
        Style::Plain => name.to_owned(),
        Style::Method => format!(".{name}"),
    };
    WAYS.get(key.as_str()).map_or(&[], Vec::as_slice)
}

/// Whether there is such a function in any style, operators left out.
pub(super) fn exists(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["neg", "order", "mixed", "in"].contains(&name)
        && [Style::Plain, Style::Method]
            .iter()
            .any(|style| !ways(name, *style).is_empty())
}

/// The names that may have been meant by a wrong one.
pub(super) fn names(style: Style) -> impl Iterator<Item = &'static str> {
    let is = move |name: &&str| name.starts_with('.') == (style == Style::Method);
    let plain = WAYS.keys().copied().filter(is);
    plain
        .map(|name| name.trim_start_matches('.'))
        .filter(|name| exists(name))
}

/// What a call gives. Where several ways fit, and give different types, that is known only when it is computed.
pub(super) fn call(
    name: &str,
    style: Style,
    arguments: &[Type],
    known: &mut Known,
    next: &mut usize,
) -> Option<Type> {
    let mut result: Option<Type> = None;
    for way in ways(name, style) {
        if way.takes.len() != arguments.len() {
            continue;
        }
        let takes: Vec<Type> = way.takes.iter().map(|kind| kind.shifted(*next)).collect();
        let pairs: Vec<_> = arguments.iter().zip(&takes).collect();
        if known.unify(&pairs) {
            let gives = known.resolved(&way.gives.shifted(*next));
            result = Some(match result {
                None => gives,
                Some(before) if before == Type::Any || before == gives => before,
                Some(_) => Type::Any,
            });
        }
        *next += 2;
    }
    result
}

/// Why a call of a function fits none of its ways.
pub(super) fn refusal(name: &str, style: Style, arguments: &[Type]) -> String {
    let list = |kinds: &[Type]| {
        let names: Vec<_> = kinds.iter().map(Type::name).collect();
        match names.as_slice() {
            [] => "no value".to_owned(),
            names => names.join(" and "),
        }
    };
    let skipped = usize::from(style == Style::Method);
    let found = match style {
        Style::Plain => format!("`{name}` does not take {}", list(arguments)),
        Style::Method => format!(
            "`{name}` of a {} does not take {}",
            arguments.first().map_or_else(String::new, Type::name),
            list(arguments.get(skipped..).unwrap_or_default())
        ),
    };
    let fitting = |way: &&Way| {
        style == Style::Plain
            || way.takes.first().map(Type::name) == arguments.first().map(Type::name)
    };
    let mut takes: Vec<_> = ways(name, style)
        .iter()
        .filter(fitting)
        .map(|way| list(&way.takes[skipped..]))
        .collect();
    takes.dedup();
    match takes.as_slice() {
        [] if style == Style::Method => format!(
            "a {} has no function `{name}`",
            arguments.first().map_or_else(String::new, Type::name)
        ),
        [] => format!("{found}; it is written behind a value, as in `value.{name}(...)`"),
        [one] => format!("{found}; it takes {one}"),
        [others @ .., last] => format!("{found}; it takes {} or {last}", others.join(", ")),
    }
}

/// Whether different numbers can be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Numbers {
    Apart,
    Mixed,
}

/// What an operator gives, or why it does not go with these types.
pub(super) fn operator(
    sign: &str,
    sides: &[Type],
    numbers: Numbers,
    known: &mut Known,
    next: &mut usize,
) -> Outcome {
    let name = match sign {
        "<" | "<=" | ">" | ">=" if numbers == Numbers::Mixed => "mixed",
        "<" | "<=" | ">" | ">=" => "order",
        "-" if sides.len() == 1 => "neg",
        sign => sign,
    };
    let result = call(name, Style::Plain, sides, known, next);
    result.ok_or_else(|| {
        let sides: Vec<Type> = sides.iter().map(|side| known.resolved(side)).collect();
        match sides.as_slice() {
            [one] => format!("`{sign}` does not take {}", one.with_article()),
            [.., left, right] => mismatch(sign, left, right),
            [] => format!("`{sign}` takes something"),
        }
    })
}

fn mismatch(sign: &str, left: &Type, right: &Type) -> String {
    let hint = match (left, right) {
        (Type::Uint, Type::Int) | (Type::Int, Type::Uint) => {
            "; an unsigned number is written as `100u`"
        }
        (Type::Uint, Type::Double) | (Type::Double, Type::Uint) => {
            "; a number becomes unsigned with `uint(1.5)`"
        }
        _ => "",
    };
    format!(
        "`{sign}` does not go with {} and {}{hint}",
        left.name(),
        right.name()
    )
}
