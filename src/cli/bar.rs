//! Progress bars over tenants and rows, with rate and time left, on a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

const STYLE: &str = "{bar:30} {pos}/{len} tenants  {per_sec}  {eta} left";

const ROWS: &str = "{bar:30} {pos}/{len} rows  {per_sec}  {eta} left";

/// A bar over rows whose number is not known yet, where one can be drawn and is wanted.
pub(super) fn rows_bar(out: &Output) -> Option<ProgressBar> {
    (!out.quiet() && io::stderr().is_terminal()).then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(ROWS).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    })
}

/// A bar, where one can be drawn and is wanted.
pub(super) fn bar(out: &Output, total: usize) -> Option<ProgressBar> {
    (!out.quiet() && total > 1 && io::stderr().is_terminal()).then(|| {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    })
}
