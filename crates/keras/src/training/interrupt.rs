//! Ctrl-C during training: asks for an end instead of ending the program.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static TRAINING: AtomicUsize = AtomicUsize::new(0);
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// While one lives, Ctrl-C is remembered; the second one ends the program.
pub(crate) struct Guard(());

impl Guard {
    pub(crate) fn new() -> Self {
        install();
        if TRAINING.fetch_add(1, Ordering::SeqCst) == 0 {
            REQUESTED.store(false, Ordering::SeqCst);
        }
        Guard(())
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn requested(&self) -> bool {
        REQUESTED.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        TRAINING.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(not(target_family = "wasm"))]
fn install() {
    use std::sync::Once;

    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler = || {
            let again = REQUESTED.swap(true, Ordering::SeqCst);
            if again || TRAINING.load(Ordering::SeqCst) == 0 {
                // The exit status of a program that SIGINT ended.
                std::process::exit(130);
            }
        };
        // An application with a handler of its own keeps it.
        if let Err(e) = ctrlc::try_set_handler(handler) {
            tracing::debug!("Ctrl-C ends the program as before: {e}");
        }
    });
}

#[cfg(target_family = "wasm")]
fn install() {}
