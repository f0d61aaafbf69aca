//! The reduction as a Wasm module that imports nothing. Its host reads the source and puts the bytes where it is told.
//!
//! ```text
//! words(n) --> host writes the question there --> begin() = length of the request, at text()
//! space() .. room(): host writes bytes of the answer --> filled(n) = MORE | WHOLE
//! finish() = length of the result, at text()
//! ```
//! Whatever fails gives [`FAILED`], and its words have `failed()` bytes at `text()`.

use std::cell::RefCell;

use fades_bench_reduction::{Question, Reduction};

/// More bytes are needed.
const MORE: i32 = 0;
/// The answer is whole.
const WHOLE: i32 = 1;
/// See `failed`.
const FAILED: i32 = -1;

#[derive(Default)]
struct State {
    reduction: Option<Reduction>,
    /// What was said last, by either side.
    text: Vec<u8>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with(work: impl FnOnce(&mut State) -> Result<i32, String>) -> i32 {
    STATE.with_borrow_mut(|state| {
        work(state).unwrap_or_else(|words| {
            state.text = words.into_bytes();
            FAILED
        })
    })
}

fn length(bytes: usize) -> Result<i32, String> {
    i32::try_from(bytes).map_err(|_| format!("{bytes} bytes are too many"))
}

/// Room for a question: `HOST:PORT DATABASE MEASUREMENT FROM_NS TO_NS`, between single spaces.
#[unsafe(no_mangle)]
extern "C" fn words(count: u32) -> *mut u8 {
    STATE.with_borrow_mut(|state| {
        state.text = vec![0; count as usize];
        state.text.as_mut_ptr()
    })
}

#[unsafe(no_mangle)]
extern "C" fn begin() -> i32 {
    with(|state| {
        let words = String::from_utf8(std::mem::take(&mut state.text)).map_err(|error| error.to_string())?;
        let words: Vec<&str> = words.split(' ').collect();
        let [host, database, measurement, from, to] = words[..] else {
            return Err(format!("a question has five words, not {}", words.len()));
        };
        let number = |word: &str| word.parse::<i64>().map_err(|error| format!("{word}: {error}"));
        let question = Question { host, database, measurement, from_ns: number(from)?, to_ns: number(to)? };
        let (reduction, request) = Reduction::new(&question).map_err(|error| error.to_string())?;
        state.reduction = Some(reduction);
        state.text = request;
        length(state.text.len())
    })
}

/// Where the next bytes of the answer go.
#[unsafe(no_mangle)]
extern "C" fn space() -> *mut u8 {
    STATE.with_borrow_mut(|state| {
        state.reduction.as_mut().map_or(std::ptr::null_mut(), |reduction| reduction.space().as_mut_ptr())
    })
}

/// How many fit there.
#[unsafe(no_mangle)]
extern "C" fn room() -> i32 {
    with(|state| length(state.reduction.as_mut().map_or(0, |reduction| reduction.space().len())))
}

#[unsafe(no_mangle)]
extern "C" fn filled(count: u32) -> i32 {
    with(|state| {
        let reduction = state.reduction.as_mut().ok_or("nothing was asked")?;
        let whole = reduction.filled(count as usize).map_err(|error| error.to_string())?;
        Ok(if whole { WHOLE } else { MORE })
    })
}

/// `N points, RESULT`.
#[unsafe(no_mangle)]
extern "C" fn finish() -> i32 {
    with(|state| {
        let reduction = state.reduction.take().ok_or("nothing was asked")?;
        let reduced = reduction.finish().map_err(|error| error.to_string())?;
        state.text = format!("{} points, ", reduced.points).into_bytes();
        state.text.extend(reduced.result);
        length(state.text.len())
    })
}

#[unsafe(no_mangle)]
extern "C" fn text() -> *const u8 {
    STATE.with_borrow(|state| state.text.as_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn failed() -> i32 {
    with(|state| length(state.text.len()))
}
