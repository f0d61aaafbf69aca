use std::collections::HashMap;

use super::*;
use crate::function::{Batch, NoParameters, Series};

/// Counts its periods, and keeps what it was told to.
#[derive(Debug)]
struct Tally {
    state: State,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    periods: u64,
    mean: f64,
    names: HashMap<String, f64>,
}

impl Function for Tally {
    type Parameters = NoParameters;
    type Output = u64;

    fn start(parameters: NoParameters) -> Result<Self, Error> {
        Self::resume(parameters, None)
    }

    fn batch(&mut self, _: &Series, _: Batch<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(self) -> Result<u64, Error> {
        Ok(self.state.periods)
    }
}

impl Recurring for Tally {
    type State = State;
    const STATE_VERSION: u32 = 3;

    fn resume(NoParameters {}: NoParameters, state: Option<State>) -> Result<Self, Error> {
        let mut state = state.unwrap_or_default();
        if state.periods == 7 {
            return Err(Error::new("seven periods are enough"));
        }
        state.periods += 1;
        Ok(Self { state })
    }

    fn keep(&self) -> State {
        self.state.clone()
    }
}

fn kept(state: &State) -> Kept {
    Kept { version: 3, bytes: postcard::to_allocvec(state).unwrap() }
}

#[test]
fn what_is_kept_comes_back_exactly() {
    let names = (0..50).map(|n| (format!("n{n}"), 1.0 / f64::from(n + 1))).collect();
    let state = State { periods: 1, mean: 0.1 + 0.2, names };
    let function: Tally = resume("{}", Some(&kept(&state))).unwrap();
    assert_eq!(function.state, State { periods: 2, ..state });
    let again = Kept::of(&function, MAX_STATE).unwrap();
    assert_eq!(again.head(), StateHead { version: 3, len: again.bytes.len() as u64 });
    assert_eq!(resume::<Tally>("{}", Some(&again)).unwrap().state.periods, 3);
    assert_eq!(resume::<Tally>("{}", None).unwrap().state.periods, 1);
}

#[test]
fn a_state_that_is_none_of_its_own_is_refused_and_never_begun_anew() {
    let good = kept(&State::default());
    let refusal = |kept: &Kept| resume::<Tally>("{}", Some(kept)).unwrap_err();
    let other = Kept { version: 2, ..good.clone() };
    assert_eq!(refusal(&other).code, Code::State);
    assert!(refusal(&other).message.contains("version 2, this function's is 3"));
    let mut long = good.clone();
    long.bytes.push(0);
    assert!(refusal(&long).message.contains("left over"));
    let short = Kept { bytes: good.bytes[1..].to_vec(), ..good.clone() };
    assert_eq!(refusal(&short).code, Code::State);
    let enough = kept(&State { periods: 7, ..State::default() });
    assert_eq!(refusal(&enough).code, Code::Parameters);
    assert_eq!(resume::<Tally>("[]", Some(&good)).unwrap_err().code, Code::Parameters);
}

#[test]
fn a_state_beyond_its_limit_is_refused() {
    let function: Tally = resume("{}", None).unwrap();
    let len = Kept::of(&function, MAX_STATE).unwrap().bytes.len() as u64;
    assert!(Kept::of(&function, len).is_ok());
    let failure = Kept::of(&function, len - 1).unwrap_err();
    assert_eq!(failure.code, Code::State);
    assert!(failure.message.contains("the task allows"), "{failure}");
}

#[test]
fn parts_come_in_order_and_bring_what_was_told() {
    let whole: Vec<u8> = (0..=255).collect();
    let mut parts = Parts::new(StateHead { version: 3, len: 256 }).unwrap();
    assert!(parts.take(1, &whole[..10]).is_err(), "the second first");
    assert!(parts.take(0, &[]).is_err(), "nothing");
    parts.take(0, &whole[..100]).unwrap();
    assert!(!parts.is_whole());
    assert!(parts.take(1, &[0; 157]).is_err(), "one byte more than was told");
    parts.take(1, &whole[100..]).unwrap();
    assert!(parts.is_whole());
    assert_eq!(parts.into_kept(), Kept { version: 3, bytes: whole });
    assert!(Parts::new(StateHead { version: 0, len: 0 }).unwrap().is_whole());
    assert!(Parts::new(StateHead { version: 0, len: MAX_STATE + 1 }).is_err());
}
