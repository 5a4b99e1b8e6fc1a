//! Keys: rotation inside the log, each new key endorsed by the one before; a lost key breaks what old ones vouch for.

use crate::support::{World, pinned};
use audit::{FaultKind, Signer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_key_vouches_for_those_after_it() {
    let (world, first) = World::sealed(1).await;
    let second = world.rotate(1, &first, true).await;
    world.keyring.remove(&first.public().id()).unwrap();
    world.tell(2, 5).await;
    world.seal().await;
    for signer in [&first, &second] {
        let report = world.verify_with(pinned(&[signer.public()])).await;
        assert!(report.holds(), "{:?}", report.faults);
        assert_eq!(report.proven.pinned_to, Some(report.proven.sealed_to));
        assert_eq!(report.keys.len(), 2);
    }
    let (stranger, _) = Signer::generate().unwrap();
    let report = world.verify_with(pinned(&[stranger.public()])).await;
    let first_fault = report.first().unwrap();
    assert_eq!((first_fault.kind, first_fault.position), (FaultKind::KeyReplaced, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_key_shows_to_whoever_pinned_it() {
    let (world, first) = World::sealed(1).await;
    let second = world.rotate(1, &first, false).await;
    world.seal().await;
    assert!(world.verify().await.holds(), "without a pinned key nobody can say that it was not so");
    let report = world.verify_with(pinned(&[first.public()])).await;
    let fault = report.first().unwrap();
    assert_eq!((fault.kind, fault.position), (FaultKind::KeyReplaced, 12), "{fault:?}");
    assert_eq!(report.proven.pinned_to, Some(11), "up to there it is proven all the same");
    assert!(world.verify_with(pinned(&[first.public(), second.public()])).await.holds());
}
