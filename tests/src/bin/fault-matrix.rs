//! Takes every fault of the lab through the platform and back; prints the table and writes it down.
//!
//! `fault-matrix [--docs FOLDER] [FAULT ...]`: without names, all faults. Exit code 0 only if every stage of every
//! fault is as it must be or does not apply.

use acceptance_tests::matrix::{self, Client, Person, Row, Surroundings};
use acceptance_tests::{Cmdiag, Serving};
use event_store::{EventLog, PostgresEventLog, PostgresLogOptions};
use lab::Fault;
use private_servers::testing::{TestDatabase, test_folder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let mut docs = None;
    if arguments.peek().is_some_and(|argument| argument == "--docs") {
        arguments.next();
        docs = arguments.next().map(PathBuf::from);
    }
    match run(docs.as_deref(), &arguments.collect::<Vec<_>>()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fault-matrix: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(docs: Option<&Path>, names: &[String]) -> Result<bool, String> {
    let faults = chosen(names)?;
    let (folder, database) = (test_folder(), TestDatabase::migrated().await);
    let cmdiag = configured(folder.path(), database.url())?;
    let up = Serving::start_until(&cmdiag, &["lab", "up"], "The lab is up").await;
    let described = cmdiag.run(&["lab", "describe"]).await.succeeded().stdout;
    std::fs::write(folder.path().join("lab.toml"), described).map_err(|error| error.to_string())?;
    let added = cmdiag.run(&["deployment", "add", "lab.toml", "--format", "json"]).await.succeeded();
    let serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
    let pool = database.pool().await;
    let log: Arc<dyn EventLog> = PostgresEventLog::connect(pool.clone(), PostgresLogOptions::default())
        .await
        .map_err(|error| error.to_string())?;
    let around = Surroundings {
        client: Client::new(serving.url("/graphql"))?,
        deployment: deployment(&cmdiag, &added.stdout).await?,
        none: reasons()?,
        log,
        pool,
        cmdiag,
    };
    let mut rows = Vec::new();
    for fault in &faults {
        let row = matrix::one(&around, fault).await;
        println!("{}", matrix::terminal(&row));
        rows.push(row);
    }
    if let Some(docs) = docs {
        write(docs, &rows).map_err(|error| format!("write to {}: {error}", docs.display()))?;
    }
    let missed = rows.iter().filter(|row| !row.holds()).count();
    println!("{} of {} faults hold in every stage that applies", rows.len() - missed, rows.len());
    serving.interrupt().await;
    up.interrupt().await;
    Ok(missed == 0)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Fault>, String> {
    if names.is_empty() {
        return Ok(lab::faults().iter().collect());
    }
    names.iter().map(|name| lab::fault(name).map_err(|error| error.to_string())).collect()
}

/// A command line whose API knows three people.
fn configured(folder: &Path, database: &str) -> Result<Cmdiag, String> {
    let people = Person::ALL.map(|person| {
        format!("[[server.tokens]]\nactor = \"{}\"\ntoken_env = \"{}\"\n", person.name(), person.token_variable())
    });
    std::fs::write(folder.join("cmdiag.toml"), people.concat()).map_err(|error| error.to_string())?;
    let cmdiag =
        Cmdiag::on_database(folder, database).with("CMDIAG_LAB_RECORDS", "4000").with("CMDIAG_LAB_FILES", "800");
    Ok(Person::ALL.into_iter().fold(cmdiag, |cmdiag, person| cmdiag.with(person.token_variable(), person.token())))
}

async fn deployment(cmdiag: &Cmdiag, added: &str) -> Result<String, String> {
    if let Ok(added) = serde_json::from_str::<serde_json::Value>(added)
        && let Some(id) = added["id"].as_str()
    {
        return Ok(id.to_owned());
    }
    let listed = cmdiag.run(&["deployment", "list", "--format", "json"]).await.succeeded().json();
    listed[0]["id"].as_str().map(str::to_owned).ok_or_else(|| format!("no deployment is listed: {listed}"))
}

/// Why nothing is done about findings of some checks.
fn reasons() -> Result<BTreeMap<String, String>, String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/remediation-none.toml");
    let text = std::fs::read_to_string(file).map_err(|error| format!("docs/remediation-none.toml: {error}"))?;
    toml::from_str(&text).map_err(|error| format!("docs/remediation-none.toml: {error}"))
}

fn write(docs: &Path, rows: &[Row]) -> std::io::Result<()> {
    std::fs::write(docs.join("fault-matrix.md"), matrix::markdown(rows))?;
    let data = serde_json::to_string_pretty(&matrix::json(rows)).map_err(std::io::Error::other)?;
    std::fs::write(docs.join("fault-matrix.json"), data + "\n")?;
    let times = serde_json::to_string_pretty(&matrix::times(rows)).map_err(std::io::Error::other)?;
    std::fs::write(docs.join("fault-matrix-times.json"), times + "\n")
}
