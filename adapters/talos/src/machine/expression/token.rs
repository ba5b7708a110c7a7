//! Words of an expression: names, numbers, texts and signs.

/// A word of an expression and where it begins, in characters from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Integer,
    /// 9223372036854775808, a number only with a minus before it.
    Lowest,
    Unsigned,
    Float,
    Text,
    Bytes,
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 27] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", "=", "&", "|",
];

/// Splits an expression into words.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = chars.get(at).copied() {
        if matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}') {
            at += 1;
            continue;
        }
        if chars[at..].starts_with(&['/', '/']) {
            while chars.get(at).is_some_and(|c| *c != '\n') {
                at += 1;
            }
            continue;
        }
        let start = at;
        let kind = if c.is_ascii_digit()
            || c == '.' && chars.get(at + 1).is_some_and(char::is_ascii_digit)
        {
            number(&chars, &mut at)?
        } else if let Some(kind) = quoted(&chars, &mut at)? {
            kind
        } else if c.is_ascii_alphabetic() || c == '_' {
            let end = end_of(&chars, at, |c| c.is_ascii_alphanumeric() || c == '_');
            at = end;
            Kind::Name(chars[start..end].iter().collect())
        } else {
            let sign = SIGNS.iter().find(|sign| {
                sign.chars()
                    .enumerate()
                    .all(|(index, c)| chars.get(start + index) == Some(&c))
            });
            let sign = sign
                .ok_or_else(|| format!("`{c}` at character {} does not belong there", start + 1))?;
            at += sign.len();
            Kind::Sign(sign)
        };
        tokens.push(Token {
            kind,
            at: start + 1,
        });
    }
    tokens.push(Token {
        kind: Kind::End,
        at: chars.len() + 1,
    });
    Ok(tokens)
}

fn end_of(chars: &[char], from: usize, belongs: impl Fn(char) -> bool) -> usize {
    chars[from..]
        .iter()
        .position(|c| !belongs(*c))
        .map_or(chars.len(), |count| from + count)
}

fn number(chars: &[char], at: &mut usize) -> Result<Kind, String> {
    let start = *at;
    let hexadecimal = chars[start] == '0'
        && chars.get(start + 1) == Some(&'x')
        && chars.get(start + 2).is_some_and(char::is_ascii_hexdigit);
    let mut end = if hexadecimal {
        end_of(chars, start + 2, |c| c.is_ascii_hexdigit())
    } else {
        end_of(chars, start, |c| c.is_ascii_digit())
    };
    let mut float = false;
    if !hexadecimal {
        if chars.get(end) == Some(&'.') && chars.get(end + 1).is_some_and(char::is_ascii_digit) {
            float = true;
            end = end_of(chars, end + 1, |c| c.is_ascii_digit());
        }
        if matches!(chars.get(end), Some('e' | 'E')) {
            let sign = usize::from(matches!(chars.get(end + 1), Some('+' | '-')));
            let after = end_of(chars, end + 1 + sign, |c| c.is_ascii_digit());
            if after > end + 1 + sign {
                float = true;
                end = after;
            }
        }
    }
    let text: String = chars[start..end].iter().collect();
    let unsigned = !float && matches!(chars.get(end), Some('u' | 'U'));
    *at = end + usize::from(unsigned);
    if float {
        let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
        return if finite {
            Ok(Kind::Float)
        } else {
            Err(format!("`{text}` is too large"))
        };
    }
    let (digits, radix) = match text.get(2..).filter(|_| hexadecimal) {
        Some(digits) => (digits, 16),
        None => (text.as_str(), 10),
    };
    let value = u64::from_str_radix(digits, radix).ok();
    match value {
        Some(_) if unsigned => Ok(Kind::Unsigned),
        Some(value) if value < 1 << 63 => Ok(Kind::Integer),
        Some(value) if value == 1 << 63 => Ok(Kind::Lowest),
        _ => Err(format!("`{text}` is not a number of 64 bits")),
    }
}

/// Reads a text in quotes: `b` before it makes bytes, and `r` takes escapes as they stand.
fn quoted(chars: &[char], at: &mut usize) -> Result<Option<Kind>, String> {
    let mut quote = *at;
    let bytes = matches!(chars.get(quote), Some('b' | 'B'));
    quote += usize::from(bytes);
    let raw = matches!(chars.get(quote), Some('r' | 'R'));
    quote += usize::from(raw);
    let Some(mark @ ('"' | '\'')) = chars.get(quote).copied() else {
        return Ok(None);
    };
    let triple = chars[quote..].starts_with(&[mark; 3]);
    let width = if triple { 3 } else { 1 };
    let mut end = quote + width;
    loop {
        match chars.get(end) {
            None => return Err(format!("the text at character {} has no end", quote + 1)),
            Some('\n' | '\r') if !triple => {
                return Err(format!("the text at character {} has no end", quote + 1));
            }
            Some('\\') if !raw => end += escape(&chars[end..], bytes, end)?,
            Some(c) if *c == mark && (!triple || chars[end..].starts_with(&[mark; 3])) => break,
            Some(_) => end += 1,
        }
    }
    *at = end + width;
    Ok(Some(if bytes { Kind::Bytes } else { Kind::Text }))
}

/// The length of an escape.
fn escape(chars: &[char], bytes: bool, at: usize) -> Result<usize, String> {
    let wrong = |what: &str| Err(format!("the escape at character {} {what}", at + 1));
    let digits = |from: usize, count: usize, radix: u32| -> Option<u32> {
        let digits = chars.get(from..from + count)?;
        digits
            .iter()
            .try_fold(0, |number, c| Some(number * radix + c.to_digit(radix)?))
    };
    match chars.get(1) {
        Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => Ok(2),
        Some('x' | 'X') if digits(2, 2, 16).is_some() => Ok(4),
        Some('0'..='3') if digits(1, 3, 8).is_some() => Ok(4),
        Some(letter @ ('u' | 'U')) => {
            let count = if *letter == 'u' { 4 } else { 8 };
            match digits(2, count, 16).and_then(char::from_u32) {
                Some(_) if bytes => wrong("cannot stand in bytes"),
                Some(_) => Ok(2 + count),
                None => wrong("names no character"),
            }
        }
        Some(_) => wrong("is none; a backslash is written as `\\\\`"),
        None => wrong("has no end"),
    }
}
