//! The demo, as `make demo ONCE=1` runs it: on private servers, twice.

use acceptance_tests::{Cmdiag, Serving};
use private_servers::testing::test_folder;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_finds_every_planted_fault_and_a_second_start_is_quick() {
    let folder = test_folder();
    let cmdiag = Cmdiag::embedded(folder.path());
    let listen = ["--listen", "127.0.0.1:0"];
    let first =
        cmdiag.run_within(Duration::from_secs(240), &["demo", "--once", listen[0], listen[1]]).await.succeeded();
    assert!(first.stdout.contains("0 missed, 0 false"), "{}", first.stdout);
    assert!(first.stdout.contains("double"), "it says that the lab is a double");
    for part in ["cause", "impact", "evidence", "advice"] {
        assert!(first.stdout.contains(part), "findings show their {part}");
    }

    let started = Instant::now();
    let again = Serving::start_until(&cmdiag, &["demo", listen[0], listen[1]], "critical").await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "a second start shows its first finding after {took:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !again.printed().contains("The API is at http://") {
        assert!(Instant::now() < deadline, "{}", again.printed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let printed = again.printed();
    let address = printed.split("The API is at http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let ready = reqwest_get(&format!("http://{address}/ready")).await;
    assert_eq!(ready, 200);
    let runs = cmdiag.run(&["runs", "--format", "json"]).await.succeeded().json();
    assert_eq!(runs.as_array().unwrap().len(), 2, "the first start's run is kept");
    assert_eq!(again.interrupt().await, 0);
}

async fn reqwest_get(url: &str) -> u16 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::get(url).await.unwrap().status().as_u16()
}
