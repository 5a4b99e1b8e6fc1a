//! Room on the lab's disk: its temporary files and old logs, moved and put back. What the machine's disk has left is no
//! fault of the lab, so that no check is asked.

use super::kit::{self, Driven};
use crate::probes::lab::state;
use domain::deployment::Component;
use engine::action::{ActionErrorKind, ActionTarget, Verified};
use lab::{Lab, LabOptions};
use private_servers::testing::test_folder;
use serde_json::json;
use std::time::{Duration, SystemTime};

#[tokio::test(flavor = "multi_thread")]
async fn temporary_files_and_old_logs_of_the_lab_move_and_come_back() {
    let folder = test_folder();
    let lab = Lab::up(LabOptions::small(folder.path())).await.unwrap();
    let components = state(lab.description()).components;
    let all: Vec<Component> = components.values().cloned().collect();
    let host = components[&"host".parse().unwrap()].clone();
    let target = ActionTarget { component: host, ..kit::target(&all) };
    // The lab removes its own logs before they are that old.
    let old = lab.handle().folders().logs("wgs-1").join("Render_old.log");
    std::fs::write(&old, "12:00:00:000 DOUBLE the same again\n".repeat(1_000)).unwrap();
    let file = std::fs::File::options().write(true).open(&old).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(24 * 20)).unwrap();
    for (action, files) in [("temp.move-files", 3), ("log.compress", 1)] {
        let driven = Driven::new(action, &json!({"older_than_days": 10}), &target);
        let before = driven.proves_itself().await;
        assert_eq!(before["files"].as_array().unwrap().len(), files, "{action}");
        driven.apply(&before).await;
        assert_eq!(driven.verify(&before).await, Verified::Done);
        // The lab has one volume: where room is to be gained, nothing is.
        let elsewhere = Driven::new(action, &json!({"older_than_days": 1, "other_volume": true}), &target);
        assert_eq!(elsewhere.try_capture().await.unwrap_err().kind, ActionErrorKind::Precondition, "{action}");
    }
    assert!(!old.exists() && old.with_extension("log.zst").exists());
    lab.stop().await;
}
