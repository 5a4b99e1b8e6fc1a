//! Remediation on the command line, as far as it needs nothing but a database.

use acceptance_tests::Cmdiag;
use private_servers::testing::{TestDatabase, test_folder};
use serde_json::json;

const POLICY: &str = "[[rules]]\nname = \"nothing\"\nmode = \"never\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn its_help_says_what_can_be_asked() {
    let folder = test_folder();
    let cmdiag = Cmdiag::embedded(folder.path());
    let help = cmdiag.run(&["remediate", "--help"]).await.succeeded().stdout;
    for wish in ["--dry-run", "--approve", "--reject", "--delegate", "--execute", "--undo", "--cancel", "--release"] {
        assert!(help.contains(wish), "{wish} is not in:\n{help}");
    }
    let both = cmdiag.run(&["remediate", "0123", "--approve", "--execute"]).await;
    assert_eq!(both.code, 2, "{}", both.stderr);
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_listed_and_explained() {
    let folder = test_folder();
    let cmdiag = Cmdiag::embedded(folder.path());
    let actions = cmdiag.run(&["actions", "list", "--format", "json"]).await.succeeded().json();
    let actions = actions.as_array().unwrap();
    assert!(!actions.is_empty());
    for action in actions {
        let sign = action["sign"].as_str().unwrap();
        assert!(["+-", "+.", "+!"].contains(&sign) && action["undo"].is_string(), "{action:#}");
    }
    let name = actions[0]["name"].as_str().unwrap();
    let table = cmdiag.run(&["actions", "list"]).await.succeeded().stdout;
    assert!(table.contains(name) && table.contains("can not be taken back"), "{table}");
    let explained = cmdiag.run(&["actions", "explain", name]).await.succeeded().json();
    assert_eq!(explained, actions[0]);
    let unknown = cmdiag.run(&["actions", "explain", "nothing.such"]).await;
    assert!(unknown.code != 0 && unknown.stderr.contains("actions list"), "{}", unknown.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_the_emergency_stop_are_shown_and_changed() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());
    let show = ["policy", "show", "--format", "json"];
    let built_in = cmdiag.run(&show).await.succeeded().json();
    assert_eq!((&built_in["policy"], &built_in["statistics"]), (&json!(null), &json!([])));
    assert_eq!(built_in["in_force"]["rules"][0]["mode"]["approval"]["people"], 1, "{built_in:#}");

    std::fs::write(folder.path().join("policy.toml"), POLICY).unwrap();
    cmdiag.run(&["policy", "set", "default", "policy.toml", "--reason", "agreed"]).await.succeeded();
    let shown = cmdiag.run(&show).await.succeeded().json();
    assert_eq!((&shown["policy"]["revision"], &shown["policy"]["changed_by"]), (&json!(1), &json!("tester")));
    assert_eq!(shown["in_force"]["rules"][0]["mode"], "never");
    // What is shown can be put in force again.
    let text = cmdiag.run(&["policy", "show"]).await.succeeded().stdout;
    assert!(text.starts_with("# policy default, revision 1"), "{text}");
    std::fs::write(folder.path().join("policy.toml"), POLICY.replace("mode", "mood")).unwrap();
    let misspelt = cmdiag.run(&["policy", "set", "default", "policy.toml"]).await;
    assert!(misspelt.code != 0 && misspelt.stderr.contains("mood"), "{}", misspelt.stderr);
    let listed = cmdiag.run(&["policy", "list", "--format", "json"]).await.succeeded().json();
    assert_eq!(listed[0]["name"], "default");
    cmdiag.run(&["policy", "retire", "default", "--reason", "the built-in one will do"]).await.succeeded();
    assert_eq!(cmdiag.run(&show).await.succeeded().json()["in_force"], built_in["in_force"]);

    let status = ["emergency-stop", "status", "--format", "json"];
    assert_eq!(cmdiag.run(&status).await.succeeded().json(), json!(null));
    cmdiag.run(&["emergency-stop", "engage", "--undo", "--reason", "it went wrong"]).await.succeeded();
    let engaged = cmdiag.run(&status).await.succeeded().json();
    assert_eq!((&engaged["engaged"], &engaged["undo"]), (&json!(true), &json!(true)));
    let released = cmdiag.run(&["emergency-stop", "release", "--reason", "put right"]).await.succeeded();
    assert!(released.stdout.contains("not engaged; released by tester"), "{}", released.stdout);
    let again = cmdiag.run(&["emergency-stop", "release", "--reason", "put right"]).await;
    assert!(again.code != 0 && again.stderr.contains("not engaged"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());
    assert_eq!(cmdiag.run(&["remediations", "list", "--format", "json"]).await.succeeded().json(), json!([]));
    for (arguments, said) in [
        (vec!["remediations", "show", "nonsense"], "not a remediation's id"),
        (vec!["remediations", "show", "01900000-0000-7000-8000-000000000003"], "there is no remediation"),
        (vec!["remediate", "0123456789"], "finding"),
    ] {
        let refused = cmdiag.run(&arguments).await;
        assert!(refused.code != 0 && refused.stderr.contains(said), "{arguments:?}: {}", refused.stderr);
    }
}
