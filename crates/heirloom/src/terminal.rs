//! What the terminal sees: data, errors with their causes and hints, bars with rate and remaining time.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use anyhow::Context as _;

use heirloom::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Writes `text` to standard output as it stands. Every verb's data goes through here: `println!` panics when the
/// reader of a pipe has gone.
///
/// # Errors
/// The reader has gone, which [`closed`] recognizes; the disk behind a redirection is full.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{text}").and_then(|()| stdout.flush()).context("could not write to standard output")
}

/// Writes a message to standard error. That nobody reads messages is no reason to stop a run.
pub(crate) fn tell(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Whether the reader of standard output has gone.
pub(crate) fn closed(error: &anyhow::Error) -> bool {
    let mut io = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// Prints an error as `error: …`, its causes, and a hint apart.
pub(crate) fn report(error: &anyhow::Error) {
    tell(format_args!("error: {error}"));
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some wrappers repeat their source's words.
        if !said.contains(&cause) {
            tell(format_args!("  caused by: {}", cause.trim_end().replace('\n', "\n    ")));
        }
        said = cause;
    }
    if let Some(hint) = error.chain().find_map(hint) {
        tell(format_args!("\nhint: {hint}"));
    }
}

fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    cause
        .downcast_ref::<heirloom::Error>()
        .and_then(heirloom::Error::hint)
        .or_else(|| cause.downcast_ref::<heirloom::hub::HubError>().and_then(heirloom::hub::HubError::hint))
        .or_else(|| cause.downcast_ref::<heirloom_record::Error>().and_then(heirloom_record::Error::hint))
        .or_else(|| cause.downcast_ref::<heirloom_model::Error>().and_then(heirloom_model::Error::hint))
        .or_else(|| cause.downcast_ref::<heirloom_rollout::Error>().and_then(heirloom_rollout::Error::hint))
        .or_else(|| cause.downcast_ref::<heirloom_probe::Error>().and_then(heirloom_probe::Error::hint))
}

/// Draws one bar per stage on standard error; plain lines where that is no terminal.
#[derive(Default)]
pub(crate) struct Bars {
    bar: Option<ProgressBar>,
    stage: String,
}

impl Progress for Bars {
    fn begin(&mut self, stage: &str, about: &str, total: u64, unit: &str) {
        let template = format!("{{msg:<34}} {{bar:24}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left");
        let style = ProgressStyle::with_template(&template).expect("a fixed template");
        let bar = ProgressBar::new(total).with_style(style).with_message(format!("{stage} {about}"));
        bar.enable_steady_tick(Duration::from_millis(500));
        if bar.is_hidden() {
            tell(format_args!("{stage} {about}: {total} {unit}"));
        }
        self.stage = format!("{stage} {about}");
        self.bar = Some(bar);
    }

    fn advance(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            let took = bar.elapsed().as_secs_f64();
            bar.finish_and_clear();
            tell(format_args!("{}: done in {took:.1} s", self.stage));
        }
    }

    fn reuse(&mut self, stage: &str, about: &str) {
        tell(format_args!("{stage} {about}: kept from an earlier run"));
    }
}
