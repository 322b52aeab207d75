//! Attempts to sign in: counted before they are looked at, forgiven when they were right.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::device::Device;
use super::password::Turn;
use super::sign_in::{Account, Authenticator, account_sql};
use super::waits::{Guess, Waits, too_many_wrong};
use crate::access::Caller;
use crate::config;
use crate::db::{Acting, Ending, Place, Scope, Seat, Step};
use crate::error::{Error, Result};
use crate::sql::{Sql, Value};

/// How many attempts are free, and how long the others wait.
pub struct Patience {
    /// Wrong attempts of an account without a wait.
    pub free: i32,
    /// The longest wait in seconds.
    pub longest: i32,
    /// What counts in this process.
    pub waits: Waits,
}

impl From<&config::Auth> for Patience {
    fn from(settings: &config::Auth) -> Self {
        Self {
            free: settings.wrong_per_account.cast_signed(),
            longest: settings.longest_wait_seconds.cast_signed(),
            waits: Waits::new(settings),
        }
    }
}

/// An attempt as the database counted it.
#[derive(Debug, Deserialize)]
pub struct Attempt {
    /// Under which digest, in hexadecimal.
    key: String,
    /// The count with it; none when it must wait.
    wrong: Option<i32>,
    /// Seconds until the next is looked at.
    wait: u64,
    /// Whether it comes from a device that has signed in to the account before.
    #[serde(default)]
    known: bool,
}

impl Attempt {
    /// The digest as PostgreSQL reads a `bytea`.
    pub fn key(&self) -> String {
        format!("\\x{}", self.key)
    }

    /// The count with it.
    pub fn wrong(&self) -> i32 {
        self.wrong.unwrap_or_default()
    }

    /// Refuses one that must wait.
    pub(super) fn let_through(&self) -> Result<()> {
        match self.wrong {
            Some(_) => Ok(()),
            None => Err(too_many_wrong(Duration::from_secs(self.wait))),
        }
    }
}

/// An attempt to sign in that was let through.
pub struct Admitted {
    /// In the database.
    pub attempt: Attempt,
    /// The device, where the account knows it.
    pub device: Option<Device>,
    /// In this process.
    pub guess: Option<Guess>,
}

impl Authenticator {
    /// Lets an attempt to sign in to a tenant through: nobody must wait, and there is room to hash. `count` counts it in
    /// the database, given the digest of the device and the seconds for which strangers are on hold, and finds the account;
    /// what follows costs the same whether there is one or not.
    pub(super) async fn admit<A>(
        &self,
        tenant: Uuid,
        address: Option<IpAddr>,
        password: String,
        device: Option<Device>,
        count: impl AsyncFnOnce(Option<&str>, i32) -> Result<(Attempt, A)>,
    ) -> Result<(Turn, Admitted, A)> {
        let early = self.guess(tenant, address.filter(|_| device.is_none()))?;
        // What says it is a known device and is none waits with the strangers.
        let strange = address.filter(|_| device.is_some());
        let hold = strange.map_or(0, |from| self.patience.waits.hold(from, tenant));
        let digest = device.as_ref().map(Device::digest);
        let counted = async {
            let turn = self.hasher.reserve(password)?;
            let (attempt, account) = count(digest.as_deref(), hold).await?;
            attempt.let_through()?;
            Ok::<_, Error>((turn, attempt, account))
        };
        let (turn, attempt, account) = counted.await.inspect_err(|_| self.forgive(early.as_ref()))?;
        let late = self.guess(tenant, strange.filter(|_| !attempt.known))?;
        let device = device.filter(|_| attempt.known);
        Ok((turn, Admitted { attempt, device, guess: early.or(late) }, account))
    }

    fn guess(&self, tenant: Uuid, address: Option<IpAddr>) -> Result<Option<Guess>> {
        address.map(|address| self.patience.waits.admit(address, tenant)).transpose()
    }

    /// An attempt was not wrong, as far as this process counts.
    pub(super) fn forgive(&self, guess: Option<&Guess>) {
        guess.into_iter().for_each(|guess| self.patience.waits.forgive(guess));
    }

    /// Counts an attempt to sign in to a tenant's account, and finds the account: one transaction, one round trip.
    pub(super) async fn count_sign_in(
        &self,
        place: &Arc<Place>,
        email: &str,
        device: Option<&str>,
        hold: i32,
    ) -> Result<(Attempt, Option<Account>)> {
        let mut count = Sql::new("select 1::bigint, sys_sign_in_count(");
        count.bind(Value::text(email)).push(", ").bind(device.map_or_else(Value::null, Value::text));
        count.push(", ").bind(Value::text(hold.to_string()));
        self.count(place, count, account_sql(email)).await
    }

    /// The account of somebody who is signed in and types his password again, with the attempt, to be
    /// [forgiven](Authenticator::forget_attempt) at the end.
    ///
    /// # Errors
    /// `validation_failed` at `field` for a wrong password; `too_many_requests` while the user must wait.
    pub(super) async fn retyped(
        &self,
        Caller { tenant, session, .. }: &Caller,
        password: String,
        field: &'static str,
    ) -> Result<(Account, Attempt)> {
        let turn = self.hasher.reserve(password)?;
        let mut count = Sql::new("select 1::bigint, sys_attempt_count(");
        count.bind(Value::text(format!("user:{}", session.user)));
        let (attempt, account) = self.count(&tenant.place, count, account_sql(&session.email)).await?;
        attempt.let_through()?;
        let account = account.ok_or_else(Error::not_found)?;
        if !self.hasher.verify(turn, Some(&account.password_hash)).await? {
            return Err(Error::validation().field(field, "wrong_password", "is wrong"));
        }
        Ok((account, attempt))
    }

    async fn count(&self, place: &Arc<Place>, mut count: Sql, account: Sql) -> Result<(Attempt, Option<Account>)> {
        for number in [self.patience.free, self.patience.longest] {
            count.push(", ").bind(Value::text(number.to_string()));
        }
        count.push(")::text");
        let scope = self.owner(place);
        let steps = vec![Step::Query(count), Step::Query(account)];
        let answers =
            self.database.run_steps(&scope, steps, Ending::Commit).await.map_err(|halt| Error::from(halt.stop))?;
        let [counted, found] = &answers[..] else { return Err(Error::internal("two statements, two answers")) };
        let attempt = serde_json::from_str(counted.body.as_deref().unwrap_or_default()).map_err(Error::internal)?;
        let account = found.body.as_deref().map(serde_json::from_str).transpose().map_err(Error::internal)?;
        Ok((attempt, account))
    }

    /// An attempt was right: what was wrong before is forgiven too.
    pub(super) async fn forget_attempt(&self, place: &Arc<Place>, attempt: &Attempt) -> Result<()> {
        let mut sql = Sql::new("with gone as (delete from sys_attempt where key = ");
        sql.bind(Value::text(attempt.key())).push(" returning 1) select count(*), null::text from gone");
        self.database.run(&self.owner(place), &sql).await?;
        Ok(())
    }

    /// An attempt was not wrong, and not the end of it: it alone does not count.
    pub(super) async fn take_back_attempt(&self, place: &Arc<Place>, attempt: &Attempt) -> Result<()> {
        let mut sql = Sql::new("select 1::bigint, sys_attempt_take_back(");
        sql.bind(Value::text(attempt.key())).push(", ").bind(Value::text(attempt.wrong().to_string())).push(")::text");
        self.database.run(&self.owner(place), &sql).await?;
        Ok(())
    }

    /// A transaction of the service itself in a tenant, that may write.
    pub(super) fn owner(&self, place: &Arc<Place>) -> Scope {
        Scope::write(place.clone(), Seat::Owner, Acting::service(), self.database.statement_timeout())
    }
}
