//! Drift: what a tenant's schema has come to be, against what the packs of this program would make of it today.
//!
//! The measure is a tenant that is made for the purpose, with the same packs and the same modules switched off, and undone
//! again. Schemas are compared by a fingerprint of all that they are made of; of those that differ every thing is named.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_postgres::Row;
use uuid::Uuid;

use super::{Platform, modules};
use crate::db::{BucketId, Place, Transaction};
use crate::error::{Error, Result};
use crate::ident::Ident;
use crate::pack::{Pack, audit_sql, disable_sql, install_sql, schema_sql};
use crate::tenant::place_of;

const OBJECTS: &str = include_str!("objects.sql");

/// The schema of the measure; it is never committed.
const MEASURE: &str = "insula_measure";

/// Schemas compared by one statement.
const AT_ONCE: usize = 50;

/// What came of the comparison of one tenant.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Its name in URLs.
    pub subdomain: String,
    /// Where it lives.
    pub place: Arc<Place>,
    /// What was found.
    pub verdict: Likeness,
}

/// Whether a schema is what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Likeness {
    /// It is.
    Equal,
    /// It is not; in the order in which repairs can be run.
    Different(Vec<Difference>),
    /// Packs are behind or unknown to this program: it is not compared.
    Behind(Vec<String>),
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `table`, `column`, `function`, `grant`, ….
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// In what way it differs.
    pub how: How,
    /// SQL for the owner role with the schema in its path; a comment where only people can decide.
    pub repair: String,
}

/// In what way a thing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is not there.
    Missing,
    /// It is another one.
    Altered,
    /// Nobody should have made it.
    Extra,
}

impl How {
    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Extra => "extra",
        }
    }
}

/// Packs, each with whether its module is switched off.
type Outfit = Vec<(String, bool)>;

struct Candidate {
    subdomain: String,
    place: Arc<Place>,
}

/// SQL of a thing, by its place in the order of making, its kind and its name.
type Things = BTreeMap<(i32, String, String), Thing>;

#[derive(Debug, Clone)]
struct Thing {
    make: String,
    unmake: Option<String>,
    amend: Option<String>,
}

/// Compares all tenants, or one, with what their packs would make today; `tell` hears of each. Nothing is changed.
pub async fn compare_schemas(platform: &Platform, only: Option<&str>, mut tell: impl FnMut(Compared)) -> Result<()> {
    let mut groups: BTreeMap<Outfit, Vec<Candidate>> = BTreeMap::new();
    for row in candidates(platform, only).await? {
        let candidate = Candidate { subdomain: row.get(6), place: Arc::new(read_place(&row)?) };
        let (packs, versions, off): (Vec<String>, Vec<i32>, Vec<bool>) = (row.get(7), row.get(8), row.get(9));
        let newest = |code: &str| platform.catalog.packs().get(code).map(Pack::version);
        let pairs = packs.iter().zip(&versions);
        let behind: Vec<String> = pairs
            .filter(|(code, version)| newest(code) != Some(**version))
            .map(|(code, version)| format!("{code} {version}"))
            .collect();
        if behind.is_empty() {
            groups.entry(packs.into_iter().zip(off).collect()).or_default().push(candidate);
        } else {
            tell(candidate.found(Likeness::Behind(behind)));
        }
    }
    for (outfit, candidates) in groups {
        let (fingerprint, wanted) = measure(platform, &outfit, &candidates[0].place).await?;
        for some in candidates.chunks(AT_ONCE) {
            let found = fingerprints(platform, some).await?;
            for candidate in some {
                let verdict = match found.get(candidate.place.schema.as_str()) {
                    Some(other) if *other == fingerprint => Likeness::Equal,
                    Some(_) => Likeness::Different(differences(platform, &candidate.place, &wanted).await?),
                    None => Likeness::Different(vec![no_schema(&candidate.place)]),
                };
                tell(candidate.found(verdict));
            }
        }
    }
    Ok(())
}

async fn candidates(platform: &Platform, only: Option<&str>) -> Result<Vec<Row>> {
    let sql = "select t.id, t.schema_name, t.role_name, t.bucket_id, b.owner_role, t.timezone, t.subdomain,
          array_agg(p.pack order by p.pack), array_agg(p.version order by p.pack),
          array_agg(coalesce(not o.enabled and coalesce(o.expires_at > now(), true), false) order by p.pack)
        from public.tenants t
        join public.buckets b on b.id = t.bucket_id
        join public.tenant_packs p on p.tenant_id = t.id
        left join public.tenant_module_overrides o on o.tenant_id = t.id and o.module_code = p.pack
        where t.state in ('active', 'suspended') and ($1::text is null or t.subdomain = $1)
        group by t.id, b.owner_role order by t.subdomain";
    Ok(platform.database.control().await?.query(sql, &[&only]).await?)
}

pub(super) fn read_place(row: &Row) -> Result<Place> {
    let timezone: String = row.get(5);
    place_of(row.get(0), row.get(1), row.get(2), BucketId(row.get(3)), row.get(4), &timezone)
}

impl Candidate {
    fn found(&self, verdict: Likeness) -> Compared {
        Compared { subdomain: self.subdomain.clone(), place: self.place.clone(), verdict }
    }
}

/// Makes a tenant with these packs, looks at it, and undoes it.
async fn measure(platform: &Platform, outfit: &Outfit, like: &Place) -> Result<(String, Things)> {
    let instance = platform.database.instance().as_str();
    let place = Place {
        tenant: Uuid::nil(),
        schema: Ident::new(MEASURE)?,
        role: Ident::new(format!("{instance}_measure"))?,
        ..like.clone()
    };
    let login = Ident::new(format!("{instance}_b{}", like.bucket.0))?;
    let mut sql = schema_sql(&place, &login) + &modules::seat_sql(&place);
    let packs = platform.catalog.packs().iter();
    for (pack, off) in
        packs.filter_map(|pack| Some((pack, outfit.iter().find(|(code, _)| *code == pack.manifest.code)?.1)))
    {
        sql.push_str(&install_sql(&platform.catalog, pack, &place)?);
        if off {
            sql.push_str(&disable_sql(pack, &place)?);
        }
    }
    sql.push_str(&audit_sql(&platform.catalog, &place));
    sql.push_str(modules::LEAVE_SEAT);
    let mut tx = platform.database.control().await?.begin().await?;
    tx.take_time().await?;
    tx.batch(&sql).await?;
    let of = [(place.schema.as_str(), place.role.as_str())];
    let fingerprint = fingerprints_in(&mut tx, &of).await?.remove(MEASURE);
    let things = things_in(&mut tx, &place).await?;
    tx.rollback().await?;
    Ok((fingerprint.ok_or_else(|| Error::internal("the measure was not made"))?, things))
}

async fn fingerprints(platform: &Platform, some: &[Candidate]) -> Result<BTreeMap<String, String>> {
    let of: Vec<_> = some.iter().map(|it| (it.place.schema.as_str(), it.place.role.as_str())).collect();
    let mut tx = platform.database.control().await?.begin().await?;
    tx.take_time().await?;
    let found = fingerprints_in(&mut tx, &of).await?;
    tx.commit().await?;
    Ok(found)
}

async fn fingerprints_in(tx: &mut Transaction, of: &[(&str, &str)]) -> Result<BTreeMap<String, String>> {
    let (schemas, roles): (Vec<&str>, Vec<&str>) = of.iter().copied().unzip();
    let sql = format!(
        "select q.schema, md5(string_agg(concat_ws(' ', q.kind, q.name, q.make), e'\\n' order by q.place, q.kind, q.name collate \"C\", q.make))
         from ({OBJECTS}) q group by q.schema"
    );
    Ok(tx.query(&sql, &[&schemas, &roles]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn things_in(tx: &mut Transaction, place: &Place) -> Result<Things> {
    let rows = tx.query(OBJECTS, &[&vec![place.schema.as_str()], &vec![place.role.as_str()]]).await?;
    let read = |row: &Row| {
        let thing = Thing { make: row.get(4), unmake: row.get(5), amend: row.get(6) };
        ((row.get(0), row.get(2), row.get(3)), thing)
    };
    Ok(rows.iter().map(read).collect())
}

async fn differences(platform: &Platform, place: &Place, wanted: &Things) -> Result<Vec<Difference>> {
    let mut tx = platform.database.control().await?.begin().await?;
    let there = things_in(&mut tx, place).await?;
    tx.commit().await?;
    Ok(compare(wanted, &there).into_iter().map(|found| found.at(place)).collect())
}

/// What is missing or another one comes in the order of making.
fn compare(wanted: &Things, there: &Things) -> Vec<Difference> {
    let keys: BTreeSet<_> = wanted.keys().chain(there.keys()).collect();
    let differ = |key: &&(i32, String, String)| {
        let (how, repair) = match (wanted.get(*key), there.get(*key)) {
            (Some(wanted), Some(there)) if wanted.make == there.make => return None,
            (Some(wanted), None) => (How::Missing, format!("{};", wanted.make)),
            (Some(wanted), Some(there)) => (How::Altered, amendment(wanted, there)),
            (None, Some(there)) => {
                (How::Extra, there.unmake.as_ref().map_or_else(String::new, |sql| format!("{sql};")))
            }
            (None, None) => return None,
        };
        Some(Difference { kind: key.1.clone(), name: key.2.clone(), how, repair })
    };
    keys.iter().filter_map(differ).collect()
}

fn amendment(wanted: &Thing, there: &Thing) -> String {
    match (&wanted.amend, &there.unmake) {
        (Some(amend), _) => format!("{amend};"),
        (None, Some(unmake)) => format!("{unmake};\n{};", wanted.make),
        (None, None) => format!("{};", wanted.make),
    }
}

fn no_schema(place: &Place) -> Difference {
    Difference {
        kind: "schema".to_owned(),
        name: place.schema.as_str().to_owned(),
        how: How::Missing,
        repair: "-- nothing of the tenant is left here: only a backup can bring it back".to_owned(),
    }
}

impl Difference {
    fn at(self, place: &Place) -> Self {
        let fill = |text: &str| {
            let text = text.replace("'@schema@'", &format!("'{}'", place.schema.as_str()));
            let text = text.replace("@schema@", &place.schema.to_string());
            text.replace("@role@", &place.role.to_string()).replace("@owner@", &place.owner.to_string())
        };
        Self { name: fill(&self.name), repair: fill(&self.repair), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things(of: &[(&str, &str)]) -> Things {
        let thing = |(name, make): &(&str, &str)| {
            let (make, unmake) = ((*make).to_owned(), Some(format!("drop {name}")));
            ((1, "index".to_owned(), (*name).to_owned()), Thing { make, unmake, amend: None })
        };
        of.iter().map(thing).collect()
    }

    #[test]
    fn what_is_missing_altered_or_extra_is_named_with_its_repair() {
        let found =
            compare(&things(&[("a", "A"), ("b", "B"), ("c", "C")]), &things(&[("a", "A"), ("b", "X"), ("d", "D")]));
        let told: Vec<_> = found.iter().map(|one| (&*one.name, one.how, &*one.repair)).collect();
        assert_eq!(told, [("b", How::Altered, "drop b;\nB;"), ("c", How::Missing, "C;"), ("d", How::Extra, "drop d;")]);
    }
}
