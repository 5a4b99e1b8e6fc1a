//! Runs one phase of an action in a process of its own: what `cmdiag action-host` does, for the engine's own tests.

fn main() -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(engine::action::host::serve())
}
