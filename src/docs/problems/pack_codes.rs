//! Codes in the SQL of packs: `app_fail('AP409', 'closed', 'A closed deal …', 'field')`.

use super::PackProblem;

/// All refusals that a file raises.
pub fn raised(pack: &str, sql: &str) -> Vec<PackProblem> {
    sql.split("app_fail(").skip(1).filter_map(|rest| call(pack, rest)).collect()
}

fn call(pack: &str, text: &str) -> Option<PackProblem> {
    let (state, text) = literal(text)?;
    let (code, text) = literal(text.trim_start().strip_prefix(',')?)?;
    let text = text.trim_start().strip_prefix(',')?.trim_start();
    let (sentence, rest) = match text.strip_prefix("format(") {
        Some(inside) => {
            let (sentence, rest) = literal(inside)?;
            (sentence, behind_bracket(rest))
        }
        None => literal(text)?,
    };
    let field = rest.trim_start().strip_prefix(',').map(|rest| match literal(rest) {
        Some((field, _)) => field,
        None => "the field at fault".to_owned(),
    });
    let status = state.strip_prefix("AP")?.parse().ok()?;
    Some(PackProblem { code, pack: pack.to_owned(), status, field, sentence: sentence.replace("%s", "…") })
}

/// A literal at the beginning, with doubled quotes undone, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let inside = text.trim_start().strip_prefix('\'')?;
    let mut value = String::new();
    let mut letters = inside.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match (letter, letters.peek()) {
            ('\'', Some((_, '\''))) => {
                letters.next();
                value.push('\'');
            }
            ('\'', _) => return Some((value, &inside[at + 1..])),
            _ => value.push(letter),
        }
    }
    None
}

/// What follows the bracket that closes an open one.
fn behind_bracket(text: &str) -> &str {
    let mut depth = 1;
    for (at, letter) in text.char_indices() {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return &text[at + 1..];
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_with_sentence_and_field() {
        let sql = "perform app_fail('AP409', 'closed', 'It''s closed.');
            perform app_fail('AP422', 'stage_requires', format('is required in %s', coalesce(s.name, '')), f);
            perform app_fail('AP422', 'reason', 'is needed', 'lost_reason_id');
            execute app_fail(state, code, msg)";
        let found: Vec<_> = raised("CRM", sql)
            .into_iter()
            .map(|problem| (problem.code, problem.status, problem.sentence, problem.field))
            .collect();
        let expect = |code: &str, status, sentence: &str, field: Option<&str>| {
            (code.to_owned(), status, sentence.to_owned(), field.map(str::to_owned))
        };
        assert_eq!(
            found,
            [
                expect("closed", 409, "It's closed.", None),
                expect("stage_requires", 422, "is required in …", Some("the field at fault")),
                expect("reason", 422, "is needed", Some("lost_reason_id")),
            ]
        );
    }
}
