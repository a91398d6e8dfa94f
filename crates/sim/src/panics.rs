//! How is a panic of a test's body, or of a state machine, turned into words instead of a message on the terminal? Runs
//! are many, and the one that is told about is told about once.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs something without any message of its panics, and gives the words and the place of the one that it ended with.
///
/// # Errors
/// It panicked.
pub(crate) fn catch_quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| hook(&usual, info)));
    });
    IS_QUIET.set(true);
    // What a panic leaves half done is thrown away.
    let done = catch_unwind(AssertUnwindSafe(run));
    IS_QUIET.set(false);
    done.map_err(|payload| {
        let place = PLACE.take().map_or_else(String::new, |place| format!(" at {place}"));
        format!("{}{place}", words_of(payload.as_ref()))
    })
}

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

fn hook(usual: &Hook, info: &PanicHookInfo<'_>) {
    if IS_QUIET.get() {
        PLACE.set(info.location().map(ToString::to_string));
    } else {
        usual(info);
    }
}

fn words_of(payload: &(dyn Any + Send)) -> String {
    let words = payload.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}
