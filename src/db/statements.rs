//! Prepared statements of one connection, bounded.
//!
//! A statement belongs to a tenant as much as to its text: PostgreSQL resolves names when it prepares, under that
//! tenant's `search_path`. Preparing costs a round trip, so only the second use of a text is prepared.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;

use tokio_postgres::Statement;
use uuid::Uuid;

/// A tenant and a statement's text as 128 bits under keys of this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64, u64);

/// What this connection knows of a text.
pub enum Known {
    /// Never sent.
    New,
    /// Sent once.
    Seen,
    /// Prepared.
    Ready(Statement),
}

/// Two generations: what was not used during a whole generation is forgotten, and closed on the server.
pub struct Statements {
    hashers: [RandomState; 2],
    young: HashMap<Key, Option<Statement>>,
    old: HashMap<Key, Option<Statement>>,
    capacity: usize,
}

impl Statements {
    /// Room for about `capacity` statements.
    pub fn new(capacity: usize) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        Self { hashers, young: HashMap::new(), old: HashMap::new(), capacity }
    }

    /// The key of a text in a tenant.
    pub fn key(&self, tenant: Uuid, text: &str) -> Key {
        Key(self.hashers[0].hash_one((tenant, text)), self.hashers[1].hash_one((tenant, text)))
    }

    /// Looks a text up and remembers that it was used.
    pub fn touch(&mut self, key: Key) -> Known {
        let found = self.young.get(&key).cloned().or_else(|| self.old.remove(&key));
        let known = match &found {
            None => Known::New,
            Some(None) => Known::Seen,
            Some(Some(statement)) => Known::Ready(statement.clone()),
        };
        self.store(key, found.flatten());
        known
    }

    /// Keeps a prepared statement.
    pub fn keep(&mut self, key: Key, statement: Statement) {
        self.store(key, Some(statement));
    }

    /// Forgets a statement that the server no longer accepts.
    pub fn forget(&mut self, key: Key) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    fn store(&mut self, key: Key, statement: Option<Statement>) {
        self.young.insert(key, statement);
        if self.young.len() > self.capacity / 2 {
            self.old = mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_use_is_known_and_the_unused_is_forgotten() {
        let mut statements = Statements::new(8);
        let tenant = Uuid::from_u128(1);
        let key = statements.key(tenant, "select 1");
        assert!(matches!(statements.touch(key), Known::New));
        assert!(matches!(statements.touch(key), Known::Seen));
        assert!(key != statements.key(Uuid::from_u128(2), "select 1"), "another tenant, another statement");
        for n in 0..16 {
            let key = statements.key(tenant, &format!("select {n} + 100"));
            statements.touch(key);
        }
        assert!(matches!(statements.touch(key), Known::New));
        assert!(statements.young.len() + statements.old.len() <= 9);
    }
}
