//! What a pool says of itself.

/// How a pool fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerStatus {
    /// Items claimed so far.
    pub claimed: u64,
    /// Results recorded so far.
    pub recorded: u64,
    /// Results that nobody needed any more: their run had ended.
    pub dropped: u64,
    /// Items stopped before they gave a result.
    pub cancelled: u64,
    /// Runners that panicked; their items' results are `Unknown`.
    pub panics: u64,
    /// Items in hand that wait for a free place.
    pub waiting: usize,
    /// Items that run.
    pub running: usize,
    /// Items that have run and whose results are not yet recorded and finished.
    pub buffered: usize,
    /// Whether the last call to the database or the event log failed.
    pub failing: bool,
    /// What failed last.
    pub last_error: Option<String>,
}

impl WorkerStatus {
    pub(super) fn failed(&mut self, error: String) {
        self.failing = true;
        self.last_error = Some(error);
    }
}
