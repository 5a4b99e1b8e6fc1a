//! The fault matrix: a healthy lab raises nothing; each planted fault is found by its check, and raises nothing else.

use acceptance_tests::{Cmdiag, Serving};
use lab::{Fault, SeenFinding};
use private_servers::testing::{TestDatabase, test_folder};
use serde_json::Value;

fn seen(diagnosis: &Value) -> Vec<SeenFinding> {
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
    let problem = |one: &Value| SeenFinding {
        check: text(one, "check"),
        resource: text(one, "resource"),
        outcome: text(one, "outcome"),
    };
    diagnosis["problems"].as_array().unwrap().iter().map(problem).collect()
}

async fn one_fault(cmdiag: &Cmdiag, fault: &'static Fault) -> Result<(), String> {
    cmdiag.run(&["lab", "break", fault.name]).await.succeeded();
    tokio::time::sleep(fault.ripe_after).await;
    let diagnosis = cmdiag.run(&["diagnose", "content-manager-lab", "--format", "json"]).await;
    cmdiag.run(&["lab", "mend", fault.name]).await.succeeded();
    let score = lab::score(&[fault], &seen(&diagnosis.json()));
    if score.missed.is_empty() && score.false_findings.is_empty() {
        Ok(())
    } else {
        Err(format!("{}: missed {:?}, false {:?}", fault.name, score.missed, score.false_findings))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_found_and_nothing_else_is_raised() {
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = Cmdiag::on_database(folder.path(), database.url())
        .with("CMDIAG_LAB_RECORDS", "4000")
        .with("CMDIAG_LAB_FILES", "800");
    let up = Serving::start_until(&cmdiag, &["lab", "up"], "The lab is up").await;
    let described = cmdiag.run(&["lab", "describe"]).await.succeeded().stdout;
    std::fs::write(folder.path().join("lab.toml"), described).unwrap();
    cmdiag.run(&["deployment", "add", "lab.toml"]).await.succeeded();

    let healthy = cmdiag.run(&["diagnose", "content-manager-lab", "--format", "json"]).await;
    assert_eq!(seen(&healthy.json()), [], "a healthy lab raises nothing");
    assert_eq!(healthy.code, 0, "{}", healthy.stdout);

    let mut broken = Vec::new();
    for fault in lab::faults() {
        if let Err(what) = one_fault(&cmdiag, fault).await {
            broken.push(what);
        }
    }
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), lab::faults().len(), broken.join("\n"));

    // Mended is healthy again, and two good measurements in a row resolve what was found.
    for _ in 0..2 {
        let again = cmdiag.run(&["diagnose", "content-manager-lab", "--format", "json"]).await;
        assert_eq!(seen(&again.json()), [], "a mended lab raises nothing");
    }
    let open = cmdiag.run(&["findings", "list", "--format", "json"]).await.succeeded().json();
    assert_eq!(open.as_array().unwrap().len(), 0, "{open:#}");
    assert_eq!(up.interrupt().await, 0);
}
