//! The lines of the logs, in the grammars that public material shows. Times are local, as the product writes them.

use crate::layout::DBID;
use chrono::{DateTime, Local, Timelike as _};

/// Which grammar a log is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// `HH:MM:SS:mmm <thread> <DBID> <n> <n> [Error: ]<message>`
    Workgroup,
    /// `HH:MM:SS:mmm <thread> <DBID> <n> <n> <Processor>: <message>`
    Event,
    /// `yyyy-MM-dd HH:mm:ss,fff [thread] LEVEL <message>`
    Log4net,
    /// `HH:MM:SS:mmm <thread> -x- <message>`
    Ldap,
}

/// One in so many lines is an error: a healthy system has a few.
const ERROR_EVERY: i64 = 997;

/// A line of healthy traffic, different from line to line by `n`.
pub fn healthy(grammar: Grammar, at: DateTime<Local>, n: i64) -> String {
    let user = format!("DOUBLE\\user{}", 21 + n % 200);
    let uri = 1 + n * 37 % 500;
    let error = n % ERROR_EVERY == 500;
    match grammar {
        Grammar::Workgroup if error => {
            workgroup(at, n, &format!("Error: {user} closed its connection before the answer was sent"))
        }
        Grammar::Workgroup => {
            let message = match n % 5 {
                0 => format!("Client connected: {user} from 127.0.0.1 (double)"),
                1 => format!("Search by {user}: {} records in {} ms", n % 90, 3 + n % 40),
                2 => format!("Document of record {uri} sent to {user}"),
                3 => format!("Client disconnected: {user}"),
                _ => format!("Ping: {} clients, {} threads busy (double)", 20 + n % 30, 1 + n % 9),
            };
            workgroup(at, n, &message)
        }
        Grammar::Event => {
            let processor = ["ContentIndex", "AuditLog", "MailNotification", "WordIndexing", "ScheduleTriggers"];
            let processor = processor[(n % 5) as usize];
            let message = match n % 3 {
                0 => format!("{processor}: (workgroup notification) : Received {} events (double)", 1 + n % 7),
                1 => format!(
                    "{processor}: processing event: {n}, eventtype =3, bobtype=6, boburi={uri}, \
                     event processed immediately"
                ),
                _ => format!("{processor}: processing {} buffered events", 1 + n % 7),
            };
            workgroup(at, n, &message)
        }
        Grammar::Log4net if error => log4net(at, n, "ERROR", &format!("Double: request of {user} was cancelled")),
        Grammar::Log4net => {
            log4net(at, n, "INFO ", &format!("Double: GET /CMServiceAPI/Record/{uri} by {user}, {} ms", 4 + n % 50))
        }
        Grammar::Ldap => ldap(at, n, &format!("Synchronised {} entries of directory DOUBLE", 200 + n % 20)),
    }
}

/// A line of a flood.
pub fn flood(grammar: Grammar, at: DateTime<Local>, n: i64, message: &str) -> String {
    match grammar {
        Grammar::Workgroup | Grammar::Event => workgroup(at, n, &format!("Error: {message}")),
        Grammar::Log4net => log4net(at, n, "ERROR", message),
        Grammar::Ldap => ldap(at, n, &format!("Failed {message}")),
    }
}

fn clock(at: DateTime<Local>) -> String {
    format!("{}:{:03}", at.format("%H:%M:%S"), at.nanosecond() / 1_000_000 % 1000)
}

fn workgroup(at: DateTime<Local>, n: i64, message: &str) -> String {
    format!("{} {} {DBID} {} {} {message}\n", clock(at), 4000 + n % 24, n % 250, n % 7)
}

fn ldap(at: DateTime<Local>, n: i64, message: &str) -> String {
    format!("{} {} -x- {message}\n", clock(at), 4000 + n % 24)
}

fn log4net(at: DateTime<Local>, n: i64, level: &str, message: &str) -> String {
    let millis = at.nanosecond() / 1_000_000 % 1000;
    format!("{},{millis:03} [{}] {level} {message}\n", at.format("%Y-%m-%d %H:%M:%S"), 5 + n % 20)
}
