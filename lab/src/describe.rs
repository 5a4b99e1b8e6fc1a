//! What the lab says about itself: the components to register.

use crate::database::{self, Roles, SCHEMA_VERSION};
use crate::description::{LabComponent, LabDescription, SecretPlace, ThresholdOverride};
use crate::error::LabError;
use crate::index;
use crate::layout::{DBID, Folders, STORES, WORKGROUP_SERVERS, write_atomically};
use crate::options::LabOptions;
use crate::redis::{self, RedisUrl};
use crate::service_manager;
use crate::web;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::Local;
use sqlx::postgres::PgConnectOptions;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr as _;

/// Describes the lab as a deployment.
pub fn describe(
    options: &LabOptions,
    folders: &Folders,
    roles: &Roles,
    ports: &BTreeMap<String, u16>,
    admin_url: &str,
) -> Result<LabDescription, LabError> {
    let mut components = vec![dataset(options, folders, roles, admin_url)?];
    components.extend(WORKGROUP_SERVERS.map(|wgs| workgroup_server(folders, ports, wgs)));
    components.extend(STORES.map(|(number, name, _)| store(folders, number, name)));
    components.push(web_tier(folders, ports));
    components.push(event_processor(folders));
    let content_index = vec![
        ("url", format!("http://127.0.0.1:{}", port(ports, "index"))),
        ("index", index::ALIAS.to_owned()),
        ("dataset", "dataset".to_owned()),
    ];
    components.push(for_actions(component("content-index", "content-index", content_index), folders));
    components.push(host(folders));
    match &options.redis_url {
        Some(url) => components.push(cache(folders, url)?),
        // What an earlier start was given is not there any more.
        None => drop(std::fs::remove_file(redis::url_file(folders))),
    }
    Ok(LabDescription {
        name: "content-manager-lab".to_owned(),
        product_version: "23.4".to_owned(),
        is_double: true,
        labels: [("double", "true"), ("made-by", "lab")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        components,
        overrides: overrides(),
    })
}

fn workgroup_server(folders: &Folders, ports: &BTreeMap<String, u16>, wgs: &str) -> LabComponent {
    let mut settings = vec![
        ("host", "127.0.0.1".to_owned()),
        ("port", port(ports, wgs)),
        ("config", text(&folders.config(wgs))),
        ("admin_config", text(&folders.admin_config())),
        ("logs", text(&folders.logs(wgs))),
        ("archive_path", text(&folders.log_archive())),
        ("utc_offset_minutes", utc_offset_minutes()),
        ("dbid", DBID.to_owned()),
        ("dataset", "dataset".to_owned()),
        ("service_command", service_command(folders, wgs)),
        ("service_guard_s", SERVICE_GUARD_S.to_owned()),
    ];
    // The audit log is written by one server only.
    if wgs == WORKGROUP_SERVERS[0] {
        settings.push(("audit_logs", text(&folders.audit_logs())));
    }
    component(wgs, "workgroup-server", settings)
}

fn store(folders: &Folders, number: i64, name: &str) -> LabComponent {
    let settings = vec![
        ("path", text(&folders.store_root(name))),
        ("backup_path", text(&folders.backup_root(name))),
        ("quarantine_path", text(&folders.quarantine(name))),
        ("store_number", number.to_string()),
        ("dbid", DBID.to_owned()),
        ("dataset", "dataset".to_owned()),
    ];
    component(name, "document-store", settings)
}

fn web_tier(folders: &Folders, ports: &BTreeMap<String, u16>) -> LabComponent {
    let [certificate, key] = web::served_files(folders);
    let [renewed, renewed_key] = web::renewed_files(folders);
    let web = vec![
        ("url", format!("https://127.0.0.1:{}", port(ports, "web"))),
        ("ca", text(&web::ca_file(folders))),
        ("host", "127.0.0.1".to_owned()),
        ("port", port(ports, "web")),
        // What its users call it: the name that its certificate must have.
        ("server_name", "localhost".to_owned()),
        ("logs", text(&folders.logs("web"))),
        ("archive_path", text(&folders.log_archive())),
        ("certificate_file", text(&certificate)),
        ("certificate_key_file", text(&key)),
        ("renewed_certificate_file", text(&renewed)),
        ("renewed_certificate_key_file", text(&renewed_key)),
        ("certificate_watched", "true".to_owned()),
        ("utc_offset_minutes", utc_offset_minutes()),
        ("service_command", service_command(folders, "web")),
        ("service_guard_s", SERVICE_GUARD_S.to_owned()),
    ];
    for_actions(component("web", "web-tier", web), folders)
}

fn event_processor(folders: &Folders) -> LabComponent {
    let events = vec![
        ("logs", text(&folders.logs("events"))),
        ("archive_path", text(&folders.log_archive())),
        ("utc_offset_minutes", utc_offset_minutes()),
        ("audit_logs", text(&folders.audit_logs())),
        ("dbid", DBID.to_owned()),
        ("dataset", "dataset".to_owned()),
        ("connector", "web".to_owned()),
        ("service_command_render", service_command(folders, "render")),
        ("service_command_mail", service_command(folders, "mail")),
        ("service_guard_s", SERVICE_GUARD_S.to_owned()),
    ];
    component("events", "event-processor", events)
}

fn host(folders: &Folders) -> LabComponent {
    let host = vec![
        ("path", text(folders.root())),
        ("logs", text(&folders.root().join("logs"))),
        ("archive_path", text(&folders.log_archive())),
        ("temp_path", text(&folders.temp())),
        ("temp_archive_path", text(&folders.temp_archive())),
    ];
    component("host", "host", host)
}

/// Thresholds of the lab's own. A session that a fault opens is seconds old when it is looked for, where a real one
/// would be minutes old. And the lab lives on whatever machine there is: how full or busy that one is, is nothing that
/// was planted. It is measured all the same, and shown with the results.
fn overrides() -> Vec<ThresholdOverride> {
    let young = |check: &str, threshold: &str, warning: &str| ThresholdOverride {
        check: check.to_owned(),
        threshold: threshold.to_owned(),
        warning: Some(warning.to_owned()),
        critical: None,
        reason: "the lab's faults are seconds old when they are looked for".to_owned(),
    };
    let machine = |check: &str, threshold: &str, range: &str| ThresholdOverride {
        check: check.to_owned(),
        threshold: threshold.to_owned(),
        warning: Some(range.to_owned()),
        critical: Some(range.to_owned()),
        reason: "the lab's machine is not part of the double".to_owned(),
    };
    vec![
        young("PG-BLOCKED-QUERY", "blocked_s", "1"),
        young("PG-IDLE-IN-TRANSACTION", "idle_s", "3"),
        machine("CM-STORE-SPACE", "used_percent", "100"),
        machine("HOST-DISK", "disk_used_percent", "100"),
        machine("HOST-INODES", "inode_used_percent", "100"),
        machine("HOST-MEMORY", "memory_used_percent", "100"),
        machine("HOST-LOAD", "load_per_cpu", "1000"),
    ]
}

fn dataset(options: &LabOptions, folders: &Folders, roles: &Roles, admin_url: &str) -> Result<LabComponent, LabError> {
    let server = PgConnectOptions::from_str(admin_url).map_err(LabError::db("understand its URL"))?;
    let url = format!("postgres://{}@{}:{}/{}", roles.monitor, server.get_host(), server.get_port(), options.database);
    let settings = vec![
        ("url", url),
        ("dbid", DBID.to_owned()),
        ("expected_schema_version", SCHEMA_VERSION.to_string()),
        ("action_user", roles.operator.clone()),
    ];
    let mut dataset = component("dataset", "dataset-database", settings);
    let secrets = [("password", folders.monitor_password()), ("action_password", folders.operator_password())];
    let secrets = secrets.map(|(purpose, file)| (purpose.to_owned(), SecretPlace::File(text(&file))));
    dataset.secrets.extend(secrets);
    Ok(dataset)
}

fn cache(folders: &Folders, url: &str) -> Result<LabComponent, LabError> {
    let parsed = RedisUrl::parse(url)?;
    write_atomically(&redis::url_file(folders), url.as_bytes(), 0o600)?;
    let mut cache = component("cache", "cache", vec![("url", parsed.bare)]);
    if let Some(user) = parsed.user {
        cache.settings.insert("user".to_owned(), user);
    }
    if let Some(password) = parsed.password {
        let file = folders.root().join("secrets/cache.password");
        write_atomically(&file, password.as_bytes(), 0o600)?;
        cache.secrets.insert("password".to_owned(), SecretPlace::File(text(&file)));
    }
    Ok(for_actions(cache, folders))
}

/// The lab's faults are seconds old: what was started just now may be started again.
const SERVICE_GUARD_S: &str = "0";

/// The command that tells a service of the lab something, by the platform's contract.
fn service_command(folders: &Folders, service: &str) -> String {
    serde_json::json!(["/bin/sh", service_manager::script(folders), service]).to_string()
}

/// Who changes something does it as somebody else than who looks.
fn for_actions(mut component: LabComponent, folders: &Folders) -> LabComponent {
    component.settings.insert("action_user".to_owned(), redis::ACTION_USER.to_owned());
    component.secrets.insert("action_password".to_owned(), SecretPlace::File(text(&folders.action_password())));
    component
}

/// The header of the same, for the doubles that speak HTTP.
pub fn authorization(folders: &Folders) -> Result<String, LabError> {
    let password = database::ensure_password(&folders.action_password())?;
    Ok(format!("Basic {}", BASE64.encode(format!("{}:{password}", redis::ACTION_USER))))
}

fn component(name: &str, kind: &str, settings: Vec<(&str, String)>) -> LabComponent {
    LabComponent {
        name: name.to_owned(),
        kind: kind.to_owned(),
        settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        secrets: BTreeMap::new(),
        labels: BTreeMap::from([("double".to_owned(), "true".to_owned())]),
    }
}

/// The logs are in local time, as the product writes them.
fn utc_offset_minutes() -> String {
    (Local::now().offset().local_minus_utc() / 60).to_string()
}

fn port(ports: &BTreeMap<String, u16>, of: &str) -> String {
    ports.get(of).map_or_else(String::new, ToString::to_string)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
