//! The command line: clear refusals, JSON, exit codes, the private database by default.

use acceptance_tests::Cmdiag;
use private_servers::testing::{TestDatabase, test_folder};

const OFFICE: &str = "name = \"Office\"\nproduct_version = \"24.3\"\n[[component]]\nname = \"host\"\nkind = \"host\"\n\
                      settings = { path = \"/\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn without_configuration_it_works_on_a_private_database() {
    let folder = test_folder();
    let cmdiag = Cmdiag::embedded(folder.path());
    let doctor = cmdiag.run(&["doctor", "--format", "json"]).await;
    assert_eq!(doctor.code, 0, "{}{}", doctor.stdout, doctor.stderr);
    cmdiag.run(&["migrate"]).await.succeeded();
    cmdiag.run(&["migrate", "--check"]).await.succeeded();
    std::fs::write(folder.path().join("office.toml"), OFFICE).unwrap();
    cmdiag.run(&["deployment", "add", "office.toml"]).await.succeeded();
    let listed = cmdiag.run(&["deployment", "list", "--format", "json"]).await.succeeded().json();
    assert_eq!(listed[0]["name"], "Office");

    let twice = cmdiag.run(&["deployment", "add", "office.toml"]).await;
    assert_eq!(twice.code, 1);
    assert!(twice.stderr.contains("already under care"), "{}", twice.stderr);

    let diagnosis = cmdiag.run(&["diagnose", "Office", "--profile", "quick", "--watch", "--format", "json"]).await;
    let document = diagnosis.json();
    assert_eq!(document["status"], "completed", "{document:#}");
    assert!(diagnosis.stderr.contains("checks done"), "plain lines where nobody looks: {}", diagnosis.stderr);

    let run = document["run"].as_str().unwrap();
    let history =
        cmdiag.run(&["history", &format!("DiagnosticRun-{run}"), "--format", "json"]).await.succeeded().json();
    let events: Vec<&str> = history.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((events[0], *events.last().unwrap()), ("RunRequested", "RunCompleted"));
    assert_eq!(history[0]["actor"], "tester");

    cmdiag.run(&["deployment", "retire", "Office", "--reason", "closed"]).await.succeeded();
    let refused = cmdiag.run(&["deployment", "retire", "Office", "--reason", "closed"]).await;
    assert_ne!(refused.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_and_where() {
    let (folder, database) = (test_folder(), TestDatabase::create().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url());

    let missing = cmdiag.run(&["runs"]).await;
    assert!(missing.stderr.contains("cmdiag migrate"), "{}", missing.stderr);
    cmdiag.run(&["migrate"]).await.succeeded();
    cmdiag.run(&["runs"]).await.succeeded();

    std::fs::write(folder.path().join("bad.toml"), OFFICE.replace("path =", "password =")).unwrap();
    let secret = cmdiag.run(&["deployment", "add", "bad.toml"]).await;
    assert_ne!(secret.code, 0);
    assert!(secret.stderr.contains("password"), "{}", secret.stderr);

    std::fs::write(folder.path().join("cmdiag.toml"), "[engine]\nworker = 3\n").unwrap();
    let configuration = cmdiag.run(&["runs"]).await;
    assert!(
        configuration.stderr.contains("worker") && configuration.stderr.contains("line 2"),
        "{}",
        configuration.stderr
    );
    std::fs::remove_file(folder.path().join("cmdiag.toml")).unwrap();

    for (arguments, said) in [
        (vec!["diagnose", "nobody"], "deployment list"),
        (vec!["history", "nonsense"], "not a stream"),
        (vec!["findings", "show", "zz"], "beginning of a finding"),
        (vec!["packs", "explain", "CM-NOTHING"], "no check"),
    ] {
        let refused = cmdiag.run(&arguments).await;
        assert_ne!(refused.code, 0);
        assert!(refused.stderr.contains(said), "{arguments:?}: {}", refused.stderr);
    }
    let unreachable =
        Cmdiag::on_database(folder.path(), "postgres://nobody:secret@127.0.0.1:1/none").run(&["runs"]).await;
    assert_ne!(unreachable.code, 0);
    assert!(!unreachable.stderr.contains("secret"), "{}", unreachable.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_pack_is_refused_with_file_line_and_key() {
    let folder = test_folder();
    let pack = folder.path().join("packs/mine");
    std::fs::create_dir_all(&pack).unwrap();
    let about = "name = \"mine\"\ntitle = \"Mine\"\nversion = \"1\"\nproduct = \"mine\"\n";
    std::fs::write(pack.join("pack.toml"), about).unwrap();
    std::fs::write(pack.join("MY-CHECK.toml"), "code = \"MY-CHECK\"\ntitel = \"misspelt\"\n").unwrap();
    let cmdiag = Cmdiag::embedded(folder.path());
    let refused = cmdiag.run(&["packs", "validate", "packs"]).await;
    assert_ne!(refused.code, 0);
    for part in ["MY-CHECK.toml", "titel", "2"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let embedded = cmdiag.run(&["packs", "validate"]).await.succeeded();
    assert!(embedded.stdout.contains("0 failed"), "{}", embedded.stdout);
}
