//! Checkpoints handed out: to a folder and to an address that is away for a while, never keeping the sealer waiting.

use crate::support::{PATIENCE, World};
use audit::verify::Published;
use audit::{Note, Publisher, PublisherOptions, SealerOptions, Sink, VerifyOptions};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use event_store::EventLog;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A place that keeps what it is sent, or refuses it.
#[derive(Default)]
struct Place {
    refuses: AtomicBool,
    kept: Mutex<Vec<String>>,
}

async fn serve(place: Arc<Place>) -> String {
    let keep = move |body: String| async move {
        if place.refuses.load(Ordering::Relaxed) {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        place.kept.lock().unwrap().push(body);
        StatusCode::NO_CONTENT
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/checkpoints", post(keep));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/checkpoints")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_are_published_in_order_and_tried_again() {
    let (world, _) = World::sealed(2).await;
    let place = Arc::new(Place { refuses: AtomicBool::new(true), ..Place::default() });
    let url = serve(Arc::clone(&place)).await;
    let folder = world.path("published");
    let running = world.start(SealerOptions { checkpoint_events: 1, ..world.options() });
    let sinks = vec![Sink::Folder(folder.clone()), Sink::Http(url)];
    let retry = (Duration::from_millis(10), Duration::from_millis(50));
    let options = PublisherOptions { retry, ..PublisherOptions::new(sinks) };
    let cancel = CancellationToken::new();
    let publisher = Publisher::start(&world.pool, &running.handle.status(), &options, &cancel);
    let mut statuses = publisher.statuses();
    let failed = statuses[1].wait_for(|status| status.failure.as_ref().is_some_and(|why| why.contains("503")));
    tokio::time::timeout(PATIENCE, failed).await.expect("the failure shows").unwrap();
    // The address is away, and sealing goes on.
    world.tell(2, 5).await;
    running.reaches(world.log.head().await.unwrap()).await;
    place.refuses.store(false, Ordering::Relaxed);
    let newest = running.handle.status().borrow().checkpoint.as_ref().unwrap().number;
    for status in &mut statuses {
        let done = status.wait_for(|status| status.number >= newest && status.failure.is_none());
        tokio::time::timeout(PATIENCE, done).await.expect("all is published").unwrap();
    }
    cancel.cancel();
    publisher.stopped().await;
    running.stop().await;
    let kept = place.kept.lock().unwrap().clone();
    let numbers: Vec<u64> = kept.iter().map(|text| Note::parse(text).unwrap().checkpoint.number).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "in order, each once: {numbers:?}");
    let published = Published::read(&folder).unwrap();
    assert!(published.len() as u64 >= newest);
    let report = world.verify_with(VerifyOptions { published, ..VerifyOptions::default() }).await;
    assert!(report.holds(), "{:?}", report.faults);
    assert!(Published::read(&world.path("none")).is_err());
}
