//! Attacks straight in the tables, by their owner, with the triggers switched off: each is found, and the first bad
//! position named. Which of them need something from outside (a pinned key, a published checkpoint) is said by the test
//! that shows that without it they are not found.

use crate::support::{World, pinned};
use audit::keys::attest;
use audit::merkle::STORED_LEVELS;
use audit::signing::note_digest;
use audit::{Checkpoint, Fault, FaultKind, Frontier, Note, Report, Signer, StoredEvent, VerifyOptions, chain, store};
use futures::TryStreamExt as _;
use sqlx::{Executor, PgConnection};
use std::collections::HashMap;

/// 31 events, checkpoints at 11, 21 and 31.
async fn attacked(attack: &str) -> Report {
    let (world, _) = World::sealed(3).await;
    world.owner().await.execute(attack).await.unwrap_or_else(|error| panic!("{attack}: {error}"));
    world.verify().await
}

#[track_caller]
fn first(report: &Report) -> &Fault {
    report.first().unwrap_or_else(|| panic!("nothing was found: {report:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_is_found_whatever_it_is_in() {
    for attack in [
        "UPDATE cmdiag.events SET payload = replace(payload::text, '  ', ' ')::json WHERE position = 17",
        "UPDATE cmdiag.events SET payload = replace(payload::text, 'ä', 'a')::json WHERE position = 17",
        "UPDATE cmdiag.events SET metadata = replace(metadata::text, 'tester', 'testes')::json WHERE position = 17",
        "UPDATE cmdiag.events SET recorded_at = recorded_at + interval '1 microsecond' WHERE position = 17",
        "UPDATE cmdiag.events SET event_type = 'Happenee' WHERE position = 17",
        "UPDATE cmdiag.events SET event_version = '2' WHERE position = 17",
        "UPDATE cmdiag.events SET event_id = gen_random_uuid() WHERE position = 17",
        "UPDATE cmdiag.events SET aggregate_type = 'Thinh' WHERE position = 17",
        "UPDATE cmdiag.events SET sequence = 1000 WHERE position = 17",
    ] {
        let report = attacked(attack).await;
        let fault = first(&report);
        let found = (fault.position, fault.up_to, fault.kind);
        assert_eq!(found, (17, 17, FaultKind::EventChanged), "{attack}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_gone_or_moved_or_added_are_found() {
    let swap = "ALTER TABLE cmdiag.events DROP CONSTRAINT events_position_key; \
        UPDATE cmdiag.events SET position = 31 - position WHERE position IN (14, 17)";
    let shift = "ALTER TABLE cmdiag.events DROP CONSTRAINT events_position_key; \
        UPDATE cmdiag.events SET position = position + 1 WHERE position >= 20; \
        INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
            metadata, position) VALUES ('Thing', 'x', 1, 'Happened', '1', '{}', '{}', 20)";
    let twice = "ALTER TABLE cmdiag.events DROP CONSTRAINT events_position_key; \
        INSERT INTO cmdiag.events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, \
            metadata, position) VALUES ('Thing', 'x', 1, 'Happened', '1', '{}', '{}', 20)";
    for (attack, position) in [
        ("DELETE FROM cmdiag.events WHERE position = 9", 9),
        ("DELETE FROM cmdiag.events WHERE position BETWEEN 9 AND 11", 9),
        (swap, 14),
        (shift, 20),
        (twice, 20),
        ("DELETE FROM cmdiag.events WHERE position > 26", 27),
        ("DELETE FROM cmdiag.events WHERE position > 1", 2),
    ] {
        let report = attacked(attack).await;
        assert_eq!(first(&report).position, position, "{attack}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seals_and_checkpoints_that_are_changed_are_found() {
    let cut = "DELETE FROM cmdiag.events WHERE position > 21; DELETE FROM cmdiag.audit_seals WHERE first_position > 21";
    for (attack, position, kind) in [
        (
            "UPDATE cmdiag.audit_seals SET leaves = set_byte(leaves, 0, 255 - get_byte(leaves, 0)) WHERE first_position = \
             (SELECT min(first_position) FROM cmdiag.audit_seals WHERE first_position > 11)",
            12,
            FaultKind::EventChanged,
        ),
        (
            "UPDATE cmdiag.audit_seals SET chains = set_byte(chains, 0, 255 - get_byte(chains, 0)) WHERE first_position = \
             (SELECT min(first_position) FROM cmdiag.audit_seals WHERE first_position > 11)",
            12,
            FaultKind::ChainBroken,
        ),
        (
            "DELETE FROM cmdiag.audit_seals WHERE first_position = (SELECT min(first_position) FROM cmdiag.audit_seals \
          WHERE first_position > 11)",
            12,
            FaultKind::SealMissing,
        ),
        (cut, 22, FaultKind::LogTruncated),
        ("DELETE FROM cmdiag.audit_checkpoints WHERE number = 2", 12, FaultKind::CheckpointMissing),
        (
            "UPDATE cmdiag.audit_checkpoints SET note = replace(note, 'number 2', 'number 4') WHERE number = 2",
            12,
            FaultKind::CheckpointMissing,
        ),
        ("UPDATE cmdiag.audit_checkpoints SET note = 'nonsense' WHERE number = 1", 11, FaultKind::CheckpointDamaged),
    ] {
        let report = attacked(attack).await;
        let fault = first(&report);
        assert_eq!((fault.position, fault.kind), (position, kind), "{attack}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_node_is_found() {
    let world = World::new().await;
    world.append(&crate::support::new_stream(), 0, 600).await;
    world.seal().await;
    let attack = "UPDATE cmdiag.audit_nodes SET hash = decode(repeat('00', 32), 'hex') WHERE index = 1";
    world.owner().await.execute(attack).await.unwrap();
    let report = world.verify().await;
    let fault = first(&report);
    assert_eq!((fault.position, fault.up_to, fault.kind), (257, 512, FaultKind::NodeDiffers));
}

/// Writes everything from a position on anew, as one could who owns the database: events as they are now, seals and
/// nodes computed as the sealer computes them. With a key: checkpoints, too.
async fn seal_anew(world: &World, owner: &mut PgConnection, signer: Option<&Signer>) {
    let sizes: Vec<(u64, String)> =
        world.published().await.iter().map(|note| (note.checkpoint.tree_size, note.text.clone())).collect();
    let end = store::log_end(&mut *owner).await.unwrap();
    owner.execute("DELETE FROM cmdiag.audit_seals; DELETE FROM cmdiag.audit_nodes").await.unwrap();
    if signer.is_some() {
        owner.execute("DELETE FROM cmdiag.audit_checkpoints").await.unwrap();
    }
    let rows: Vec<_> = store::events(&mut *owner, 0, end, 10_000).try_collect().await.unwrap();
    let (mut frontier, mut heads, mut nodes) = (Frontier::default(), HashMap::new(), Vec::new());
    let (mut leaves, mut chains, mut from, mut previous, mut number) = (Vec::new(), Vec::new(), 1, None, 0);
    for row in &rows {
        let event: StoredEvent<'_> = store::stored(row).unwrap();
        let leaf = event.leaf(&mut Vec::new());
        let head = heads.entry((event.aggregate_type, event.aggregate_id)).or_insert(chain::START);
        *head = chain::link(head, &leaf);
        chains.extend_from_slice(head);
        leaves.extend_from_slice(&leaf);
        frontier.push(leaf, |node| nodes.push(node));
        let size = frontier.size();
        if size != end && !sizes.iter().any(|(known, _)| *known == size) {
            continue;
        }
        let insert =
            "INSERT INTO cmdiag.audit_seals (first_position, last_position, leaves, chains) VALUES ($1, $2, $3, $4)";
        let insert = sqlx::query(insert).bind(from).bind(size as i64).bind(&leaves).bind(&chains);
        insert.execute(&mut *owner).await.unwrap();
        (from, leaves, chains) = (size as i64 + 1, Vec::new(), Vec::new());
        let Some(signer) = signer else { continue };
        number += 1;
        let old = Note::parse(&sizes[number - 1].1).unwrap().checkpoint;
        let forged =
            Checkpoint { root: frontier.root(), previous, key_id: signer.public().id(), tree_size: size, ..old };
        let text = forged.sign(signer);
        previous = Some(note_digest(&text));
        sqlx::query(
            "INSERT INTO cmdiag.audit_checkpoints (number, tree_size, root, head_at, signed_at, key_id, note) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(number as i64)
        .bind(size as i64)
        .bind(forged.root.as_slice())
        .bind(forged.head_at)
        .bind(forged.signed_at)
        .bind(&forged.key_id)
        .bind(&text)
        .execute(&mut *owner)
        .await
        .unwrap();
    }
    for node in nodes.iter().filter(|node| node.level % STORED_LEVELS == 0) {
        sqlx::query("INSERT INTO cmdiag.audit_nodes (level, index, hash) VALUES ($1, $2, $3)")
            .bind(node.level as i16)
            .bind(node.index as i64)
            .bind(node.hash.as_slice())
            .execute(&mut *owner)
            .await
            .unwrap();
    }
}

const REWRITE: &str = "UPDATE cmdiag.events SET payload = '{\"Happened\": {\"n\": 0}}' WHERE position >= 16";

/// Whoever has the tables but not the private key can not sign: found with nothing from outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suffix_written_anew_with_its_seals_does_not_fit_the_checkpoints() {
    let (world, _) = World::sealed(3).await;
    let mut owner = world.owner().await;
    owner.execute(REWRITE).await.unwrap();
    seal_anew(&world, &mut owner, None).await;
    let report = world.verify().await;
    let fault = first(&report);
    assert_eq!((fault.position, fault.up_to, fault.kind), (12, 21, FaultKind::RootDiffers), "{report:?}");
    assert_eq!(report.proven.signed_to, 11, "what came before is proven all the same");
}

/// Whoever has the tables and the private key can sign again. Only what was published shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suffix_written_anew_and_signed_anew_needs_a_published_checkpoint() {
    let (world, signer) = World::sealed(3).await;
    let published = world.published().await;
    let mut owner = world.owner().await;
    owner.execute(REWRITE).await.unwrap();
    seal_anew(&world, &mut owner, Some(&signer)).await;
    let alone = world.verify_with(pinned(&[signer.public()])).await;
    assert!(alone.holds(), "it is consistent in itself, and nothing in it can say so: {:?}", alone.faults);
    let options = VerifyOptions { published, ..pinned(&[signer.public()]) };
    let report = world.verify_with(options).await;
    let fault = first(&report);
    assert_eq!((fault.position, fault.up_to), (12, 21), "{report:?}");
    assert_eq!(report.proven.published_to, Some(11));
}

/// The tail is cut with its seals and its checkpoints: only a published checkpoint knows that there was more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_cut_with_its_checkpoints_needs_a_published_checkpoint() {
    let (world, signer) = World::sealed(3).await;
    let published = world.published().await;
    let cut = "DELETE FROM cmdiag.events WHERE position > 21; \
        DELETE FROM cmdiag.audit_seals WHERE first_position > 21; \
        DELETE FROM cmdiag.audit_checkpoints WHERE number > 2";
    world.owner().await.execute(cut).await.unwrap();
    assert!(world.verify_with(pinned(&[signer.public()])).await.holds(), "nothing in it can say so");
    let report = world.verify_with(VerifyOptions { published, ..VerifyOptions::default() }).await;
    let fault = first(&report);
    assert_eq!((fault.position, fault.up_to, fault.kind), (22, 31, FaultKind::LogTruncated), "{report:?}");
}

/// The key is replaced, and everything signed with the new one: a pinned key shows it, and so does a published
/// checkpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_key_needs_a_pinned_key_or_a_published_checkpoint() {
    let (world, signer) = World::sealed(3).await;
    let published = world.published().await;
    let (forger, _) = Signer::generate().unwrap();
    let key = forger.public();
    let mut owner = world.owner().await;
    // The key alone: its event is not the one that was sealed.
    let (old, new) = (signer.public(), &key);
    for (from, to) in
        [(old.to_hex(), new.to_hex()), (old.id(), new.id()), (attest(&signer, None, &old), attest(&forger, None, new))]
    {
        sqlx::query("UPDATE cmdiag.events SET payload = replace(payload::text, $1, $2)::json WHERE position = 1")
            .bind(from)
            .bind(to)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    let report = world.verify().await;
    assert_eq!((first(&report).position, first(&report).kind), (1, FaultKind::EventChanged), "{report:?}");
    // And everything else to go with it.
    seal_anew(&world, &mut owner, Some(&forger)).await;
    assert!(world.verify().await.holds(), "whoever trusts the log's own keys trusts this one");
    let report = world.verify_with(pinned(&[signer.public()])).await;
    assert_eq!((first(&report).position, first(&report).kind), (1, FaultKind::KeyReplaced), "{report:?}");
    assert_eq!(report.proven.pinned_to, Some(0));
    let report = world.verify_with(VerifyOptions { published, ..VerifyOptions::default() }).await;
    assert_eq!(first(&report).position, 1, "{report:?}");
    assert!(report.faults.iter().any(|fault| fault.kind == FaultKind::KeyReplaced), "{report:?}");
}

/// A checkpoint signed by a key that the log does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_signature_is_found() {
    let (world, _) = World::sealed(2).await;
    let (forger, _) = Signer::generate().unwrap();
    let last = world.published().await.pop().unwrap();
    let forged = Checkpoint { key_id: forger.public().id(), ..last.checkpoint }.sign(&forger);
    let mut owner = world.owner().await;
    sqlx::query("UPDATE cmdiag.audit_checkpoints SET note = $1 WHERE number = 2")
        .bind(forged)
        .execute(&mut owner)
        .await
        .unwrap();
    let report = world.verify().await;
    assert_eq!((first(&report).position, first(&report).kind), (12, FaultKind::SignatureWrong), "{report:?}");
}

/// Memory is bounded by passes over parts of the streams; what they find is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_passes_find_what_one_pass_finds() {
    let (world, _) = World::sealed(3).await;
    let narrow = VerifyOptions { streams_max: 2, ..VerifyOptions::default() };
    let report = world.verify_with(narrow.clone()).await;
    assert!(report.holds(), "{report:?}");
    let attack = "UPDATE cmdiag.audit_seals SET chains = set_byte(chains, 0, 255 - get_byte(chains, 0)) \
        WHERE first_position = 12";
    assert_eq!(world.owner().await.execute(attack).await.unwrap().rows_affected(), 1);
    let report = world.verify_with(narrow).await;
    assert_eq!((first(&report).position, first(&report).kind), (12, FaultKind::ChainBroken), "{report:?}");
}
