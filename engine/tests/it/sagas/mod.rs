//! The saga kit, for every runbook and every action, on the real parts of the lab: each step twice, failing at each
//! step in turn, each undo twice, its process killed between any two events.
//!
//! What is covered is read from the packs and from the list of actions: a new one without a case fails
//! [`every_runbook_and_every_action_is_put_through_the_kit`].

mod bench;
mod case;
mod database;
mod files;
mod index;
mod others;
mod services;

use bench::{Bench, Parts, repository};
use case::{Case, Kind};
use engine::action::list;
use engine::pack::Packs;
use std::collections::BTreeSet;

/// One test for each line; and the list of them all. Each part of a line has a lab and a database of its own, and all
/// parts run at the same time: they mostly wait.
macro_rules! sagas {
    ($($test:ident: $($parts:ident $cases:expr),+;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                tokio::join!($(prove(Parts::$parts, &$cases)),+);
            }
        )*

        fn all() -> Vec<&'static [Case]> {
            vec![$($(&$cases),+),*]
        }
    };
}

sagas! {
    sagas_about_sessions_and_rows: Plain database::SESSIONS, Plain database::ROWS;
    sagas_about_tables_and_indexes: Plain database::TABLES, Plain database::INDEXES;
    sagas_about_settings: Durable database::DURABILITY, Plain database::SETTINGS;
    sagas_about_files: Plain files::STORES, Plain files::CONFIGURATIONS, OtherVolume files::ROOM;
    sagas_about_services: Plain services::SERVICES, Plain services::WEB;
    sagas_about_events_and_the_content_index: Plain services::EVENTS, Plain index::INDEX;
    sagas_about_the_cache_and_of_the_demo: Cache others::CACHE, Plain others::DEMO;
}

async fn prove(parts: Parts, cases: &'static [Case]) {
    let bench = Bench::start(parts, cases).await;
    bench.prove(cases).await;
    bench.stop().await;
}

#[test]
fn every_runbook_and_every_action_is_put_through_the_kit() {
    let packs = Packs::load(&repository().join("packs")).unwrap_or_else(|errors| panic!("{errors}"));
    let cases: Vec<&Case> = all().into_iter().flatten().collect();
    let named = |is_runbook: bool| {
        let of_kind = cases.iter().filter(|case| matches!(case.kind, Kind::Runbook) == is_runbook);
        of_kind.map(|case| case.name).collect::<Vec<_>>()
    };
    let (runbooks, mut actions) = (named(true), named(false));
    let known: BTreeSet<&str> = packs.runbooks().map(|runbook| runbook.name.as_str()).collect();
    let proven: BTreeSet<&str> = runbooks.iter().copied().collect();
    assert_eq!(known.difference(&proven).collect::<Vec<_>>(), Vec::<&&str>::new(), "runbooks without a case");
    assert_eq!(proven.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "cases of no runbook");
    // A runbook of one step is a plan of its action alone.
    for runbook in packs.runbooks() {
        let mut of_runbook = runbook.actions();
        actions.extend(of_runbook.next().filter(|_| of_runbook.next().is_none()).map(domain::ActionName::as_str));
    }
    let proven: BTreeSet<&str> = actions.into_iter().collect();
    let known: BTreeSet<&str> = list::all().iter().map(|action| action.spec().name).collect();
    assert_eq!(known.difference(&proven).collect::<Vec<_>>(), Vec::<&&str>::new(), "actions without a case");
    assert_eq!(proven.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "cases of no action");
}
