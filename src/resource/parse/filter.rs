//! Conditions: `amount=gte.10`, `or=(state.eq.open,owner_id.is.null)`.

use super::scan::{Complaint, Read, Scanner, Text};
use crate::error::nearest;

/// Conditions and groups inside one another at most.
const MAX_DEPTH: usize = 8;
/// Values of one list at most.
const MAX_VALUES: usize = 1000;

/// Steps into a JSON document at most: each is a bound value.
const MAX_STEPS: usize = 16;

/// How a column is compared, in PostgREST's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// equal
    Eq,
    /// not equal
    Neq,
    /// greater
    Gt,
    /// greater or equal
    Gte,
    /// less
    Lt,
    /// less or equal
    Lte,
    /// SQL LIKE, with `*` for `%`
    Like,
    /// LIKE without regard to case
    Ilike,
    /// POSIX regular expression
    Match,
    /// the same without regard to case
    Imatch,
    /// one of a list
    In,
    /// null, `not_null`, true, false, unknown
    Is,
    /// not equal, with null as a value
    IsDistinct,
    /// contains
    Cs,
    /// is contained
    Cd,
    /// overlaps
    Ov,
    /// full text, `to_tsquery`
    Fts,
    /// full text, `plainto_tsquery`
    Plfts,
    /// full text, `phraseto_tsquery`
    Phfts,
    /// full text, `websearch_to_tsquery`
    Wfts,
}

/// The words of the grammar.
pub const OPERATORS: [(&str, Operator); 20] = [
    ("eq", Operator::Eq),
    ("neq", Operator::Neq),
    ("gt", Operator::Gt),
    ("gte", Operator::Gte),
    ("lt", Operator::Lt),
    ("lte", Operator::Lte),
    ("like", Operator::Like),
    ("ilike", Operator::Ilike),
    ("match", Operator::Match),
    ("imatch", Operator::Imatch),
    ("in", Operator::In),
    ("is", Operator::Is),
    ("isdistinct", Operator::IsDistinct),
    ("cs", Operator::Cs),
    ("cd", Operator::Cd),
    ("ov", Operator::Ov),
    ("fts", Operator::Fts),
    ("plfts", Operator::Plfts),
    ("phfts", Operator::Phfts),
    ("wfts", Operator::Wfts),
];

impl Operator {
    /// Whether it compares texts by their words.
    pub fn is_full_text(self) -> bool {
        matches!(self, Self::Fts | Self::Plfts | Self::Phfts | Self::Wfts)
    }

    fn takes_quantifier(self) -> bool {
        use Operator::{Eq, Gt, Gte, Ilike, Imatch, Like, Lt, Lte, Match};
        matches!(self, Eq | Gt | Gte | Lt | Lte | Like | Ilike | Match | Imatch)
    }
}

/// Whether one or all of several values must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// `(any)`
    Any,
    /// `(all)`
    All,
}

/// What a column is compared to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// One value.
    One(Text),
    /// The values of `in`, or of `any` and `all` with their quantifier.
    Many(Quantifier, Vec<Text>),
}

/// A step into a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A member of an object.
    Name(String),
    /// An item of an array, from 0; negative from the end.
    Index(i32),
}

/// A column, or a place inside a JSON column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Column as written.
    pub column: String,
    /// Steps into its document.
    pub keys: Vec<Key>,
    /// Whether the last step was `->>`: the place as text.
    pub as_text: bool,
}

/// `column.operator.value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// What is compared.
    pub path: Path,
    /// Whether the opposite must hold.
    pub negated: bool,
    /// How it is compared.
    pub operator: Operator,
    /// Configuration of a full text search.
    pub language: Option<String>,
    /// With what.
    pub operand: Operand,
}

/// A condition, or several joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// One condition.
    Test(Test),
    /// `and(…)` or `or(…)`.
    Group {
        /// Whether the opposite must hold.
        negated: bool,
        /// Whether one is enough.
        any: bool,
        /// The members.
        nodes: Vec<Node>,
    },
}

impl Node {
    /// How many conditions it holds.
    pub fn size(&self) -> usize {
        match self {
            Self::Test(_) => 1,
            Self::Group { nodes, .. } => nodes.iter().map(Self::size).sum(),
        }
    }
}

/// Where a condition stands: alone in a parameter its value needs no quotes, in a group it ends at `,` or `)`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Parameter,
    Group,
}

/// `column=operator.value`
pub fn parameter(path: Path, value: &str) -> Read<Node> {
    let mut scanner = Scanner::new(value);
    let test = test(&mut scanner, path, Within::Parameter)?;
    scanner.end()?;
    Ok(Node::Test(test))
}

/// `or=(…)` and `and=(…)`
pub fn group(any: bool, negated: bool, value: &str) -> Read<Node> {
    let mut scanner = Scanner::new(value);
    let nodes = members(&mut scanner, 1)?;
    scanner.end()?;
    Ok(Node::Group { negated, any, nodes })
}

fn members(scanner: &mut Scanner<'_>, depth: usize) -> Read<Vec<Node>> {
    if depth > MAX_DEPTH {
        return Err(Complaint::new(format!("is nested more than {MAX_DEPTH} deep")));
    }
    scanner.expect("(")?;
    let mut nodes = Vec::new();
    loop {
        nodes.push(member(scanner, depth)?);
        if scanner.eat(")") {
            return Ok(nodes);
        }
        scanner.expect(",").map_err(|_| Complaint::new("needs `,` or `)` after a condition"))?;
    }
}

fn member(scanner: &mut Scanner<'_>, depth: usize) -> Read<Node> {
    let negated = scanner.eat("not.");
    for (word, any) in [("and(", false), ("or(", true)] {
        if scanner.rest().starts_with(word) {
            scanner.expect(&word[..word.len() - 1])?;
            return Ok(Node::Group { negated, any, nodes: members(scanner, depth + 1)? });
        }
    }
    let path = path(scanner)?;
    scanner.expect(".")?;
    let mut test = test(scanner, path, Within::Group)?;
    test.negated ^= negated;
    Ok(Node::Test(test))
}

/// A column and the steps into it: `data->address->>city`.
pub fn path(scanner: &mut Scanner<'_>) -> Read<Path> {
    let column = scanner.name()?.to_owned();
    let (mut keys, mut as_text) = (Vec::new(), false);
    while !as_text && scanner.eat("->") {
        as_text = scanner.eat(">");
        let key = scanner.text(&['-', '.', ',', ')', '(', ':'])?;
        if keys.len() == MAX_STEPS || key.value.contains('\0') {
            return Err(Complaint::new(format!(
                "takes at most {MAX_STEPS} steps into a document, and no NUL character"
            )));
        }
        match key.value.parse() {
            Ok(index) if !key.quoted => keys.push(Key::Index(index)),
            _ if key.value.is_empty() => return Err(Complaint::new("needs a name after `->`")),
            _ => keys.push(Key::Name(key.value)),
        }
    }
    Ok(Path { column, keys, as_text })
}

fn test(scanner: &mut Scanner<'_>, path: Path, within: Within) -> Read<Test> {
    let whole = scanner.rest();
    let mut negated = false;
    while scanner.eat("not.") {
        negated = !negated;
    }
    let word = scanner.take_while(|c| !matches!(c, '.' | '(' | ',' | ')'));
    let modifier = if scanner.eat("(") {
        let modifier = scanner.take_while(|c| c != ')');
        scanner.expect(")")?;
        Some(modifier)
    } else {
        None
    };
    if !scanner.eat(".") {
        return Err(Complaint::new("needs an operator before the value").hint(example(&path.column, whole, within)));
    }
    let operator = operator(word)?;
    let (quantifier, language) = match modifier {
        None => (None, None),
        Some("any") if operator.takes_quantifier() => (Some(Quantifier::Any), None),
        Some("all") if operator.takes_quantifier() => (Some(Quantifier::All), None),
        Some(language) if operator.is_full_text() => (None, Some(language.to_owned())),
        Some(other) => return Err(Complaint::new(format!("`{word}({other})` is not an operator"))),
    };
    let operand = operand(scanner, operator, quantifier, within)?;
    Ok(Test { path, negated, operator, language, operand })
}

fn example(column: &str, value: &str, within: Within) -> String {
    match within {
        Within::Parameter => format!("For example {column}=eq.{value}"),
        Within::Group => format!("For example ({column}.eq.{value})"),
    }
}

fn operator(word: &str) -> Read<Operator> {
    if let Some((_, operator)) = OPERATORS.iter().find(|(name, _)| *name == word) {
        return Ok(*operator);
    }
    let known = OPERATORS.map(|(name, _)| name);
    let hint = nearest(word, known)
        .map_or_else(|| format!("Operators are {}.", known.join(", ")), |name| format!("Did you mean `{name}`?"));
    Err(Complaint::new(format!("`{word}` is not an operator")).hint(hint))
}

fn operand(
    scanner: &mut Scanner<'_>,
    operator: Operator,
    quantifier: Option<Quantifier>,
    within: Within,
) -> Read<Operand> {
    let many = match (operator, quantifier) {
        (Operator::In, _) => Some((Quantifier::Any, scanner.texts("(", ')'))),
        (_, Some(quantifier)) => Some((quantifier, scanner.texts("{", '}'))),
        _ => None,
    };
    match many {
        Some((quantifier, values)) => {
            let values = values?;
            if values.len() > MAX_VALUES {
                return Err(Complaint::new(format!("has more than {MAX_VALUES} values")));
            }
            Ok(Operand::Many(quantifier, values))
        }
        None if within == Within::Parameter => {
            Ok(Operand::One(Text { value: scanner.take_rest().to_owned(), quoted: false }))
        }
        None if scanner.peek() == Some('{') => {
            Ok(Operand::One(Text { value: scanner.braced()?.to_owned(), quoted: false }))
        }
        None => Ok(Operand::One(scanner.text(&[',', ')'])?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group_of(text: &str) -> Vec<Node> {
        match group(true, false, text).unwrap() {
            Node::Group { nodes, .. } => nodes,
            Node::Test(_) => unreachable!(),
        }
    }

    #[test]
    fn groups_nest_and_negate() {
        let nodes = group_of(r#"(a.eq.1,not.and(b.like."x,*y",c.not.in.(1,"2")),d->e->>0.is.null)"#);
        assert_eq!(nodes.iter().map(Node::size).sum::<usize>(), 4);
        let Node::Group { negated: true, any: false, nodes: inner } = &nodes[1] else { panic!("{nodes:?}") };
        let Node::Test(Test { operand: Operand::One(text), .. }) = &inner[0] else { panic!("{inner:?}") };
        assert_eq!((text.value.as_str(), text.quoted), ("x,*y", true));
        let Node::Test(Test { negated: true, operator: Operator::In, .. }) = &inner[1] else { panic!("{inner:?}") };
        let Node::Test(Test { path, .. }) = &nodes[2] else { panic!("{nodes:?}") };
        assert_eq!(path.keys, [Key::Name("e".into()), Key::Index(0)]);
        assert!(path.as_text);
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        assert!(path(&mut Scanner::new(&format!("a{}", "->b".repeat(MAX_STEPS)))).is_ok());
        assert!(path(&mut Scanner::new(&format!("a{}", "->b".repeat(MAX_STEPS + 1)))).is_err());
        assert!(path(&mut Scanner::new("a->>b\0")).is_err());
        for bad in ["", "(", "()", "(a)", "(a.eq)", "(a.eq.1", "(a.eq.1)x", "(a.eq(any).1)", "(a.in.1)", "(.eq.1)"] {
            assert!(group(true, false, bad).is_err(), "{bad}");
        }
        let deep = "or(".repeat(20);
        assert!(group(true, false, &format!("({deep}a.eq.1)")).is_err());
    }

    #[test]
    fn a_brace_in_quotes_ends_no_list() {
        let nodes = group_of(r#"(tags.cs.{"a}b",c},d.eq.1)"#);
        let Node::Test(Test { operand: Operand::One(text), .. }) = &nodes[0] else { panic!("{nodes:?}") };
        assert_eq!((text.value.as_str(), nodes.len()), (r#"{"a}b",c}"#, 2));
        let Node::Test(Test { operand: Operand::One(text), .. }) = &group_of(r#"(value.cs.{"a":{"b":1}})"#)[0] else {
            panic!("a document")
        };
        assert_eq!(text.value, r#"{"a":{"b":1}}"#);
        assert!(group(true, false, r#"(tags.cs.{"a})"#).is_err());
    }

    #[test]
    fn a_parameter_takes_its_value_as_it_stands() {
        let path = Path { column: "name".into(), keys: Vec::new(), as_text: false };
        let Node::Test(test) = parameter(path, "not.eq.a,(b).\"c").unwrap() else { unreachable!() };
        assert!(test.negated);
        assert_eq!(test.operand, Operand::One(Text { value: "a,(b).\"c".into(), quoted: false }));
    }
}
