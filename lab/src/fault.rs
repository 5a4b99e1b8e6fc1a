//! What a fault is, and how it is planted and mended.

use crate::context::FaultContext;
use crate::error::LabError;
use crate::faults::faults;
use crate::handle::LabHandle;
use crate::journal::{self, Planted};
use futures::future::BoxFuture;
use std::time::Duration;

/// A finding that a fault must or may raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The check's code.
    pub check: &'static str,
    /// What the finding's resource must contain; empty: any.
    pub resource_contains: &'static str,
    /// Whether the fault counts as missed without it. Others are known consequences.
    pub required: bool,
}

/// The finding that must be raised.
pub const fn must(check: &'static str, resource_contains: &'static str) -> Expected {
    Expected { check, resource_contains, required: true }
}

/// A finding that may be raised as a known consequence.
pub const fn may(check: &'static str) -> Expected {
    Expected { check, resource_contains: "", required: false }
}

/// A step of planting.
pub type Step = for<'a> fn(&'a mut FaultContext<'_>) -> BoxFuture<'a, Result<(), LabError>>;

/// One fault that can be planted in the lab.
///
/// There is no code to mend it: planting goes through [`FaultContext`], which notes how to undo each step before doing
/// it, and mending takes the steps back in reverse.
pub struct Fault {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line.
    pub title: &'static str,
    /// What it changes, for whoever wants to look for themselves.
    pub breaks: &'static str,
    /// What a diagnosis must and may find.
    pub expects: &'static [Expected],
    /// How old the fault must be before a sane check takes it for more than normal traffic.
    pub ripe_after: Duration,
    /// Plants it.
    pub inject: Step,
    /// Keeps it visible while time passes, where its evidence would grow old: called at every start and then every
    /// few seconds.
    pub refresh: Option<Step>,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fault").field("name", &self.name).field("expects", &self.expects).finish_non_exhaustive()
    }
}

/// What [`break_fault`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The fault is planted now.
    Planted,
    /// It was planted already.
    AlreadyPlanted,
}

/// What [`mend_fault`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// The fault is gone now.
    Mended,
    /// It was not planted.
    NotPlanted,
}

/// One fault by its name.
pub fn fault(name: &str) -> Result<&'static Fault, LabError> {
    faults().iter().find(|fault| fault.name == name).ok_or_else(|| LabError::NoSuchFault {
        name: name.chars().take(80).collect(),
        known: faults().iter().map(|fault| fault.name).collect::<Vec<_>>().join(", "),
    })
}

/// Plants a fault; returns when it is in force. Planting it again changes nothing.
pub async fn break_fault(handle: &LabHandle, name: &str) -> Result<Broken, LabError> {
    let fault = fault(name)?;
    let _lock = handle.lock_faults().await?;
    let planted = journal::read(handle.folders())?;
    if planted.get(name).is_some_and(|one| one.complete) {
        return Ok(Broken::AlreadyPlanted);
    }
    if !handle.is_up()? {
        return Err(LabError::NotUp(handle.folders().root().to_owned()));
    }
    if planted.contains_key(name) {
        undo(handle, name).await?;
    }
    let mut context = FaultContext::begin(handle, fault.name)?;
    let injected = match (fault.inject)(&mut context).await {
        Ok(()) => context.finish().await,
        Err(error) => Err(error),
    };
    if let Err(error) = injected {
        // Half a fault is nobody's wish. Where this fails as well, the journal still knows what to mend.
        undo(handle, name).await?;
        return Err(error);
    }
    Ok(Broken::Planted)
}

/// Takes a fault back, exactly. Mending it again changes nothing.
pub async fn mend_fault(handle: &LabHandle, name: &str) -> Result<Mended, LabError> {
    let fault = fault(name)?;
    let _lock = handle.lock_faults().await?;
    if !journal::read(handle.folders())?.contains_key(fault.name) {
        return Ok(Mended::NotPlanted);
    }
    undo(handle, fault.name).await?;
    Ok(Mended::Mended)
}

/// Takes all faults back.
pub async fn mend_all(handle: &LabHandle) -> Result<Vec<String>, LabError> {
    let planted: Vec<String> = journal::read(handle.folders())?.into_keys().collect();
    for name in &planted {
        mend_fault(handle, name).await?;
    }
    Ok(planted)
}

/// The faults that are planted, by name.
pub fn planted(handle: &LabHandle) -> Result<Vec<&'static Fault>, LabError> {
    journal::read(handle.folders())?.keys().map(|name| fault(name)).collect()
}

/// Keeps the evidence of planted faults young. Does nothing while somebody is planting or mending.
pub(crate) async fn refresh_planted(handle: &LabHandle) -> Result<(), LabError> {
    let Some(_lock) = handle.try_lock_faults()? else { return Ok(()) };
    for (name, planted) in journal::read(handle.folders())? {
        if let (Some(refresh), true) = (fault(&name)?.refresh, planted.complete) {
            let mut context = FaultContext::again(handle, &name, planted);
            // One fault that can not be kept up must not keep the others, or the lab, from coming up.
            if let Err(error) = refresh(&mut context).await {
                tracing::warn!(
                    fault = name,
                    error = crate::with_causes(&error),
                    "a planted fault could not be kept up"
                );
            }
        }
    }
    Ok(())
}

async fn undo(handle: &LabHandle, name: &str) -> Result<(), LabError> {
    let Some(Planted { undo, .. }) = journal::read(handle.folders())?.remove(name) else { return Ok(()) };
    crate::undo::undo_all(handle, name, &undo).await?;
    let folder = handle.folders().fault(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(LabError::io("remove", &folder))?;
    }
    journal::write(handle.folders(), name, None)
}
