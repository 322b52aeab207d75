//! What a connection is doing, and how long it may go on doing nothing.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

/// Acknowledgements of HTTP/2 are no longer than this, in bytes; an answer that gets on writes more.
const CONTROL_FRAME: usize = 64;

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Before its first request.
    pub first: Duration,
    /// Between requests.
    pub idle: Duration,
    /// While an answer waits to be read.
    pub write: Duration,
}

/// What one connection is doing.
#[derive(Clone)]
pub struct Activity(Arc<Mutex<State>>);

struct State {
    patience: Patience,
    /// When something last happened.
    since: Instant,
    spoke: bool,
    /// The peer takes no bytes.
    blocked: bool,
    /// Requests whose answers are not handed over.
    open: usize,
    /// Those of them that we are still working on.
    producing: usize,
}

impl State {
    /// When to give up; `None` while the work is ours.
    fn deadline(&self) -> Option<Instant> {
        let patience = match self {
            Self { blocked: true, .. } => self.patience.write,
            Self { producing: 1.., .. } => return None,
            Self { open: 1.., .. } => self.patience.write,
            Self { spoke: true, .. } => self.patience.idle,
            _ => self.patience.first,
        };
        Some(self.since + patience)
    }
}

impl Activity {
    /// A connection that was just opened.
    pub fn new(patience: Patience) -> Self {
        let since = Instant::now();
        Self(Arc::new(Mutex::new(State { patience, since, spoke: false, blocked: false, open: 0, producing: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes when the connection has done nothing for too long.
    pub async fn stalled(&self) {
        loop {
            let (deadline, soon) = {
                let state = self.state();
                let Patience { first, idle, write } = state.patience;
                (state.deadline(), Instant::now() + first.min(idle).min(write))
            };
            match deadline {
                Some(at) if at <= Instant::now() => return,
                // What it does may change, and the deadline with it.
                other => sleep_until(other.map_or(soon, |at| at.min(soon))).await,
            }
        }
    }

    /// A request came.
    pub fn begin(&self) -> Turn {
        let mut state = self.state();
        (state.spoke, state.open, state.producing) = (true, state.open + 1, state.producing + 1);
        drop(state);
        Turn { activity: self.clone(), producing: true }
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        let mut state = self.state();
        let blocked = outcome.is_pending();
        let got_on = matches!(outcome, Poll::Ready(Ok(bytes)) if *bytes > CONTROL_FRAME);
        if got_on || (blocked && !state.blocked) {
            state.since = Instant::now();
        }
        state.blocked = blocked;
    }
}

/// A request from its arrival until its answer is handed over or given up.
pub struct Turn {
    activity: Activity,
    producing: bool,
}

impl Turn {
    /// Says whether the work is ours or the reader's.
    fn produce(&mut self, producing: bool) {
        if self.producing == producing {
            return;
        }
        self.producing = producing;
        let mut state = self.activity.state();
        state.producing = if producing { state.producing + 1 } else { state.producing - 1 };
        state.since = Instant::now();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.produce(false);
        let mut state = self.activity.state();
        (state.open, state.since) = (state.open - 1, Instant::now());
    }
}

/// The body of an answer, which knows whether its reader waits for it or it for its reader.
pub struct Watched {
    body: Body,
    turn: Turn,
}

impl Watched {
    /// The body of this turn's answer.
    pub fn new(body: Body, mut turn: Turn) -> Self {
        turn.produce(false);
        Self { body, turn }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.turn.produce(true);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.turn.produce(false);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The socket of a connection.
pub struct Wire<S> {
    /// The socket.
    pub socket: S,
    /// What its connection is doing.
    pub activity: Activity,
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.activity.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, parts);
        self.activity.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
