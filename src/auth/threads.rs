//! Threads of their own for work that takes long on a processor. They give way to everything else on the machine: reads
//! keep their pace while strangers make us hash passwords.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

use crate::error::{Error, Result};

type Work = Box<dyn FnOnce() + Send>;

/// A fixed number of threads before one queue; they end when this is dropped.
#[derive(Debug)]
pub struct Threads(mpsc::Sender<Work>);

impl Threads {
    /// Starts so many.
    pub fn new(number: usize) -> Self {
        let (sender, receiver) = mpsc::channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..number {
            let receiver = receiver.clone();
            thread::spawn(move || {
                give_way();
                loop {
                    let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(work) = next else { return };
                    // Who waits for it hears of a panic, and this thread goes on.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                }
            });
        }
        Self(sender)
    }

    /// Does something on one of them, in turn. It is done also when nobody waits for it any more.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (sender, done) = oneshot::channel();
        let work = Box::new(move || {
            // Nobody may be waiting any more.
            let _ = sender.send(work());
        });
        self.0.send(work).map_err(Error::internal)?;
        done.await.map_err(Error::internal)
    }
}

/// Linux has a priority for each thread (setpriority(2)): ten steps down, a tenth of the weight of a normal one.
#[cfg(target_os = "linux")]
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        tracing::warn!("password hashing runs at full priority: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_turn_and_a_panic_ends_nothing() {
        let threads = Threads::new(1);
        assert_eq!(threads.run(|| 1 + 1).await.unwrap(), 2);
        assert!(threads.run(|| panic!("as a test")).await.is_err());
        assert_eq!(threads.run(|| "on").await.unwrap(), "on");
    }
}
