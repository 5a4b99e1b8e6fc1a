//! Every command in the documentation is run: `sh` blocks as a user types them, `sql` blocks against the views, `toml`
//! blocks through the parsers.

use acceptance_tests::{Cmdiag, Serving};
use private_servers::testing::test_folder;
use sqlx::Executor;
use std::path::{Path, PathBuf};

struct Block {
    /// The words behind the fence, such as `sh exit=2`.
    language: String,
    text: String,
    line: usize,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let mut found: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn of<'a>(blocks: &'a [Block], language: &str) -> impl Iterator<Item = &'a Block> {
    blocks.iter().filter(move |block| block.language.split(' ').next() == Some(language))
}

/// Runs a block's lines in the shell, with `cmdiag` on the path.
async fn run_block(cmdiag: &Cmdiag, block: &Block, page: &str) {
    let expected = block.language.split("exit=").nth(1).map_or(0, |code| code.parse().unwrap());
    let probe = cmdiag.command(&[]);
    let program = probe.as_std().get_program();
    let folder = Path::new(program).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut shell = tokio::process::Command::new("/bin/bash");
    shell.args(["-e", "-c", &block.text]).current_dir(cmdiag.data_dir()).kill_on_drop(true);
    for (name, value) in probe.as_std().get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell.env("PATH", path).output().await.unwrap();
    assert_eq!(
        output.status.code(),
        Some(expected),
        "{page}:{}\n{}\n--- stdout\n{}\n--- stderr\n{}",
        block.line,
        block.text,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_and_queries_of_the_pages_work() {
    let folder = test_folder();
    let cmdiag = Cmdiag::embedded(folder.path()).with("CMDIAG_LAB_RECORDS", "2000").with("CMDIAG_LAB_FILES", "400");
    // One process keeps the private database for all commands of the pages, as a user's `serve` would.
    let serving = Serving::start(&cmdiag, &["serve", "--listen", "127.0.0.1:0"]).await;
    let users = blocks("docs/users.md");
    let first = of(&users, "sh").next().unwrap();
    assert_eq!(first.text.trim(), "cmdiag lab up", "the page begins with the lab");
    let lab = Serving::start_until(&cmdiag, &["lab", "up"], "The lab is up").await;
    for block in of(&users, "sh").skip(1) {
        run_block(&cmdiag, block, "docs/users.md").await;
    }
    for page in ["docs/operators.md", "docs/auditors.md"] {
        for block in of(&blocks(page), "sh") {
            run_block(&cmdiag, block, page).await;
        }
    }

    let url = private_database(folder.path()).await;
    let pool = sqlx::PgPool::connect_with(migrations::connect_options(&url).unwrap()).await.unwrap();
    let mut queries = 0;
    for block in of(&blocks("docs/analysts.md"), "sql") {
        let mut analyst = pool.begin().await.unwrap();
        analyst.execute("SET LOCAL ROLE cmdiag_analyst").await.unwrap();
        let rows = analyst.fetch_all(block.text.as_str()).await;
        rows.unwrap_or_else(|error| panic!("docs/analysts.md:{}: {error}", block.line));
        queries += 1;
    }
    assert!(queries >= 5, "the page has its queries");
    pool.close().await;
    assert_eq!(lab.interrupt().await, 0);
    assert_eq!(serving.interrupt().await, 0);
}

/// The URL of the private database that the serving process runs.
async fn private_database(folder: &Path) -> String {
    let options = private_servers::PostgresOptions::new(folder.join("postgres"));
    let attached = private_servers::PrivatePostgres::start(options).await.unwrap();
    assert!(!attached.is_owned(), "the serving process runs it");
    attached.url("cmdiag")
}

#[test]
fn the_configuration_files_of_the_pages_parse() {
    for page in ["docs/users.md", "docs/operators.md"] {
        for block in of(&blocks(page), "toml") {
            let parsed: Result<toml::Table, _> = block.text.parse();
            parsed.unwrap_or_else(|error| panic!("{page}:{}: {error}", block.line));
        }
    }
}

#[test]
fn every_make_target_that_the_pages_name_exists() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let named = regex::Regex::new(r"`make ([a-z-]+)").unwrap();
    for page in ["README.md", "docs/contributors.md", "docs/users.md", "docs/operators.md", "docs/performance.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap_or_default();
        for found in named.captures_iter(&text) {
            assert!(makefile.contains(&format!("\n{}:", &found[1])), "{page}: make {} is no target", &found[1]);
        }
    }
}
