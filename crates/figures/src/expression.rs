//! The language of claims: parses text into a tree.
//!
//! Numbers, names (`dts`, `prs-haproxy-4`: a hyphen between letters belongs to the name, so a difference of names needs
//! blanks), `'any text'`, lists `[1, 2]`, `+ - * /`, comparisons, `and or not`, calls `near(x, y)`, and quantities over
//! lists: `max(c in C if c > 8: T(dts, c))`, several variables apart by commas.

use std::{iter::Peekable, vec::IntoIter};

/// A tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// Such as `0.5`.
    Number(f64),
    /// A variable, a constant, or a name that stands for itself.
    Name(String),
    /// `[a, b]`.
    List(Vec<Self>),
    /// `near(x, y)`.
    Call(String, Vec<Self>),
    /// `max(c in C if c > 8: T(dts, c))`.
    Over(Box<Over>),
    /// `not p`.
    Not(Box<Self>),
    /// `-x`.
    Negative(Box<Self>),
    /// `x <= y` and so on.
    Binary(Operator, Box<(Self, Self)>),
}

/// A quantification over all values of variables.
#[derive(Debug, Clone, PartialEq)]
pub struct Over {
    /// `all`, `any`, `most`, `half`, `max`, `min`, `median` or `rank_correlation`.
    pub how: String,
    /// Each variable with its list.
    pub variables: Vec<(String, Expression)>,
    /// The condition on values.
    pub only_if: Option<Expression>,
    /// The body.
    pub body: Expression,
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `and`
    And,
    /// `or`
    Or,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Word(String),
    Quoted(String),
    Sign(&'static str),
}

const SIGNS: [&str; 17] = ["<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "(", ")", "[", "]", ",", ":", "="];

impl Expression {
    /// Parses a text.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?.into_iter().peekable() };
        let expression = parser.or()?;
        match parser.tokens.next() {
            None => Ok(expression),
            Some(token) => Err(format!("{token:?} is not expected in `{text}`")),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = if first.is_ascii_digit() || first == '.' {
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
            tokens.push(Token::Number(
                rest[..end].parse().map_err(|_| format!("`{}` is not a valid number", &rest[..end]))?,
            ));
            end
        } else if first.is_alphabetic() || first == '_' {
            let bytes = rest.as_bytes();
            let part = |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
            let mut end = 1;
            while part(end) || (bytes.get(end) == Some(&b'-') && part(end + 1)) {
                end += 1;
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else if first == '\'' {
            let end = rest[1..].find('\'').ok_or_else(|| format!("a quote is not closed in `{text}`"))?;
            tokens.push(Token::Quoted(rest[1..=end].to_owned()));
            end + 2
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| format!("`{first}` is not understood in `{text}`"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[end..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
}

impl Parser {
    fn sign(&mut self, sign: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Sign(found) if *found == sign)).is_some()
    }

    fn word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(found) if found == word)).is_some()
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(format!("`{sign}` is expected before {:?}", self.tokens.peek())) }
    }

    fn or(&mut self) -> Result<Expression, String> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Expression::Binary(Operator::Or, Box::new((left, self.and()?)));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut left = self.not()?;
        while self.word("and") {
            left = Expression::Binary(Operator::And, Box::new((left, self.not()?)));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, String> {
        if self.word("not") {
            return Ok(Expression::Not(Box::new(self.not()?)));
        }
        let left = self.sum()?;
        let operators = [
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<", Operator::Less),
            (">", Operator::More),
        ];
        for (sign, operator) in operators {
            if self.sign(sign) {
                return Ok(Expression::Binary(operator, Box::new((left, self.sum()?))));
            }
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Expression, String> {
        let mut left = self.product()?;
        loop {
            let operator = if self.sign("+") {
                Operator::Add
            } else if self.sign("-") {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new((left, self.product()?)));
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut left = self.atom()?;
        loop {
            let operator = if self.sign("*") {
                Operator::Multiply
            } else if self.sign("/") {
                Operator::Divide
            } else {
                return Ok(left);
            };
            left = Expression::Binary(operator, Box::new((left, self.atom()?)));
        }
    }

    fn atom(&mut self) -> Result<Expression, String> {
        if self.sign("-") {
            return Ok(Expression::Negative(Box::new(self.atom()?)));
        }
        if self.sign("(") {
            let inside = self.or()?;
            self.expect(")")?;
            return Ok(inside);
        }
        if self.sign("[") {
            return Ok(Expression::List(self.list("]")?));
        }
        match self.tokens.next() {
            Some(Token::Number(number)) => Ok(Expression::Number(number)),
            Some(Token::Quoted(text)) => Ok(Expression::Name(text)),
            Some(Token::Word(name)) if self.sign("(") => self.call(name),
            Some(Token::Word(name)) => Ok(Expression::Name(name)),
            other => Err(format!("a value is expected, not {other:?}")),
        }
    }

    fn call(&mut self, name: String) -> Result<Expression, String> {
        if self.sign(")") {
            return Ok(Expression::Call(name, Vec::new()));
        }
        let first = self.or()?;
        let Expression::Name(variable) = &first else { return self.arguments(name, first) };
        if !self.word("in") {
            return self.arguments(name, first);
        }
        let mut variables = vec![(variable.clone(), self.sum()?)];
        while self.sign(",") {
            let Some(Token::Word(variable)) = self.tokens.next() else {
                return Err(format!("a variable is expected after a comma in {name}(... in ...)"));
            };
            if !self.word("in") {
                return Err(format!("`in` is expected after `{variable}`"));
            }
            variables.push((variable, self.sum()?));
        }
        let only_if = if self.word("if") { Some(self.or()?) } else { None };
        self.expect(":")?;
        let body = self.or()?;
        self.expect(")")?;
        Ok(Expression::Over(Box::new(Over { how: name, variables, only_if, body })))
    }

    fn arguments(&mut self, name: String, first: Expression) -> Result<Expression, String> {
        let mut arguments = vec![first];
        if self.sign(",") {
            arguments.extend(self.list(")")?);
        } else {
            self.expect(")")?;
        }
        Ok(Expression::Call(name, arguments))
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expression>, String> {
        let mut items = Vec::new();
        if self.sign(end) {
            return Ok(items);
        }
        loop {
            items.push(self.or()?);
            if self.sign(end) {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_hyphens_and_products_bind_before_sums_and_comparisons() {
        let read = Expression::read("T(prs-haproxy-4, 1) * 2 + 1 <= 1-eq").unwrap();
        let Expression::Binary(Operator::AtMost, sides) = &read else { panic!("{read:?}") };
        let Expression::Binary(Operator::Add, sum) = &sides.0 else { panic!("{read:?}") };
        let Expression::Binary(Operator::Multiply, product) = &sum.0 else { panic!("{read:?}") };
        let arguments = vec![Expression::Name("prs-haproxy-4".to_owned()), Expression::Number(1.0)];
        assert_eq!(product.0, Expression::Call("T".to_owned(), arguments));
        assert!(matches!(&sides.1, Expression::Binary(Operator::Subtract, _)));
    }

    #[test]
    fn quantities_over_lists_have_variables_a_condition_and_a_body() {
        let read = Expression::read("all(a in [dts, mss], c in C if c >= 2 and a != dts: M(a, c) < 0.5)").unwrap();
        let Expression::Over(over) = read else { panic!("{read:?}") };
        assert_eq!(over.how, "all");
        assert_eq!(over.variables.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert!(over.only_if.is_some());
    }

    #[test]
    fn an_expression_that_cannot_be_parsed_is_reported_with_the_place() {
        for (text, expected) in [
            ("1 +", "a value is expected"),
            ("(1", "`)` is expected"),
            ("1 2", "is not expected"),
            ("a $ b", "`$` is not understood"),
            ("all(c in C, d: x)", "`in` is expected"),
            ("1.2.3", "is not a valid number"),
            ("'open", "is not closed"),
        ] {
            let error = Expression::read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
