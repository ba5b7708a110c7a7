//! The bar of a transfer, and the line of what is waited for: on a terminal that can be drawn on, and nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::mask::Mask;
use crate::ui::Ui;

/// What is waited for, shown until this is dropped.
pub struct Waiting {
    bar: ProgressBar,
    mask: Mask,
    is_wanted: bool,
}

/// A transfer that is shown until this is dropped.
pub struct Transfer {
    bar: ProgressBar,
    mask: Mask,
    is_wanted: bool,
}

impl Ui {
    /// Shows a transfer.
    pub fn transfer(&self, name: &str) -> Transfer {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(
            "  {msg} [{bar:24}] {bytes} of {total_bytes}, {bytes_per_sec}",
        );
        let transfer = Transfer {
            bar: match style {
                Ok(style) => bar.with_style(style.progress_chars("=> ")),
                Err(_) => bar,
            },
            mask: self.mask.clone(),
            is_wanted: self.has_live_terminal(),
        };
        transfer.named(name);
        transfer
    }
}

impl Ui {
    /// Will show what is waited for.
    pub fn waiting(&self) -> Waiting {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("  {wide_msg} {elapsed}");
        Waiting {
            bar: match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            },
            mask: self.mask.clone(),
            is_wanted: self.has_live_terminal(),
        }
    }
}

impl Waiting {
    /// Says what it is now.
    pub fn of(&self, what: &str) {
        if !self.is_wanted {
            return;
        }
        self.bar.set_message(self.mask.apply(what).to_string());
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.tick();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Transfer {
    /// Goes on with another file.
    pub fn named(&self, name: &str) {
        self.bar.set_message(self.mask.apply(name).to_string());
    }

    /// Returns what takes it off the screen, wherever it is shown from.
    pub fn clearer(&self) -> impl Fn() + Send + 'static {
        let bar = self.bar.clone();
        move || bar.finish_and_clear()
    }

    /// So many bytes of so many have gone.
    pub fn at(&self, position: u64, of: u64) {
        if self.bar.length() != Some(of) {
            self.bar.set_length(of);
        }
        self.bar.set_position(position);
        // Not before there is something to show.
        if self.is_wanted && self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
