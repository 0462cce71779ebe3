//! What the terminal sees: errors with their causes and hints, bars with rate and remaining time.

use std::time::Duration;

use heirloom::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Prints an error as `error: …`, its causes, and a hint apart.
pub(crate) fn report(error: &anyhow::Error) {
    eprintln!("error: {error}");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some wrappers repeat their source's words.
        if !said.contains(&cause) {
            eprintln!("  caused by: {}", cause.trim_end().replace('\n', "\n    "));
        }
        said = cause;
    }
    if let Some(hint) = error.chain().find_map(hint) {
        eprintln!("\nhint: {hint}");
    }
}

fn hint(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    cause
        .downcast_ref::<heirloom::Error>()
        .and_then(heirloom::Error::hint)
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
            eprintln!("{stage} {about}: {total} {unit}");
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
            eprintln!("{}: done in {took:.1} s", self.stage);
        }
    }

    fn reuse(&mut self, stage: &str, about: &str) {
        eprintln!("{stage} {about}: kept from an earlier run");
    }
}
