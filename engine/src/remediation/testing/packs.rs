//! Packs that have an action do what it does, alone.

use crate::pack::Packs;
use domain::deployment::ComponentKind;
use serde_json::Value;

/// One action, told just this.
#[derive(Debug, Clone)]
pub struct ActionCase {
    /// The code of the check that is made for it.
    pub check: String,
    /// The name of the runbook.
    pub runbook: String,
    /// The kind of component that it is applied to.
    pub kind: ComponentKind,
    /// The action.
    pub action: String,
    /// What it is told.
    pub arguments: Value,
}

/// Packs with one check, `KIT-1`, and one runbook, `kit`, of one step that is told just this.
pub fn packs_for_action(kind: ComponentKind, action: &str, arguments: &Value) -> Packs {
    let case = ActionCase {
        check: "KIT-1".to_owned(),
        runbook: "kit".to_owned(),
        kind,
        action: action.to_owned(),
        arguments: arguments.clone(),
    };
    let texts = texts_for_actions(&[case]);
    let files = texts.iter().map(|(file, text)| ("kit", file.as_str(), text.as_str()));
    Packs::from_texts(files).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The files of a pack `kit`, with a check and a runbook of one step for each of these.
pub fn texts_for_actions(cases: &[ActionCase]) -> Vec<(String, String)> {
    let pack = "name = \"kit\"\ntitle = \"Kit\"\nversion = \"1\"\nproduct = \"kit\"\n";
    let mut texts = vec![("pack.toml".to_owned(), pack.to_owned())];
    for case in cases {
        texts.push((format!("{}.toml", case.check), check(case)));
        texts.push((format!("runbooks/{}.toml", case.runbook), runbook(case)));
    }
    texts
}

fn check(case: &ActionCase) -> String {
    let kind = serde_json::to_value(case.kind).map_or_else(|error| error.to_string(), |kind| kind.to_string());
    format!(
        "code = \"{}\"\ntitle = \"Kit\"\ncomponent = {kind}\nreversible = \"yes\"\n[probe]\nkind = \"tcp\"\n\
         [judge]\neach = \"row\"\nresource = \"{{{{ component }}}}\"\ncritical_when = \"true\"\n\
         [text]\nsymptom = \"s\"\ncause = \"c\"\nimpact = \"i\"\nadvice = \"a\"\n\
         [[case]]\nname = \"a\"\nrows = []\noutcome = \"ok\"\n[[case]]\nname = \"b\"\nrows = [{{}}]\n\
         outcome = \"critical\"\n",
        case.check
    )
}

fn runbook(case: &ActionCase) -> String {
    let ActionCase { check, runbook, action, .. } = case;
    let with = toml::Value::try_from(&case.arguments).map_or_else(|error| error.to_string(), |value| value.to_string());
    format!(
        "name = \"{runbook}\"\ntitle = \"Kit\"\nchecks = [\"{check}\"]\n[[step]]\nname = \"act\"\ntitle = \"Act\"\n\
         action = \"{action}\"\nwith = {with}\n[post_check]\nwithin = \"1s\"\n\
         [[case]]\nname = \"it\"\nsteps = [{{ name = \"act\" }}]\n"
    )
}
