//! `cmdiag actions`.

use crate::cli::{ActionsCommand, Format};
use crate::output;
use anyhow::{Result, anyhow};
use engine::action::{Action, Isolation, UndoSpec, list};
use serde_json::{Value, json};

/// Lists or explains actions.
pub fn run(format: Format, command: &ActionsCommand) -> Result<()> {
    match command {
        ActionsCommand::List => {
            let all: Vec<Value> = list::all().into_iter().map(facts).collect();
            output::list(format, &["action", "", "what it does", "approval"], &all, |action| {
                let text = |key: &str| action[key].as_str().unwrap_or_default().to_owned();
                let always = action["always_approve"].as_bool().unwrap_or_default();
                vec![text("name"), text("sign"), text("title"), if always { "always" } else { "by policy" }.to_owned()]
            })?;
            if format == Format::Table {
                output::line("+- can be taken back   +. nothing is left to take back   +! can not be taken back")?;
            }
            Ok(())
        }
        ActionsCommand::Explain { action } => {
            let found =
                list::named(action).ok_or_else(|| anyhow!("there is no action {action}: see `cmdiag actions list`"))?;
            output::json(&facts(found))
        }
    }
}

fn facts(action: &dyn Action) -> Value {
    let spec = action.spec();
    let (sign, undo) = match spec.undo {
        UndoSpec::FromBeforeImage => ("+-", "from what was there before; proven by the hash of the state"),
        UndoSpec::Nothing(reason) => ("+.", reason),
        UndoSpec::Impossible(reason) => ("+!", reason),
    };
    json!({
        "name": spec.name,
        "version": spec.version,
        "title": spec.title,
        "components": spec.components,
        "sign": sign,
        "undo": undo,
        "always_approve": spec.always_approve,
        "isolation": match spec.isolation {
            Isolation::Connection => "a connection of its own",
            Isolation::Process => "a process of its own",
        },
        "deadline_seconds": spec.deadline.as_secs_f64(),
        "parameters": action.parameters(),
    })
}
