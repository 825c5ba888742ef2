//! How far a verb has come.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, for what takes over a second.
pub(crate) struct Progress {
    started: Instant,
    unit: &'static str,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(unit: &'static str) -> Self {
        Self { started: Instant::now(), unit, bar: None }
    }

    /// `total` is missing where nobody knows.
    pub(crate) fn show(&mut self, done: u64, total: Option<u64>) {
        if self.started.elapsed() < Duration::from_secs(1) {
            return;
        }
        let unit = self.unit;
        let bar = self.bar.get_or_insert_with(|| {
            // Drawn on standard error, and only if that is a terminal.
            let (bar, template) = match total {
                Some(total) => {
                    (ProgressBar::new(total), format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{eta}} left"))
                }
                None => (ProgressBar::no_length(), format!("{{spinner}} {{pos}} {unit}")),
            };
            let style = ProgressStyle::with_template(&template);
            bar.with_style(style.unwrap_or(ProgressStyle::default_bar()))
        });
        bar.set_position(done);
    }
}

impl Drop for Progress {
    /// Also where the work fails: the error must not land in a half-drawn bar.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
