use super::{component, measure, only, probes, target};
use domain::deployment::{ComponentKind, SecretRef};
use engine::probe::ProbeErrorKind;
use private_servers::testing::test_folder;
use private_servers::{PrivateRedis, RedisOptions};

const PROBE: &str = "kind = \"redis\"\ntimeout = \"5s\"";

#[tokio::test]
async fn a_redis_is_measured_and_its_absence_too() {
    let folder = test_folder();
    let settings = vec![("maxmemory".to_owned(), "64mb".to_owned())];
    let server = PrivateRedis::start(RedisOptions { folder: folder.path().to_path_buf(), settings }).await.unwrap();
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut set = ::redis::cmd("CONFIG");
    set.arg("SET").arg("requirepass").arg("hush-hush").query_async::<()>(&mut connection).await.unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hush-hush\n").unwrap();
    let mut cache = component("cache", ComponentKind::Cache, &[("url", &server.url())]);
    cache.secrets.insert("password".to_owned(), SecretRef::File(secret.display().to_string()));

    let row = only(measure(&probes(), PROBE, &target(&[cache.clone()])).await);
    assert_eq!(
        (&row["connected"], &row["role"], &row["loading"]),
        (&true.into(), &"master".into(), &false.into()),
        "{row:?}"
    );
    assert_eq!(row["maxmemory"], 64 << 20);
    assert!((0.1..50.0).contains(&row["memory_used_percent"].as_f64().unwrap()), "{row:?}");
    assert!(row["maxclients"].as_i64().unwrap() > 0 && row["latency_ms"].as_f64().unwrap() > 0.0);

    std::fs::write(&secret, "wrong-word").unwrap();
    let error = measure(&probes(), PROBE, &target(&[cache.clone()])).await.unwrap_err();
    assert_eq!(error.kind, ProbeErrorKind::Denied, "{error}");
    assert!(!error.cause.contains("wrong-word"));

    server.stop().await;
    let row = only(measure(&probes(), PROBE, &target(&[cache])).await);
    assert_eq!((&row["connected"], &row["used_memory"]), (&false.into(), &serde_json::Value::Null));
    assert!(row["error"].is_string());
}
