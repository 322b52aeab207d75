//! A chain of entries, followed link by link. Pure: it knows no database.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// An entry as it stands in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub seq: i64,
    /// What its hash should be.
    pub hash: Vec<u8>,
    /// What the hash covers besides the hash before.
    pub content: String,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// An entry was changed, put in, or its hash was.
    Changed,
    /// An entry lacks.
    Missing,
    /// The entries up to here are others than those that were anchored.
    Rewritten,
    /// An entry was never numbered: the trigger that does it was off.
    Unnumbered,
    /// The end that the chain remembers is another one.
    End,
}

impl Damage {
    /// A word for scripts.
    pub fn code(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Rewritten => "rewritten",
            Self::Unnumbered => "unnumbered",
            Self::End => "end",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "it was changed or put in",
            Self::Missing => "it is missing",
            Self::Rewritten => "it is another one than was anchored: the chain was rewritten",
            Self::Unnumbered => "it was never numbered: its trigger was off",
            Self::End => "the chain remembers another end",
        })
    }
}

/// The first thing that is wrong with a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The number of the entry.
    pub seq: i64,
    /// What is wrong with it.
    pub damage: Damage,
}

/// Follows a chain from its beginning.
pub struct Follower {
    seq: i64,
    hash: Hash,
    anchors: BTreeMap<i64, Vec<u8>>,
}

impl Follower {
    /// At the beginning of the chain of a schema, with the hashes that are known from elsewhere, by number.
    pub fn new(schema: &str, anchors: BTreeMap<i64, Vec<u8>>) -> Self {
        Self { seq: 0, hash: Sha256::digest(schema).into(), anchors }
    }

    /// Entries followed so far.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// Goes on to the next entry.
    pub fn follow(&mut self, link: &Link) -> Result<(), Fault> {
        let seq = self.seq + 1;
        let fault = |damage| Err(Fault { seq, damage });
        if link.seq != seq {
            return fault(if link.seq > seq { Damage::Missing } else { Damage::Changed });
        }
        let hash: Hash = Sha256::new().chain_update(self.hash).chain_update(&link.content).finalize().into();
        if link.hash != hash {
            return fault(Damage::Changed);
        }
        if self.anchors.remove(&seq).is_some_and(|anchor| anchor != hash) {
            return fault(Damage::Rewritten);
        }
        (self.seq, self.hash) = (seq, hash);
        Ok(())
    }

    /// No entry is left, and the chain remembers this end. Gives the number of entries.
    pub fn end(self, seq: i64, hash: &[u8]) -> Result<i64, Fault> {
        let next = self.seq + 1;
        if seq > self.seq || !self.anchors.is_empty() {
            return Err(Fault { seq: next, damage: Damage::Missing });
        }
        if (seq, hash) != (self.seq, &self.hash) {
            return Err(Fault { seq: self.seq, damage: Damage::End });
        }
        Ok(self.seq)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn chain(contents: &[String]) -> Vec<Link> {
        let mut hash: Hash = Sha256::digest("tenant_acme").into();
        let link = |(seq, content): (i64, &String)| {
            hash = Sha256::new().chain_update(hash).chain_update(content).finalize().into();
            Link { seq, hash: hash.to_vec(), content: content.clone() }
        };
        (1..).zip(contents).map(link).collect()
    }

    fn verify(links: &[Link], end: (i64, &[u8]), anchors: &BTreeMap<i64, Vec<u8>>) -> Result<i64, Fault> {
        let mut follower = Follower::new("tenant_acme", anchors.clone());
        links.iter().try_for_each(|link| follower.follow(link))?;
        follower.end(end.0, end.1)
    }

    /// What somebody does who can write the tables but not the anchors.
    #[derive(Debug, Clone)]
    enum Tampering {
        Edit(Index, Index, u8),
        Hash(Index, Index, u8),
        Remove(Index),
        Insert(Index, String),
        Swap(Index, Index),
        Renumber(Index, i64),
        CutTail(Index),
        /// Changes an entry and makes all later hashes, and the end, fit again.
        Rechain(Index, String),
        /// The same with a removal.
        RechainWithout(Index),
    }

    fn tampering() -> impl Strategy<Value = Tampering> {
        let at = any::<Index>;
        prop_oneof![
            (at(), at(), 1u8..).prop_map(|(entry, place, bits)| Tampering::Edit(entry, place, bits)),
            (at(), at(), 1u8..).prop_map(|(entry, place, bits)| Tampering::Hash(entry, place, bits)),
            at().prop_map(Tampering::Remove),
            (at(), ".{0,8}").prop_map(|(place, text)| Tampering::Insert(place, text)),
            (at(), at()).prop_map(|(one, other)| Tampering::Swap(one, other)),
            (at(), any::<i64>()).prop_map(|(entry, seq)| Tampering::Renumber(entry, seq)),
            at().prop_map(Tampering::CutTail),
            (at(), ".{0,8}").prop_map(|(entry, text)| Tampering::Rechain(entry, text)),
            at().prop_map(Tampering::RechainWithout),
        ]
    }

    /// Whether anything is another than before.
    fn tamper(links: &mut Vec<Link>, end: &mut (i64, Vec<u8>), tampering: &Tampering) -> bool {
        let before = links.clone();
        let count = links.len();
        let rechain = |links: &mut Vec<Link>, end: &mut (i64, Vec<u8>)| {
            let contents: Vec<String> = links.iter().map(|link| link.content.clone()).collect();
            *links = chain(&contents);
            *end =
                links.last().map_or((0, Sha256::digest("tenant_acme").to_vec()), |link| (link.seq, link.hash.clone()));
        };
        match tampering {
            Tampering::Edit(entry, place, bits) => {
                let link = &mut links[entry.index(count)];
                let mut bytes = link.content.clone().into_bytes();
                let at = place.index(bytes.len());
                bytes[at] = bytes[at].wrapping_add(*bits) & 0x7f;
                link.content = String::from_utf8_lossy(&bytes).into_owned();
            }
            Tampering::Hash(entry, place, bits) => links[entry.index(count)].hash[place.index(32)] ^= bits,
            Tampering::Remove(entry) => drop(links.remove(entry.index(count))),
            Tampering::Insert(place, text) => {
                let at = place.index(count + 1);
                let (seq, hash) = (at as i64 + 1, vec![7; 32]);
                links.insert(at, Link { seq, hash, content: text.clone() });
            }
            Tampering::Swap(one, other) => links.swap(one.index(count), other.index(count)),
            Tampering::Renumber(entry, seq) => links[entry.index(count)].seq = *seq,
            Tampering::CutTail(place) => {
                links.truncate(place.index(count));
                *end = links.last().map_or((0, Sha256::digest("tenant_acme").to_vec()), |l| (l.seq, l.hash.clone()));
            }
            Tampering::Rechain(entry, text) => {
                links[entry.index(count)].content.clone_from(text);
                rechain(links, end);
            }
            Tampering::RechainWithout(entry) => {
                links.remove(entry.index(count));
                rechain(links, end);
            }
        }
        *links != before
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn every_tampering_is_found_at_or_before_the_first_entry_that_it_touched(
            contents in proptest::collection::vec("[ -~]{1,20}", 1..12),
            tampering in tampering(),
        ) {
            let honest = chain(&contents);
            let end = honest.last().map(|link| (link.seq, link.hash.clone())).unwrap();
            let anchors = BTreeMap::from([(end.0, end.1.clone())]);
            prop_assert_eq!(verify(&honest, (end.0, &end.1), &anchors), Ok(end.0));
            let (mut links, mut told_end) = (honest.clone(), end);
            prop_assume!(tamper(&mut links, &mut told_end, &tampering));
            let fault = verify(&links, (told_end.0, &told_end.1), &anchors).unwrap_err();
            let touched = honest.iter().zip(&links).position(|(was, is)| was != is).unwrap_or(honest.len().min(links.len()));
            let rewritten = matches!(tampering, Tampering::Rechain(..) | Tampering::RechainWithout(..));
            prop_assert!(rewritten || fault.seq <= touched as i64 + 1, "{:?} {:?}", fault, tampering);
        }
    }

    #[test]
    fn the_fault_is_named() {
        let honest = chain(&["a", "b", "c"].map(str::to_owned));
        let end = (3, honest[2].hash.clone());
        let none = BTreeMap::new();
        let found = |links: &[Link], anchors| verify(links, (end.0, &end.1), anchors).unwrap_err();
        let mut changed = honest.clone();
        changed[1].content.push('x');
        assert_eq!(found(&changed, &none), Fault { seq: 2, damage: Damage::Changed });
        let mut missing = honest.clone();
        missing.remove(1);
        assert_eq!(found(&missing, &none), Fault { seq: 2, damage: Damage::Missing });
        assert_eq!(found(&honest[..2], &none), Fault { seq: 3, damage: Damage::Missing });
        assert_eq!(verify(&honest, (2, &honest[1].hash), &none), Err(Fault { seq: 3, damage: Damage::End }));
        let anchor = BTreeMap::from([(2, vec![0; 32])]);
        assert_eq!(found(&honest, &anchor), Fault { seq: 2, damage: Damage::Rewritten });
    }
}
