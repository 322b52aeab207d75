//! Conditions whose columns exist and whose values fit them.

use super::{Shape, Spot, refuse};
use crate::error::Result;
use crate::pack::{Column, Kind};
use crate::resource::body::column_text;
use crate::resource::parse::{self, Node, Operator, Quantifier, Test, Text};
use crate::sql::Value;

/// Text search configurations of every PostgreSQL.
const LANGUAGES: [&str; 29] = [
    "simple",
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
];

/// The function of text search queries with a grammar.
const QUERY: &str = "to_tsquery";

/// The signs of regular expressions, with and without regard to case.
const EXPRESSIONS: [&str; 2] = [" ~ ", " ~* "];

/// What a spot is compared to.
#[derive(Debug)]
pub enum Operand {
    /// A value of the spot's own type.
    Plain(Value),
    /// A JSON document.
    Json(Value),
    /// An array of values of the spot's own type, of which any or all must fit.
    Many(Quantifier, Value),
}

/// A condition on a row.
#[derive(Debug)]
pub enum Condition<'a> {
    /// `spot operator operand`
    Compare(Spot<'a>, &'static str, Operand),
    /// ` is null`, ` is true`, …
    Is(Spot<'a>, &'static str),
    /// A full text search: configuration, function of the query, query.
    Words(Spot<'a>, &'static str, &'static str, Value),
    /// The opposite.
    Not(Box<Self>),
    /// One of several.
    Any(Vec<Self>),
    /// All of several.
    All(Vec<Self>),
}

/// Plans conditions.
pub fn conditions<'a>(shape: Shape<'a>, nodes: &'a [Node]) -> Result<Vec<Condition<'a>>> {
    nodes.iter().map(|node| condition(shape, node)).collect()
}

fn condition<'a>(shape: Shape<'a>, node: &'a Node) -> Result<Condition<'a>> {
    let (negated, planned) = match node {
        Node::Test(test) => (test.negated, planned(shape, test)?),
        Node::Group { negated, any, nodes } => {
            let members = conditions(shape, nodes)?;
            (*negated, if *any { Condition::Any(members) } else { Condition::All(members) })
        }
    };
    Ok(if negated { Condition::Not(Box::new(planned)) } else { planned })
}

/// Every word must be found in one of the columns that the manifest names.
pub fn search<'a>(shape: Shape<'a>, words: &[String]) -> Result<Vec<Condition<'a>>> {
    let names = shape.resource.map_or(&[][..], |resource| &resource.search);
    let columns: Vec<&Column> = shape.columns.iter().filter(|column| names.contains(&column.name)).collect();
    if columns.is_empty() && !words.is_empty() {
        return Err(refuse("q", "invalid_parameter", "has no meaning here: nothing in these records is searched"));
    }
    let within = |word: &String, column: &'a Column| {
        let literal = word.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
        let spot = Spot { column, keys: &[], as_text: false };
        Condition::Compare(spot, " ilike ", Operand::Plain(Value::text(format!("%{literal}%"))))
    };
    Ok(words.iter().map(|word| Condition::Any(columns.iter().map(|&column| within(word, column)).collect())).collect())
}

impl<'a> Condition<'a> {
    /// Columns that are compared with values which only PostgreSQL can judge, such as an interval.
    pub fn judged(&self, found: &mut Vec<&'a str>) {
        match self {
            Self::Compare(spot, sign, _) => {
                let opaque = matches!(spot.column.kind, Kind::Other | Kind::Array | Kind::Json);
                found.extend((opaque || EXPRESSIONS.contains(sign)).then(|| spot.column.name.as_str()));
            }
            Self::Words(spot, _, function, _) => {
                found.extend((*function == QUERY).then(|| spot.column.name.as_str()));
            }
            Self::Is(..) => {}
            Self::Not(inner) => inner.judged(found),
            Self::Any(members) | Self::All(members) => members.iter().for_each(|member| member.judged(found)),
        }
    }
}

fn planned<'a>(shape: Shape<'a>, test: &'a Test) -> Result<Condition<'a>> {
    let name = test.path.column.as_str();
    let spot = shape.spot(&test.path, name)?;
    let unfit = |detail: String| refuse(name, "invalid_value", detail);
    match (test.operator, &test.operand) {
        (Operator::Is, parse::Operand::One(text)) => is(spot, &text.value).map_err(unfit),
        (operator, parse::Operand::One(text)) if operator.is_full_text() => words(spot, test, text).map_err(unfit),
        (operator, operand) => {
            let allowed = |name| shape.resource.is_some_and(|resource| resource.regex.contains(name));
            if matches!(operator, Operator::Match | Operator::Imatch) && !allowed(&spot.column.name) {
                return Err(unfit("cannot be matched against regular expressions".to_owned()));
            }
            let sign = sign(operator, spot.kind()).map_err(unfit)?;
            Ok(Condition::Compare(spot, sign, compared(spot, operator, operand).map_err(unfit)?))
        }
    }
}

fn is<'a>(spot: Spot<'a>, word: &str) -> Result<Condition<'a>, String> {
    let state = match word {
        "null" => " is null",
        "not_null" => " is not null",
        "true" if spot.kind() == Kind::Boolean => " is true",
        "false" if spot.kind() == Kind::Boolean => " is false",
        "unknown" if spot.kind() == Kind::Boolean => " is unknown",
        _ => return Err("after `is.` comes null or not_null, for booleans true, false or unknown too".to_owned()),
    };
    Ok(Condition::Is(spot, state))
}

fn words<'a>(spot: Spot<'a>, test: &Test, query: &Text) -> Result<Condition<'a>, String> {
    if spot.kind() != Kind::Text {
        return Err("words are searched in texts only".to_owned());
    }
    let asked = test.language.as_deref().unwrap_or("simple");
    let language = LANGUAGES.iter().find(|known| **known == asked);
    let language = language.ok_or_else(|| format!("`{asked}` is not a language; {} are", LANGUAGES.join(", ")))?;
    let function = match test.operator {
        Operator::Fts => QUERY,
        Operator::Phfts => "phraseto_tsquery",
        Operator::Wfts => "websearch_to_tsquery",
        _ => "plainto_tsquery",
    };
    Ok(Condition::Words(spot, language, function, Value::text(without_nul(&query.value)?)))
}

/// The operator in SQL, if the type has it.
fn sign(operator: Operator, kind: Kind) -> Result<&'static str, String> {
    use Operator::{Cd, Cs, Eq, Gt, Gte, Ilike, Imatch, In, IsDistinct, Like, Lt, Lte, Match, Neq, Ov};
    let is_set = matches!(kind, Kind::Array | Kind::DateRange | Kind::IntegerRange | Kind::NumericRange | Kind::Other);
    let (sign, fits) = match operator {
        Eq | In => (" = ", kind != Kind::Array),
        Neq => (" <> ", kind != Kind::Array),
        IsDistinct => (" is distinct from ", kind != Kind::Array),
        Gt => (" > ", !matches!(kind, Kind::Json | Kind::Array)),
        Gte => (" >= ", !matches!(kind, Kind::Json | Kind::Array)),
        Lt => (" < ", !matches!(kind, Kind::Json | Kind::Array)),
        Lte => (" <= ", !matches!(kind, Kind::Json | Kind::Array)),
        Like => (" like ", kind == Kind::Text),
        Ilike => (" ilike ", kind == Kind::Text),
        Match => (EXPRESSIONS[0], kind == Kind::Text),
        Imatch => (EXPRESSIONS[1], kind == Kind::Text),
        Cs => (" @> ", is_set || matches!(kind, Kind::Json)),
        Cd => (" <@ ", is_set || matches!(kind, Kind::Json)),
        Ov => (" && ", is_set),
        Operator::Is | Operator::Fts | Operator::Plfts | Operator::Phfts | Operator::Wfts => ("", false),
    };
    if fits { Ok(sign) } else { Err("columns of this type cannot be compared this way".to_owned()) }
}

fn compared(spot: Spot<'_>, operator: Operator, operand: &parse::Operand) -> Result<Operand, String> {
    let pattern = matches!(operator, Operator::Like | Operator::Ilike);
    let one = |text: &Text| if pattern { like(text) } else { scalar(spot, &text.value) };
    match operand {
        parse::Operand::Many(..) if spot.kind() == Kind::Json => {
            Err("JSON documents are compared one at a time; `->>` gives text".to_owned())
        }
        parse::Operand::Many(quantifier, texts) => {
            let values = texts.iter().map(one).collect::<Result<Vec<_>, _>>()?;
            Ok(Operand::Many(*quantifier, Value::array(values.iter().map(|value| Some(value.as_str())))))
        }
        parse::Operand::One(text) if spot.kind() == Kind::Json => {
            let json: serde_json::Value =
                serde_json::from_str(&text.value).map_err(|_| "must be a JSON value".to_owned())?;
            Ok(Operand::Json(Value::text(without_nul(&json.to_string())?)))
        }
        parse::Operand::One(text) if spot.kind() == Kind::Array => {
            let inside = text.value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let inside = inside.ok_or_else(|| "must be a list such as {a,b}".to_owned())?;
            let items = parse::list(inside).map_err(|_| "must be a list such as {a,b}".to_owned())?;
            let items = items.into_iter().map(|text| without_nul(&text.value)).collect::<Result<Vec<_>, _>>()?;
            Ok(Operand::Plain(Value::array(items.iter().map(|item| Some(item.as_str())))))
        }
        parse::Operand::One(text) => one(text).map(|text| Operand::Plain(Value::text(text))),
    }
}

fn scalar(spot: Spot<'_>, text: &str) -> Result<String, String> {
    if spot.keys.is_empty() { column_text(spot.column, text) } else { without_nul(text) }
}

/// `*` stands for `%` unless the pattern is in quotes.
fn like(text: &Text) -> Result<String, String> {
    let pattern = if text.quoted { text.value.clone() } else { text.value.replace('*', "%") };
    let escapes = pattern.len() - pattern.trim_end_matches('\\').len();
    if escapes % 2 == 1 {
        return Err("a pattern cannot end with a single `\\`".to_owned());
    }
    without_nul(&pattern)
}

fn without_nul(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err("must not contain a NUL character".to_owned()) } else { Ok(text.to_owned()) }
}
