//! Parses the text of an assertion into an expression.

use super::{
    fields::Field,
    units::{self, Dimension},
};
use std::fmt;

/// Brackets within brackets.
const DEPTH_MAX: usize = 64;

/// An expression, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A number with its unit, in seconds and bits.
    Number {
        value: f64,
        dimension: Dimension,
        written: String,
        bare: bool,
    },
    Text(String),
    Truth(bool),
    Field(Field),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
    Plus,
    Minus,
    Times,
    Over,
}

/// Each operator as written, with its precedence.
const OPERATORS: [(&str, Operator, u8); 15] = [
    ("or", Operator::Or, 1),
    ("||", Operator::Or, 1),
    ("and", Operator::And, 2),
    ("&&", Operator::And, 2),
    ("<=", Operator::AtMost, 4),
    (">=", Operator::AtLeast, 4),
    ("==", Operator::Equal, 4),
    ("!=", Operator::Unequal, 4),
    ("<", Operator::Less, 4),
    (">", Operator::Greater, 4),
    ("=", Operator::Equal, 4),
    ("+", Operator::Plus, 5),
    ("-", Operator::Minus, 5),
    ("*", Operator::Times, 6),
    ("/", Operator::Over, 6),
];
/// Precedence of `not`: lower than a comparison, higher than `and`.
const NOT: u8 = 3;
const COMPARISON: u8 = 4;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(String, String),
    Name(String),
    Text(String),
    Sign(&'static str),
}

/// Signs, the longer ones first.
const SIGNS: [&str; 16] = ["<=", ">=", "==", "!=", "&&", "||", "<", ">", "=", "!", "+", "-", "*", "/", "(", ")"];

impl Expression {
    /// Whether it is a number without a unit.
    pub fn is_bare(&self) -> bool {
        match self {
            Self::Number { bare, .. } => *bare,
            Self::Negative(one) => one.is_bare(),
            Self::Binary(operator, one, other) => {
                use Operator::*;
                matches!(operator, Plus | Minus | Times | Over) && one.is_bare() && other.is_bare()
            }
            _ => false,
        }
    }

    /// Whether a field of that path is in it.
    pub fn has(&self, path: &str) -> bool {
        match self {
            Self::Number { .. } | Self::Text(_) | Self::Truth(_) => false,
            Self::Field(field) => field.is(path),
            Self::Not(one) | Self::Negative(one) => one.has(path),
            Self::Binary(_, one, other) => one.has(path) || other.has(path),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OPERATORS.iter().find(|(_, known, _)| known == self).map_or("", |(written, ..)| written))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { written, .. } => f.write_str(written),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Field(field) => f.write_str(&field.written),
            Self::Not(one) => write!(f, "not {one}"),
            Self::Negative(one) => write!(f, "-{one}"),
            Self::Binary(operator, one, other) => write!(f, "{one} {operator} {other}"),
        }
    }
}

/// Reads a whole text.
pub fn parse(text: &str) -> Result<Expression, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), depth: 0 };
    let expression = parser.expression(0)?;
    match parser.tokens.next() {
        None => Ok(expression),
        Some(token) => Err(format!("{token} follows where it should end: join two statements with `and` or `or`")),
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, unit) => write!(f, "`{number}{unit}`"),
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
        }
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

impl Parser {
    /// An expression of operators with a precedence above `least` (precedence climbing).
    fn expression(&mut self, least: u8) -> Result<Expression, String> {
        let mut left = self.operand()?;
        while let Some((operator, binds)) = self.tokens.peek().and_then(operator).filter(|(_, binds)| *binds > least) {
            self.tokens.next();
            let right = self.expression(binds)?;
            if binds == COMPARISON
                && self.tokens.peek().and_then(self::operator).is_some_and(|(_, next)| next == COMPARISON)
            {
                return Err(format!(
                    "`{left} {operator} {right}` is compared once more: join two comparisons with `and`"
                ));
            }
            let (one, other) = if binds == COMPARISON { as_shares(left, right)? } else { (left, right) };
            left = Expression::Binary(operator, Box::new(one), Box::new(other));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("it has over {DEPTH_MAX} brackets within each other"));
        }
        let operand = match self.tokens.next() {
            None => return Err("it ends where a value is expected".to_owned()),
            Some(Token::Number(number, unit)) => number_with(&number, &unit)?,
            Some(Token::Text(text)) => Expression::Text(text),
            Some(Token::Name(name)) => match name.as_str() {
                "true" => Expression::Truth(true),
                "false" => Expression::Truth(false),
                "not" => Expression::Not(Box::new(self.expression(NOT)?)),
                "and" | "or" => return Err(format!("`{name}` stands where a value is expected")),
                _ => Expression::Field(Field::called(&name)?),
            },
            Some(Token::Sign("!")) => Expression::Not(Box::new(self.expression(NOT)?)),
            Some(Token::Sign("-")) => Expression::Negative(Box::new(self.operand()?)),
            Some(Token::Sign("(")) => {
                let inner = self.expression(0)?;
                match self.tokens.next() {
                    Some(Token::Sign(")")) => inner,
                    Some(token) => return Err(format!("{token} stands where `)` is expected")),
                    None => return Err("it ends where `)` is expected".to_owned()),
                }
            }
            Some(token) => return Err(format!("{token} stands where a value is expected")),
        };
        self.depth -= 1;
        Ok(operand)
    }
}

/// A count of messages beside a percentage is a share of the messages that were to arrive.
fn as_shares(one: Expression, other: Expression) -> Result<(Expression, Expression), String> {
    let is_share =
        |expression: &Expression| matches!(expression, Expression::Number { written, .. } if written.ends_with('%'));
    let share = |count: Expression| {
        let all = Expression::Field(Field::called("integrity.expected")?);
        Ok::<_, String>(Expression::Binary(Operator::Over, Box::new(count), Box::new(all)))
    };
    match (&one, &other) {
        (Expression::Field(field), _) if field.counts_messages() && is_share(&other) => Ok((share(one)?, other)),
        (_, Expression::Field(field)) if field.counts_messages() && is_share(&one) => Ok((one, share(other)?)),
        _ => Ok((one, other)),
    }
}

fn operator(token: &Token) -> Option<(Operator, u8)> {
    let written = match token {
        Token::Name(name) => name.as_str(),
        Token::Sign(sign) => sign,
        _ => return None,
    };
    OPERATORS.iter().find(|(known, ..)| *known == written).map(|(_, operator, binds)| (*operator, *binds))
}

fn number_with(number: &str, written_unit: &str) -> Result<Expression, String> {
    let value: f64 = number.parse().map_err(|_| format!("`{number}` is not a valid number"))?;
    let (unit, per_second) = match written_unit.strip_suffix("/s") {
        Some(unit) => (unit, true),
        None => (written_unit, false),
    };
    let Some((factor, dimension)) = units::unit(unit) else {
        let known: Vec<&str> = units::names().collect();
        return Err(format!(
            "`{unit}` after {number} is not a valid unit: use {}, or one of these per second (/s)",
            known.join(" ")
        ));
    };
    let dimension = if per_second { dimension.over(Dimension::TIME) } else { dimension };
    let written = format!("{number}{written_unit}");
    Ok(Expression::Number { value: value * factor, dimension, written, bare: written_unit.is_empty() })
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first.is_ascii_digit() {
            number_token(rest)
        } else if first.is_alphabetic() || first == '_' {
            let length = prefix(rest, |c| c.is_alphanumeric() || c == '_' || c == '.');
            (Token::Name(rest[..length].to_owned()), length)
        } else if first == '"' || first == '\'' {
            let inner =
                rest[1..].find(first).ok_or_else(|| format!("the text after {first} ends without its quote"))?;
            (Token::Text(rest[1..=inner].to_owned()), inner + 2)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(format!("`{first}` means nothing here: there are and or not < <= > >= == != + - * / ( )"));
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// A number and its unit, with or without blanks between them.
fn number_token(text: &str) -> (Token, usize) {
    let mut digits = prefix(text, |c| c.is_ascii_digit() || c == '.' || c == '_');
    let exponent = &text[digits..];
    let signed = exponent.trim_start_matches(['e', 'E']).trim_start_matches(['-', '+']);
    if exponent.starts_with(['e', 'E']) && signed.starts_with(|c: char| c.is_ascii_digit()) {
        digits += exponent.len() - signed.len() + prefix(signed, |c| c.is_ascii_digit());
    }
    let number = text[..digits].replace('_', "");
    let behind = &text[digits..];
    let blanks = behind.len() - behind.trim_start().len();
    let behind = behind.trim_start();
    let name = if behind.starts_with('%') { 1 } else { prefix(behind, char::is_alphanumeric) };
    let is_word = ["and", "or"].contains(&&behind[..name]);
    let mut unit = if is_word { 0 } else { name };
    let per_second = behind[unit..].strip_prefix("/s");
    if !is_word
        && per_second.is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.'))
    {
        unit += 2;
    }
    let length = if unit == 0 { digits } else { digits + blanks + unit };
    (Token::Number(number, behind[..unit].to_owned()), length)
}

/// Length in bytes of the longest prefix whose characters all satisfy `such`.
fn prefix(text: &str, such: impl Fn(char) -> bool) -> usize {
    text.find(|c| !such(c)).unwrap_or(text.len())
}
