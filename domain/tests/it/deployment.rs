use crate::replay::Story;
use domain::deployment::{COMPONENTS_MAX, Deployment, DeploymentCommand, MaintenanceWindow};
use domain::testing::{DEPLOYMENT, after, check, component_named, register};
use proptest::prelude::*;

fn command() -> impl Strategy<Value = DeploymentCommand> {
    let named = || (0..4_u8).prop_map(|number| component_named(&format!("store-{number}")));
    let changed = (named(), "[a-z]{0,3}").prop_map(|(mut component, path)| {
        component.settings.insert("path".to_owned(), path);
        component
    });
    let window = (-10..50_i64, -5..50_i64).prop_map(|(from, length)| MaintenanceWindow {
        from: after(from),
        until: after(from + length),
        reason: "patches".to_owned(),
    });
    let range =
        || proptest::option::of(prop_oneof![Just("80".to_owned()), Just("5:".to_owned()), Just("x".to_owned())]);
    prop_oneof![
        4 => Just(register()),
        4 => named().prop_map(|component| DeploymentCommand::AttachComponent { component }),
        4 => changed.prop_map(|component| DeploymentCommand::ChangeComponent { component }),
        4 => named().prop_map(|component| DeploymentCommand::DetachComponent { name: component.name }),
        4 => window.prop_map(|window| DeploymentCommand::ScheduleMaintenance { window }),
        4 => (range(), range(), "[a-b]").prop_map(|(warning, critical, threshold)| {
            let (check, reason) = (check("CM-FILE-MISSING"), "known".to_owned());
            DeploymentCommand::OverrideThreshold { check, threshold, warning, critical, reason }
        }),
        4 => "[a-b]".prop_map(|threshold| {
            DeploymentCommand::RestoreThreshold { check: check("CM-FILE-MISSING"), threshold }
        }),
        1 => Just(DeploymentCommand::Retire { reason: "moved".to_owned() }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_life_replays(commands in prop::collection::vec((command(), 0..20_i64), 0..40)) {
        let mut story = Story::<Deployment>::of(DEPLOYMENT.0);
        for (command, seconds) in commands {
            story.wait(seconds);
            let was_retired = story.state.retired_at.is_some();
            let accepted = story.send(command).is_some();
            prop_assert!(!(was_retired && accepted), "a retired deployment accepts nothing");
            prop_assert!(story.state.components.len() <= COMPONENTS_MAX);
        }
        story.check_replay();
    }
}
