//! Threads of their own for work that takes long on a processor. They give way to everything else on the machine: reads
//! keep their pace while strangers make us hash passwords.
//!
//! Linux has a priority and a policy for each thread (sched(7)). A low priority alone is not enough against a flood: who
//! has a processor keeps it for a slice of up to three milliseconds, also before a thread of a hundred times its weight.
//! Only what runs as `SCHED_IDLE` leaves at once; but on a busy machine that hardly gets a processor at all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

#[cfg(target_os = "linux")]
use preempt_rt::sched::{Pid, Scheduler, SchedulerParams, set_scheduler};
#[cfg(target_os = "linux")]
use rustix::{process::setpriority_process, thread::gettid};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

type Work = Box<dyn FnOnce() + Send>;

/// When threads get a processor.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// A tenth of what other threads get when all processors are busy.
    Tenth,
    /// When nobody else wants one.
    Idle,
}

/// A fixed number of threads before one queue; they end when this is dropped.
#[derive(Debug)]
pub struct Threads(mpsc::Sender<Work>);

impl Threads {
    /// Starts so many.
    pub fn new(number: usize, pace: Pace) -> Self {
        let (sender, receiver) = mpsc::channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..number {
            let receiver = receiver.clone();
            thread::spawn(move || {
                if let Err(error) = give_way(pace) {
                    tracing::warn!("password hashing runs at full priority: {}", error.private_context());
                }
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

#[cfg(target_os = "linux")]
fn give_way(pace: Pace) -> Result<()> {
    match pace {
        Pace::Tenth => setpriority_process(Some(gettid()), 10).map_err(Error::internal),
        Pace::Idle => set_scheduler(Pid::current_thread(), Scheduler::SCHED_IDLE, SchedulerParams { priority: 0 })
            .map_err(Error::internal),
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way(_: Pace) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_turn_and_a_panic_ends_nothing() {
        let threads = Threads::new(1, Pace::Idle);
        assert_eq!(threads.run(|| 1 + 1).await.unwrap(), 2);
        assert!(threads.run(|| panic!("as a test")).await.is_err());
        assert_eq!(threads.run(|| "on").await.unwrap(), "on");
    }
}
