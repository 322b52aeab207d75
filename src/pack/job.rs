//! What the service does by itself: `[job.expire_holds]`, how often, and the function of it.

use std::time::Duration;

use super::catalog::Job;
use super::check::{Complaint, did_you_mean};
use super::manifest::{JobEntry, Manifest};
use super::source::Pack;
use super::template::Shape;
use crate::ident::Ident;

const UNITS: [(&str, u64); 3] = [("minute", 60), ("hour", 3600), ("day", 86_400)];
/// The longest time between two runs.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// `5 minutes` as a time, from a minute to 31 days.
fn every(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_once(' ')?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| unit.strip_suffix('s').unwrap_or(unit) == *name)?;
    let time = Duration::from_secs(number.parse::<u32>().ok().filter(|number| *number > 0).map(u64::from)? * seconds);
    (time <= LONGEST).then_some(time)
}

/// What a manifest alone can tell.
pub fn check(manifest: &Manifest, complain: &mut impl FnMut(&str, String)) {
    for (name, entry) in &manifest.job {
        if Ident::new(&**name).is_err() {
            complain(&format!("[job.{name}]"), format!("`{name}` cannot be the name of a job"));
        }
        if every(&entry.every).is_none() {
            let why =
                format!("job `{name}`: `every` is a time such as `5 minutes`, `1 hour` or `1 day`, at most 31 days");
            complain(&entry.every, why);
        }
    }
}

/// A job as PostgreSQL knows it.
pub fn job(pack: &Pack, name: &str, entry: &JobEntry, shape: &Shape) -> Result<Job, Complaint> {
    let complain = |why: String| Complaint::in_section(pack, &format!("job.{name}"), &entry.function, why);
    let mut possible = shape.functions.iter().filter(|function| function.names.is_empty());
    let known: Vec<String> = possible.clone().map(|function| function.name.clone()).collect();
    let Some(function) = possible.find(|function| function.name == entry.function) else {
        let hint = did_you_mean(&entry.function, &known);
        return Err(complain(format!("there is no function `{}` without arguments{hint}", entry.function)));
    };
    if !matches!(&*function.result, "integer" | "bigint") {
        return Err(complain(format!("function `{}` must return int or bigint: what it did", entry.function)));
    }
    let unusable = |_| complain(format!("`{name}` needs plain names"));
    Ok(Job {
        name: Ident::new(name).map_err(unusable)?,
        module: pack.manifest.code.clone(),
        function: Ident::new(&*function.name).map_err(unusable)?,
        every: every(&entry.every).ok_or_else(|| complain("`every` is not a time".to_owned()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_minutes_hours_and_days() {
        for (text, seconds) in [
            ("1 minute", Some(60)),
            ("5 minutes", Some(300)),
            ("1 hour", Some(3600)),
            ("31 days", Some(2_678_400)),
            ("32 days", None),
            ("0 days", None),
            ("-1 days", None),
            ("1 week", None),
            ("day", None),
            ("1  day", None),
            ("4294967295 days", None),
        ] {
            assert_eq!(every(text).map(|time| time.as_secs()), seconds, "{text}");
        }
    }
}
