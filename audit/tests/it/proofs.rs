//! Proofs of one event and of two checkpoints, from the stored nodes.

use crate::support::{World, new_stream};
use audit::proofs::{prove, prove_consistency};
use audit::{Signer, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_can_be_proven_and_no_other() {
    let world = World::without_key().await;
    let signer = world.register().await;
    let stream = new_stream();
    let mut version = 0;
    for count in [9, 290, 301] {
        world.append(&stream, version, count).await;
        version += count;
        world.seal().await;
    }
    let keys = [signer.public()];
    for position in [1, 2, 10, 11, 255, 256, 257, 300, 301, 511, 512, 513, 600, 601] {
        for checkpoint in [None, Some(3)] {
            let proof = prove(&world.pool, position, checkpoint).await.unwrap();
            let note = proof.verify(&keys).unwrap();
            assert!(note.checkpoint.tree_size >= position);
            let mut other = proof.clone();
            other.event.payload.push(' ');
            assert!(other.verify(&keys).is_err(), "{position}");
            let mut other = proof.clone();
            other.event.position += 1;
            assert!(other.verify(&keys).is_err(), "{position}");
            assert!(proof.verify(&[Signer::generate().unwrap().0.public()]).is_err());
        }
    }
    assert!(prove(&world.pool, 11, Some(1)).await.is_err(), "checkpoint 1 does not cover it");
    assert!(prove(&world.pool, 602, None).await.is_err());
    assert!(prove(&world.pool, 0, None).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_checkpoint_goes_on_from_those_before_it() {
    let (world, signer) = World::sealed(5).await;
    let keys = [signer.public()];
    for first in 1..=5 {
        for second in first..=5 {
            let proof = prove_consistency(&world.pool, second, first).await.unwrap();
            proof.verify(&keys).unwrap();
            let mut other = proof.clone();
            if let Some(hash) = other.proof.first_mut() {
                *hash = "00".repeat(32);
                assert!(other.verify(&keys).is_err(), "{first} to {second}");
            }
        }
    }
    assert!(prove_consistency(&world.pool, 1, 6).await.is_err());
    assert!(store::note(&world.pool, 5).await.unwrap().is_some());
}
