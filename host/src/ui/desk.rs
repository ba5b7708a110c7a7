//! The desk at which a person answers the stages of the kind `manual`, one after the other, while the run goes on.

use std::io::{self, BufRead};

use tokio::sync::mpsc;

use crate::pipeline::manual::Question;
use crate::ui::Ui;

/// Opens the desk. Its thread waits for lines of the terminal, which nothing but the end of the program can break off.
pub fn open(ui: &Ui) -> mpsc::UnboundedSender<Question> {
    let (desk, mut questions) = mpsc::unbounded_channel::<Question>();
    let ui = ui.clone();
    std::thread::spawn(move || {
        while let Some(question) = questions.blocking_recv() {
            if !question.done.is_closed()
                && let Some(done) = ask(&ui, &question)
            {
                let _ = question.done.send(done);
            }
        }
    });
    desk
}

/// Returns the answer; nothing where the terminal is closed or at its end.
fn ask(ui: &Ui, question: &Question) -> Option<bool> {
    let _alone = ui.hold();
    ui.print_error(&format!("`{}` is for you to do:", question.task));
    for line in question.instructions.lines() {
        ui.print_error(&format!("  {line}"));
    }
    loop {
        ui.print_error("type `yes` when it is done, or `no` if it cannot be done:");
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        match line.trim().to_lowercase().as_str() {
            "yes" | "y" => return Some(true),
            "no" | "n" => return Some(false),
            _ => {}
        }
    }
}
