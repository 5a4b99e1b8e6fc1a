//! The contract, kept by the KurrentDB backend.

use super::double::KurrentDouble;
use super::scene::new_name;
use crate::contract::{Backend, contract_suite};
use event_store::{EventLog, KurrentEventLog, KurrentLogOptions};
use std::sync::Arc;

struct OnKurrent {
    url: String,
    name: String,
    _double: Option<KurrentDouble>,
}

impl Backend for OnKurrent {
    async fn create() -> Self {
        let (url, double) = match std::env::var("CMDIAG_TEST_KURRENTDB") {
            Ok(url) => {
                eprintln!("the server that CMDIAG_TEST_KURRENTDB names");
                (url, None)
            }
            Err(_) => {
                let double = KurrentDouble::start(1).await;
                (double.url(), Some(double))
            }
        };
        Self { url, name: new_name(), _double: double }
    }

    async fn log(&self) -> Arc<dyn EventLog> {
        let options = KurrentLogOptions { name: self.name.clone(), ..KurrentLogOptions::new(&self.url) };
        KurrentEventLog::connect(options).await.unwrap()
    }
}

contract_suite!(OnKurrent);
