//! Faults put into the simulated daemon on purpose. The engine stays as it is; what is around it does one thing wrong, and some law
//! has to notice: laws that nothing can break hold nothing.

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A service hears of its acceptance before that is on disk.
    ToldBeforeDurable,
    /// The actor does not wait for what it stores.
    EffectsBeforeDurable,
    /// After a restart tasks that have ended are taken up as well.
    EndedTakenUp,
    /// The end of a task does not free its seat.
    SeatForgotten,
    /// The engine's wish to be woken is not followed.
    WakeDropped,
    /// Used ids, and the tasks that have ended, are forgotten at a restart.
    ReplayForgotten,
    /// Wrappers are judged by the wall clock alone, however far it went back.
    ClockUnjudged,
    /// After a restart it is not known how often a task was begun.
    AttemptsForgotten,
    /// After a restart it is not known which period runs, nor which were over.
    PeriodsForgotten,
    /// The state that a period leaves is not stored with it.
    StateNotKept,
    /// Guests of a dead daemon go on.
    OrphansLeft,
    /// A guest's end is not told to the engine.
    ExitUntold,
    /// What a guest says is taken for another one's word now and then.
    Misheard,
    /// A guest that is to end goes on.
    StopIgnored,
    /// A region is given to the next guest before the last one is gone.
    PlaceSharedEarly,
    /// The end of a task is told, and not stored.
    EndUnstored,
    /// A task's cancellation is forgotten.
    CancelForgotten,
    /// A result is stored with a part missing.
    ResultCut,
    /// The broker is told of another window than the task's.
    WindowMoved,
    /// Waiting for the disk counts as the guests' own time, and nobody tells them that the daemon is still there.
    DeafWhileStoring,
}

impl Mutation {
    pub(crate) const ALL: [Self; 20] = [
        Self::ToldBeforeDurable,
        Self::EffectsBeforeDurable,
        Self::EndedTakenUp,
        Self::SeatForgotten,
        Self::WakeDropped,
        Self::ReplayForgotten,
        Self::ClockUnjudged,
        Self::AttemptsForgotten,
        Self::PeriodsForgotten,
        Self::StateNotKept,
        Self::OrphansLeft,
        Self::ExitUntold,
        Self::Misheard,
        Self::StopIgnored,
        Self::PlaceSharedEarly,
        Self::EndUnstored,
        Self::CancelForgotten,
        Self::ResultCut,
        Self::WindowMoved,
        Self::DeafWhileStoring,
    ];
}
