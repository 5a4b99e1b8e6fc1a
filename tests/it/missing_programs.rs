//! Programs that are not installed: what can be done without them is done, and the rest says what to install.

use acceptance_tests::Cmdiag;
use private_servers::testing::test_folder;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A search path with these programs and no others.
fn path_with(folder: &Path, programs: &[&str]) -> PathBuf {
    let only = folder.join(format!("bin-{}", programs.len()));
    std::fs::create_dir_all(&only).unwrap();
    let real = std::env::var_os("PATH").unwrap();
    for program in programs {
        let found = std::env::split_paths(&real).map(|folder| folder.join(program)).find(|path| path.is_file());
        symlink(found.unwrap_or_else(|| panic!("{program} is installed")), only.join(program)).unwrap();
    }
    only
}

/// What the private servers' guard needs.
const GUARDS: [&str; 5] = ["sh", "setpriv", "test", "cat", "rm"];

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_demo_scores_itself_on_what_is_left() {
    let folder = test_folder();
    let cmdiag = Cmdiag::embedded(folder.path())
        .with("PATH", path_with(folder.path(), &GUARDS))
        .with("CMDIAG_LAB_RECORDS", "2000")
        .with("CMDIAG_LAB_FILES", "400");
    let demo = cmdiag.run(&["demo", "--once", "--listen", "127.0.0.1:0"]).await.succeeded();
    for said in ["no Redis (caches are in-process)", "The lab has no cache", "redis-server", "0 missed, 0 false"] {
        assert!(demo.stdout.contains(said), "{said}: {}", demo.stdout);
    }
    assert!(!demo.stderr.contains(" WARN ") && !demo.stderr.contains(" ERROR "), "{}", demo.stderr);
    let named = cmdiag.run(&["demo", "--once", "--faults", "redis-memory-full", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(named.code, 1);
    assert!(named.stderr.contains("redis-memory-full needs a Redis"), "{}", named.stderr);
    let doctor = cmdiag.run(&["doctor"]).await.succeeded();
    assert!(doctor.stdout.contains("redis-server"), "{}", doctor.stdout);
    let misled = cmdiag.clone().with("CMDIAG_REDIS_SERVER", "/nowhere/redis-server");
    let doctor = misled.run(&["doctor", "--format", "json"]).await.succeeded();
    assert!(doctor.stdout.contains("CMDIAG_REDIS_SERVER names /nowhere/redis-server"), "{}", doctor.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_private_database_needs_is_named() {
    let folder = test_folder();
    let cmdiag = Cmdiag::embedded(folder.path());
    for (name, value, said) in [
        ("CMDIAG_PG_BIN", PathBuf::from("/nowhere"), "CMDIAG_PG_BIN names /nowhere"),
        ("PATH", path_with(folder.path(), &GUARDS[..1]), "util-linux"),
    ] {
        let lacking = cmdiag.clone().with(name, value);
        for command in ["runs", "doctor"] {
            let refused = lacking.run(&[command]).await;
            assert_eq!(refused.code, 1);
            let printed = format!("{}{}", refused.stdout, refused.stderr);
            // A table breaks its lines.
            let words: Vec<&str> = printed.split(|c: char| c.is_whitespace() || c == '│' || c == '┆').collect();
            let words = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
            assert!(words.contains(said), "{command}: {words}");
        }
    }
}
