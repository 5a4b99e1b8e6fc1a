//! What is put through the kit.

use super::bench::Bench;
use futures::future::BoxFuture;
use lab::Lab;
use serde_json::Value;

/// A runbook or an action, and how the lab is given the problem that it is for.
pub struct Case {
    /// Of the runbook, or of the action.
    pub name: &'static str,
    pub kind: Kind,
    /// The check that finds it.
    pub check: &'static str,
    /// What the finding's resource contains.
    pub about: &'static str,
    pub given: Given,
    /// The check can not see it here: a double judges.
    pub judged_by_double: bool,
    /// What it makes is named after the remediation.
    pub names_what_it_makes: bool,
}

pub enum Kind {
    Runbook,
    /// Alone, in a runbook that is made for it.
    Action {
        component: &'static str,
        arguments: Told,
    },
}

/// What an action is told.
pub enum Told {
    /// This JSON.
    Text(&'static str),
    /// What the lab says.
    Of(fn(&Lab) -> BoxFuture<'_, Value>),
}

impl Told {
    pub async fn of(&self, lab: &Lab) -> Value {
        match self {
            Self::Text(text) => serde_json::from_str(text).unwrap(),
            Self::Of(say) => say(lab).await,
        }
    }
}

/// A problem that is told: its resource, and its evidence row.
pub type Evidence = (String, Value);

/// How the lab is given the problem; each may be given again.
pub enum Given {
    /// There is none: an action can be tried on what is well.
    Nothing,
    /// By a fault of the lab.
    Fault(&'static str),
    /// By a setting-up of its own; the check finds it.
    ByHand(fn(&Bench) -> BoxFuture<'_, ()>),
    /// By a setting-up of its own of which the check sees nothing here: it is told what it would see of this component.
    Told(&'static str, fn(&Bench) -> BoxFuture<'_, Evidence>),
}

impl Case {
    /// A runbook, on a fault of the lab.
    pub const fn of(name: &'static str, fault: &'static str, check: &'static str, about: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Runbook,
            check,
            about,
            given: Given::Fault(fault),
            judged_by_double: false,
            names_what_it_makes: false,
        }
    }

    /// A runbook, on what is set up by hand.
    pub const fn by_hand(
        name: &'static str,
        check: &'static str,
        about: &'static str,
        set: fn(&Bench) -> BoxFuture<'_, ()>,
    ) -> Self {
        Self {
            name,
            kind: Kind::Runbook,
            check,
            about,
            given: Given::ByHand(set),
            judged_by_double: false,
            names_what_it_makes: false,
        }
    }

    /// A runbook, on a problem of a component that its check can not see here.
    pub const fn told(
        name: &'static str,
        check: &'static str,
        component: &'static str,
        set: fn(&Bench) -> BoxFuture<'_, Evidence>,
    ) -> Self {
        let given = Given::Told(component, set);
        Self { name, kind: Kind::Runbook, check, about: "", given, judged_by_double: false, names_what_it_makes: false }
    }

    /// Judged by a double: what the check measures is not the lab's to change.
    pub const fn judged_by_double(self) -> Self {
        Self { judged_by_double: true, ..self }
    }

    /// Each run ends with another name.
    pub const fn names_what_it_makes(self) -> Self {
        Self { names_what_it_makes: true, ..self }
    }

    /// An action alone.
    pub const fn action(name: &'static str, component: &'static str, arguments: &'static str, given: Given) -> Self {
        let kind = Kind::Action { component, arguments: Told::Text(arguments) };
        Self { name, kind, check: "", about: "", given, judged_by_double: false, names_what_it_makes: false }
    }

    /// An action alone, told what the lab says.
    pub const fn action_told(
        name: &'static str,
        component: &'static str,
        arguments: fn(&Lab) -> BoxFuture<'_, Value>,
        given: Given,
    ) -> Self {
        let kind = Kind::Action { component, arguments: Told::Of(arguments) };
        Self { name, kind, check: "", about: "", given, judged_by_double: false, names_what_it_makes: false }
    }

    /// The component that an action is tried on.
    pub fn component(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Runbook => None,
            Kind::Action { component, .. } => Some(component),
        }
    }
}
