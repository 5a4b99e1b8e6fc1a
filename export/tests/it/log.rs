//! The log in a folder: whole, verbatim, gone on with after a stop, and checked.

use crate::support::{World, now};
use base64::Engine as _;
use export::ExportError;
use export::event::{EventSource, StoredEvent, StoredEvents};
use export::log::manifest::{Format, Manifest};
use export::log::partition::Partition;
use export::log::verify::verify;
use export::log::{LogExport, export};
use futures::future::BoxFuture;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tokio_util::sync::CancellationToken;

fn wish(folder: &Path, format: Format, partition: Partition) -> LogExport {
    LogExport { folder: folder.to_path_buf(), format, partition, after: 0, until: None }
}

async fn exported(source: &dyn EventSource, wish: &LogExport) -> Result<Manifest, ExportError> {
    export(source, wish, now(), &mut |_| {}, &CancellationToken::new()).await
}

const BY_RANGE: Partition = Partition::Positions { size: 400 };
const BY_DAY: Partition = Partition::Day { file_events_max: 1_000 };

/// Payload, metadata and position of each event as the files have them.
fn read_back(folder: &Path, manifest: &Manifest) -> Vec<(i64, String, Option<String>)> {
    let mut read = Vec::new();
    for file in &manifest.files {
        let path = folder.join(&file.path);
        match manifest.format {
            Format::Parquet => {
                let reader = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
                for row in reader.get_row_iter(None).unwrap() {
                    let row = row.unwrap();
                    let (payload, metadata) = (row.get_string(14).unwrap(), row.get_string(15).unwrap());
                    read.push((row.get_long(0).unwrap(), payload.clone(), Some(metadata.clone())));
                }
            }
            format => {
                let bytes = fs::read(&path).unwrap();
                let bytes =
                    if format == Format::CloudEvents { bytes } else { zstd::decode_all(bytes.as_slice()).unwrap() };
                for line in String::from_utf8(bytes).unwrap().lines() {
                    let event: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
                    let position: String = serde_json::from_str(event["position"].get()).unwrap();
                    let payload = match event.get("data") {
                        Some(data) => data.get().to_owned(),
                        None => decoded(event["data_base64"].get()),
                    };
                    read.push((position.parse().unwrap(), payload, None));
                }
            }
        }
    }
    read
}

fn decoded(text: &str) -> String {
    let text: String = serde_json::from_str(text).unwrap();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}

async fn stored(world: &World) -> Vec<(i64, String, String)> {
    sqlx::query_as("SELECT position, payload::text, metadata::text FROM cmdiag.events ORDER BY position")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_holds_the_log_byte_for_byte() {
    let world = World::of(41, 1_700).await;
    sqlx::query(
        "INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
        metadata) VALUES ('Foreign', 'x', 1, 'Said', '1', E'{ \"a\":\\n 9007199254740993 }', '{\"time\": \"noon\"}')",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let expected = stored(&world).await;
    assert_eq!(expected.len(), 1_701);
    let source = StoredEvents(world.pool.clone());
    for (name, format) in
        [("lines", Format::CloudEvents), ("packed", Format::CloudEventsZstd), ("columns", Format::Parquet)]
    {
        for (by, partition) in [("range", BY_RANGE), ("day", BY_DAY)] {
            let folder = world.folder.path().join(format!("{name}-{by}"));
            let manifest = exported(&source, &wish(&folder, format, partition)).await.unwrap();
            assert_eq!((manifest.events, manifest.first_position, manifest.last_position), (1_701, Some(1), 1_701));
            assert!(manifest.files.len() >= 2, "{:?}", manifest.files);
            assert_eq!(Manifest::read(&folder).unwrap().unwrap(), manifest);
            let read = read_back(&folder, &manifest);
            assert_eq!(read.len(), expected.len());
            for (read, stored) in read.iter().zip(&expected) {
                assert_eq!((read.0, &read.1), (stored.0, &stored.1), "{name} {by}");
                assert!(read.2.as_ref().is_none_or(|metadata| *metadata == stored.2));
            }
            assert_eq!(verify(&folder).unwrap().faults, Vec::<String>::new(), "{name} {by}");
        }
    }
    let ranged = Manifest::read(&world.folder.path().join("columns-range")).unwrap().unwrap();
    let ends: Vec<i64> = ranged.files.iter().map(|file| file.last_position).collect();
    assert_eq!(ends, [400, 800, 1_200, 1_600, 1_701]);
    let days = Manifest::read(&world.folder.path().join("lines-day")).unwrap().unwrap();
    assert!(days.files.iter().all(|file| file.path.starts_with("date=20")), "{:?}", days.files);
}

/// A source that fails after some pages, as a database that goes away.
struct Failing {
    source: StoredEvents,
    pages: std::sync::atomic::AtomicUsize,
}

impl EventSource for Failing {
    fn head(&self) -> BoxFuture<'_, Result<i64, ExportError>> {
        self.source.head()
    }

    fn page(&self, after: i64, until: i64) -> BoxFuture<'_, Result<Vec<StoredEvent>, ExportError>> {
        if self.pages.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            return Box::pin(async { Err(sqlx::Error::PoolTimedOut.into()) });
        }
        self.source.page(after, until)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_goes_on_where_it_stopped_and_is_the_same_as_one_in_one_go() {
    let world = World::of(42, 3_500).await;
    let source = StoredEvents(world.pool.clone());
    for (name, partition) in [("range", BY_RANGE), ("day", BY_DAY)] {
        let whole = world.folder.path().join(format!("whole-{name}"));
        let whole_manifest = exported(&source, &wish(&whole, Format::Parquet, partition)).await.unwrap();
        let cut = world.folder.path().join(format!("cut-{name}"));
        let wish = wish(&cut, Format::Parquet, partition);
        let failing = Failing { source: source.clone(), pages: 3.into() };
        exported(&failing, &wish).await.unwrap_err();
        let partly = Manifest::read(&cut).unwrap().unwrap();
        assert!(partly.last_position > 0 && partly.last_position < 3_500, "{partly:?}");
        assert!(!fs::exists(cut.join(".events.partial")).unwrap());
        // A kill leaves a file under way, and may leave one that has its name and no line in the manifest.
        fs::write(cut.join(".events.partial"), "half a file").unwrap();
        let first = partly.last_position + 1;
        fs::write(cut.join(format!("events-{first:012}-{:012}.parquet", first + 3)), "unlisted").unwrap();
        fs::write(cut.join("notes.txt"), "not ours").unwrap();
        let manifest = exported(&source, &wish).await.unwrap();
        assert_eq!(manifest.files, whole_manifest.files, "the same files with the same bytes");
        assert_eq!(verify(&cut).unwrap().faults, Vec::<String>::new());
        assert!(fs::exists(cut.join("notes.txt")).unwrap(), "what is not ours stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_grows_with_the_log_and_writes_no_file_twice() {
    let world = World::of(43, 900).await;
    let source = StoredEvents(world.pool.clone());
    let folder = world.folder.path().join("growing");
    let wish = wish(&folder, Format::CloudEvents, BY_RANGE);
    let before = exported(&source, &wish).await.unwrap();
    let again = exported(&source, &wish).await.unwrap();
    assert_eq!(before.files, again.files, "nothing new, nothing written");
    let more: Vec<_> = projections::testing::Story::with_remedies(43).take(1_300).skip(900).collect();
    world.tell(&more).await;
    let after = exported(&source, &wish).await.unwrap();
    assert_eq!(after.files[..before.files.len()], before.files[..]);
    let ends: Vec<i64> = after.files.iter().map(|file| file.last_position).collect();
    assert_eq!(ends, [400, 800, 900, 1_200, 1_300]);
    assert_eq!(verify(&folder).unwrap().faults, Vec::<String>::new());
    // Another export does not fit into the same folder.
    for other in [
        LogExport { format: Format::Parquet, ..wish.clone() },
        LogExport { partition: BY_DAY, ..wish.clone() },
        LogExport { after: 5, ..wish.clone() },
    ] {
        let refused = exported(&source, &other).await.unwrap_err();
        assert!(matches!(refused, ExportError::OtherExport { .. }), "{refused}");
    }
    // Nor do two at once.
    let held = export::log::folder::Folder::open(&folder).unwrap();
    assert!(matches!(exported(&source, &wish).await.unwrap_err(), ExportError::Busy(_)));
    drop(held);
    // A part of the log.
    let part = LogExport { folder: world.folder.path().join("part"), after: 100, until: Some(250), ..wish.clone() };
    let manifest = exported(&source, &part).await.unwrap();
    assert_eq!((manifest.first_position, manifest.last_position, manifest.events), (Some(101), 250, 150));
    assert_eq!(verify(&part.folder).unwrap().faults, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_export_keeps_what_is_whole() {
    let world = World::of(44, 2_500).await;
    let source = StoredEvents(world.pool.clone());
    let folder = world.folder.path().join("stopped");
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let mut progress = move |_| stopping.cancel();
    let wish = wish(&folder, Format::CloudEventsZstd, BY_RANGE);
    let stopped = export(&source, &wish, now(), &mut progress, &stop).await.unwrap_err();
    assert!(matches!(stopped, ExportError::Stopped));
    let partly = Manifest::read(&folder).unwrap().unwrap();
    assert_eq!(partly.last_position % 400, 0);
    assert_eq!(verify(&folder).unwrap().faults, Vec::<String>::new(), "what is there is whole");
    assert_eq!(exported(&source, &wish).await.unwrap().last_position, 2_500);
    assert_eq!(verify(&folder).unwrap().faults, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_an_exported_folder_is_found() {
    let world = World::of(45, 1_000).await;
    let source = StoredEvents(world.pool.clone());
    for format in [Format::CloudEvents, Format::Parquet] {
        type Attack = fn(&Path, &mut Value);
        let attacks: [(&str, Attack); 7] = [
            ("a flipped byte", |folder, manifest| {
                let path = folder.join(manifest["files"][1]["path"].as_str().unwrap());
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path, bytes).unwrap();
            }),
            ("a cut tail", |folder, manifest| {
                let path = folder.join(manifest["files"][1]["path"].as_str().unwrap());
                let bytes = fs::read(&path).unwrap();
                fs::write(path, &bytes[..bytes.len() - 10]).unwrap();
            }),
            ("a missing file", |folder, manifest| {
                fs::remove_file(folder.join(manifest["files"][0]["path"].as_str().unwrap())).unwrap();
            }),
            ("two files swapped", |folder, manifest| {
                let path = |index: usize| folder.join(manifest["files"][index]["path"].as_str().unwrap());
                fs::rename(path(0), folder.join("x")).unwrap();
                fs::rename(path(1), path(0)).unwrap();
                fs::rename(folder.join("x"), path(1)).unwrap();
            }),
            ("a file left out of the manifest", |_, manifest| {
                manifest["files"].as_array_mut().unwrap().remove(1);
            }),
            ("a wrong count", |_, manifest| manifest["events"] = 999.into()),
            ("a path that leads out", |_, manifest| manifest["files"][0]["path"] = "../outside".into()),
        ];
        for (what, attack) in attacks {
            let folder = tempfile::tempdir_in(world.folder.path()).unwrap();
            exported(&source, &wish(folder.path(), format, BY_RANGE)).await.unwrap();
            let manifest_path = folder.path().join("manifest.json");
            let mut manifest: Value = serde_json::from_slice(&fs::read(&manifest_path).unwrap()).unwrap();
            attack(folder.path(), &mut manifest);
            fs::write(&manifest_path, manifest.to_string()).unwrap();
            let faults = verify(folder.path()).unwrap().faults;
            assert!(!faults.is_empty(), "{what} of {format:?} was not found");
        }
    }
    // Even where the manifest was made to fit: positions and data speak for themselves.
    let folder = world.folder.path().join("rewritten");
    let manifest = exported(&source, &wish(&folder, Format::CloudEvents, BY_RANGE)).await.unwrap();
    let path = folder.join(&manifest.files[0].path);
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replacen("\"data\":{", "\"data\":{ ", 1);
    fs::write(&path, &changed).unwrap();
    let mut listed: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    listed["files"][0]["bytes"] = changed.len().into();
    listed["files"][0]["sha256"] = sha256(changed.as_bytes()).into();
    fs::write(folder.join("manifest.json"), listed.to_string()).unwrap();
    let faults = verify(&folder).unwrap().faults;
    assert!(faults.iter().any(|fault| fault.contains("payloadsha256")), "{faults:?}");
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_log_is_an_error_and_an_empty_log_is_an_empty_export() {
    let world = World::empty().await;
    let source = StoredEvents(world.pool.clone());
    let folder = world.folder.path().join("empty");
    let manifest = exported(&source, &wish(&folder, Format::Parquet, BY_DAY)).await.unwrap();
    assert_eq!((manifest.events, manifest.first_position), (0, None));
    assert_eq!(verify(&folder).unwrap().faults, Vec::<String>::new());
    world.tell(&projections::testing::Story::new(46).take(300).collect::<Vec<_>>()).await;
    for statement in [
        "ALTER TABLE cmdiag.events DISABLE TRIGGER ALL",
        "DELETE FROM cmdiag.events WHERE position BETWEEN 100 AND 120",
    ] {
        sqlx::query(statement).execute(&world.pool).await.unwrap();
    }
    let error = exported(&source, &wish(&world.folder.path().join("hole"), Format::Parquet, BY_DAY)).await.unwrap_err();
    assert!(matches!(error, ExportError::Missing(100)), "{error}");
}
