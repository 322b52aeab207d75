//! Ctrl-C and SIGTERM: the first asks us to stop, the second ends us at once.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// A token that the first signal cancels, after `say` has told so.
pub(super) fn first_signal(say: impl Fn() + Send + 'static) -> Result<CancellationToken> {
    let open = |kind| signal(kind).map_err(Error::internal);
    let (mut interrupt, mut terminate) = (open(SignalKind::interrupt())?, open(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        say();
        asked.cancel();
        next(&mut interrupt, &mut terminate).await;
        std::process::exit(130);
    });
    Ok(stop)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The work's outcome, or `None` when it was given up because of a signal.
pub(super) async fn unless<T>(stop: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    tokio::select! {
        done = work => done.map(Some),
        () = stop.cancelled() => Ok(None),
    }
}
