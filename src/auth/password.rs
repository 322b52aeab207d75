//! Password hashing: Argon2id, a bounded number at once, a bounded queue behind it.
//!
//! A hash costs about 25 ms of one core and 19 MiB, so unbounded hashing would let anybody who can reach the login
//! page stop the service. An unknown account is checked against a hash that belongs to nobody: it costs the same.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::policy::{check_alone, normal, refuse_long};
use super::threads::{Pace, Threads};
use crate::error::{Error, Kind, Result};

/// 19 MiB, two passes, one lane: the OWASP Password Storage cheat sheet.
const PARAMS: Params = match Params::new(19_456, 2, 1, None) {
    Ok(params) => params,
    Err(_) => panic!("the parameters are within Argon2's limits"),
};

/// Has the parameters of [`PARAMS`] and belongs to nobody.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Tm9ib2R5J3Mgc2FsdC4hIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

const WAITING_PER_THREAD: usize = 4;

/// Hashes and verifies passwords; shared by all requests of the process.
#[derive(Debug)]
pub struct PasswordHasher {
    threads: Threads,
    /// For who comes when half of the places are taken: it may be a flood.
    crowd: Threads,
    /// One permit for each hash that runs or waits.
    admitted: Arc<Semaphore>,
    /// Permits in all.
    places: usize,
}

/// A password that has a place among the hashes that run or wait.
#[derive(Debug)]
pub struct Turn {
    password: String,
    place: OwnedSemaphorePermit,
}

impl PasswordHasher {
    /// At most `threads` hashes at once (0 = half the cores) and four times as many waiting; in a crowd as many again at
    /// once, when processors have nothing else to do.
    pub fn new(threads: usize) -> Self {
        let threads = match threads {
            0 => available_parallelism().map_or(1, usize::from).div_ceil(2),
            threads => threads,
        };
        let places = threads * (1 + WAITING_PER_THREAD);
        Self {
            threads: Threads::new(threads, Pace::Tenth),
            crowd: Threads::new(threads, Pace::Idle),
            admitted: Arc::new(Semaphore::new(places)),
            places,
        }
    }

    /// The hash of a new password as a PHC string.
    ///
    /// # Errors
    /// `validation_failed` for one that is too short, too long or well known, `too_many_requests` when the queue is full.
    pub async fn hash(&self, password: String) -> Result<String> {
        check_alone(&password)?;
        self.run(self.place()?, move || {
            argon2().hash_password(normal(&password).as_bytes()).map(|hash| hash.to_string())
        })
        .await?
        .map_err(|error| Error::internal(format!("cannot hash a password: {error}")))
    }

    /// A place for a password, taken before anything about the account costs anything.
    ///
    /// # Errors
    /// `validation_failed` for more than 1024 bytes, `too_many_requests` when the queue is full.
    pub fn reserve(&self, password: String) -> Result<Turn> {
        refuse_long(&password)?;
        Ok(Turn { password, place: self.place()? })
    }

    /// Whether the password belongs to `hash`; `None` (no such account) is always false and takes as long.
    pub async fn verify(&self, Turn { password, place }: Turn, hash: Option<&str>) -> Result<bool> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(NOBODY).to_owned();
        match self.run(place, move || matches(&password, &hash)).await? {
            Ok(()) => Ok(known),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(Error::internal(format!("cannot check a stored password hash: {error}"))),
        }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| too_many())
    }

    /// The permit travels with the work: a caller who goes away frees no place before the processor is free.
    async fn run<T: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let crowded = self.admitted.available_permits() < self.places / 2;
        let work = move || {
            let done = work();
            drop(place);
            done
        };
        if crowded { self.crowd.run(work).await } else { self.threads.run(work).await }
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, PARAMS)
}

fn matches(password: &str, hash: &str) -> password_hash::Result<()> {
    argon2().verify_password(normal(password).as_bytes(), &PasswordHash::new(hash)?)
}

fn too_many() -> Error {
    let message = "Too many people are signing in at this moment. Please try again in a second.";
    Error::new(Kind::TooMany, "too_many_requests", message).retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    async fn verify(hasher: &PasswordHasher, password: &str, hash: Option<&str>) -> Result<bool> {
        hasher.verify(hasher.reserve(password.to_owned())?, hash).await
    }

    #[tokio::test]
    async fn the_right_password_alone_is_accepted() {
        let hasher = PasswordHasher::new(0);
        let hash = hasher.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hasher.hash("correct horse".into()).await.unwrap());
        assert!(verify(&hasher, "correct horse", Some(&hash)).await.unwrap());
        assert!(!verify(&hasher, "correct horsf", Some(&hash)).await.unwrap());
        assert!(!verify(&hasher, "correct horse", None).await.unwrap());
        assert!(!verify(&hasher, "", Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn a_password_is_the_same_one_however_its_letters_are_composed() {
        let hasher = PasswordHasher::new(1);
        let hash = hasher.hash("caf\u{e9} au lait".into()).await.unwrap();
        assert!(verify(&hasher, "cafe\u{301} au lait", Some(&hash)).await.unwrap());
        assert!(!verify(&hasher, "cafe au lait", Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_costs_what_somebody_costs() {
        let real = PasswordHasher::new(1).hash("correct horse".into()).await.unwrap();
        let (real, nobody) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(NOBODY).unwrap());
        assert_eq!((nobody.algorithm, nobody.version, &nobody.params), (real.algorithm, real.version, &real.params));
        assert_eq!(nobody.salt.unwrap().len(), real.salt.unwrap().len());
        assert_eq!(nobody.hash.unwrap().len(), real.hash.unwrap().len());
    }

    #[tokio::test]
    async fn length_is_checked_before_hashing() {
        let hasher = PasswordHasher::new(1);
        let all = hasher.admitted.clone().acquire_many_owned(5).await.unwrap();
        for (password, code) in
            [("1234567".into(), "too_short"), ("ऩऩऩ".into(), "too_short"), ("x".repeat(1025), "too_long")]
        {
            let error = hasher.hash(password).await.unwrap_err();
            assert_eq!((error.code(), &*error.faults()[0].code), ("validation_failed", code));
        }
        assert_eq!(verify(&hasher, &"x".repeat(1025), None).await.unwrap_err().code(), "validation_failed");
        drop(all);
        assert!(hasher.hash("xy".repeat(512)).await.is_ok());
        assert!(hasher.hash("ऩऩऩऩऩऩऩब".into()).await.is_ok());
    }

    #[tokio::test]
    async fn beyond_the_queue_callers_are_told_to_come_back() {
        let hasher = Arc::new(PasswordHasher::new(1));
        let mut logins = JoinSet::new();
        for _ in 0..8 {
            let hasher = Arc::clone(&hasher);
            logins.spawn(async move { verify(&hasher, "correct horse", None).await });
        }
        let results = logins.join_all().await;
        let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 3);
        assert!(refused.iter().all(|error| error.kind() == Kind::TooMany && error.retry_after_hint().is_some()));
        assert!(!verify(&hasher, "correct horse", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_caller_who_leaves_frees_no_processor() {
        let hasher = PasswordHasher::new(1);
        let left = timeout(Duration::from_millis(1), verify(&hasher, "correct horse", None)).await;
        assert!(left.is_err());
        assert_eq!(hasher.admitted.available_permits(), 4, "it is still worked on");
        assert!(hasher.hash("correct horse".into()).await.is_ok());
        assert_eq!(hasher.admitted.available_permits(), 5);
    }

    #[tokio::test]
    async fn a_broken_stored_hash_is_our_fault_and_not_shown() {
        let hasher = PasswordHasher::new(1);
        for broken in ["", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv", "plain"] {
            let error = verify(&hasher, "correct horse", Some(broken)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Internal, "{broken}");
        }
    }
}
