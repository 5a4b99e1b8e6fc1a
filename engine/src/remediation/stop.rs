//! The emergency stop as this process knows it.

use command_side::{CommandBus, CommandError};
use domain::TenantId;
use domain::emergency_stop::{EmergencyStop, Engaged};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Whose stop is engaged, and how. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct StopBoard(Arc<Mutex<HashMap<TenantId, Option<Engaged>>>>);

impl StopBoard {
    /// The tenant's stop while it is engaged; read from the log the first time. [`Self::refresh`] keeps it up to date.
    pub async fn engaged(&self, bus: &CommandBus, tenant: &TenantId) -> Result<Option<Engaged>, CommandError> {
        if let Some(known) = self.known().get(tenant) {
            return Ok(known.clone());
        }
        let (state, _) = bus.load::<EmergencyStop>(EmergencyStop::of(tenant)).await?;
        Ok(self.known().entry(tenant.clone()).or_insert(state.engaged).clone())
    }

    /// Reads a tenant's stop anew: something has happened to it. The event itself may be an old one, read again after a
    /// restart; the log says what holds now.
    pub async fn refresh(&self, bus: &CommandBus, tenant: &TenantId) -> Result<(), CommandError> {
        let (state, _) = bus.load::<EmergencyStop>(EmergencyStop::of(tenant)).await?;
        self.known().insert(tenant.clone(), state.engaged);
        Ok(())
    }

    /// Whether any is engaged.
    pub fn any(&self) -> bool {
        self.known().values().any(Option::is_some)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Option<Engaged>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
