//! Bundles: verified with nothing but the file; damaged ones are not.

use crate::support::World;
use audit::bundle::{verify_bundle, write_bundle};
use audit::{FaultKind, Report, Signer, VerifyOptions};
use chrono::DateTime;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// 31 events, checkpoints at 11, 21 and 31, in a file.
async fn bundled() -> (World, Signer, PathBuf) {
    let (world, signer) = World::sealed(3).await;
    let file = world.path("history.zst");
    let written = write_bundle(&world.pool, &file, None, DateTime::UNIX_EPOCH, |_, _| {}).await.unwrap();
    assert_eq!((written.events, written.checkpoints), (31, 3));
    assert!(!file.with_extension("part").exists());
    (world, signer, file)
}

fn verify(file: &Path, options: &VerifyOptions) -> Report {
    verify_bundle(file, options, |_, _| {}).unwrap()
}

fn lines(file: &Path) -> Vec<String> {
    let packed = std::fs::read(file).unwrap();
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn pack(file: &Path, lines: &[String]) {
    let mut encoder = zstd::Encoder::new(std::fs::File::create(file).unwrap(), 3).unwrap();
    for line in lines {
        writeln!(encoder, "{line}").unwrap();
    }
    encoder.finish().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_says_the_same_as_the_log() {
    let (world, signer, file) = bundled().await;
    let options =
        VerifyOptions { pinned: vec![signer.public()], published: world.published().await, ..VerifyOptions::default() };
    let report = verify(&file, &options);
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!(report, world.verify_with(options).await);
    assert_eq!((report.proven.pinned_to, report.proven.published_to), (Some(31), Some(31)));
    let part = world.path("part.zst");
    let written = write_bundle(&world.pool, &part, Some(25), DateTime::UNIX_EPOCH, |_, _| {}).await.unwrap();
    assert_eq!((written.events, written.checkpoints), (21, 2), "a row of seals is not divided");
    assert!(verify(&part, &VerifyOptions::default()).holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_counts() {
    let (world, _, file) = bundled().await;
    let whole = lines(&file);
    let other = world.path("other.zst");
    for at in 1..whole.len() {
        let mut without = whole.clone();
        without.remove(at);
        pack(&other, &without);
        let report = verify(&other, &VerifyOptions::default());
        assert!(!report.holds(), "without line {at}: {}", whole[at]);
        let mut twice = whole.clone();
        twice.insert(at, whole[at].clone());
        pack(&other, &twice);
        assert!(!verify(&other, &VerifyOptions::default()).holds(), "line {at} twice: {}", whole[at]);
    }
    for at in 1..whole.len() - 1 {
        pack(&other, &whole[..at]);
        let report = verify(&other, &VerifyOptions::default());
        assert!(report.faults.iter().any(|fault| fault.kind == FaultKind::BundleCut), "cut at line {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_event_is_named() {
    let (world, _, file) = bundled().await;
    let mut changed = lines(&file);
    let at = changed.iter().position(|line| line.contains("\"position\":17,")).unwrap();
    changed[at] = changed[at].replace("\"Happened\"", "\"Happenee\"");
    let other = world.path("other.zst");
    pack(&other, &changed);
    let report = verify(&other, &VerifyOptions::default());
    let fault = report.first().unwrap();
    assert_eq!((fault.position, fault.up_to, fault.kind), (17, 17, FaultKind::EventChanged));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_not_whole() {
    let (world, _, file) = bundled().await;
    let packed = std::fs::read(&file).unwrap();
    let other = world.path("other.zst");
    for (what, bytes) in [
        ("cut", packed[..packed.len() - 20].to_vec()),
        ("flipped", {
            let mut bytes = packed.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }),
    ] {
        std::fs::write(&other, bytes).unwrap();
        let report = verify_bundle(&other, &VerifyOptions::default(), |_, _| {});
        assert!(report.is_err() || !report.unwrap().holds(), "{what}");
    }
    std::fs::write(&other, "no bundle").unwrap();
    assert!(verify_bundle(&other, &VerifyOptions::default(), |_, _| {}).is_err());
    pack(&other, &["{\"kind\":\"manifest\"}".to_owned()]);
    assert!(verify_bundle(&other, &VerifyOptions::default(), |_, _| {}).is_err());
    assert!(verify_bundle(&world.path("none"), &VerifyOptions::default(), |_, _| {}).is_err());
}
