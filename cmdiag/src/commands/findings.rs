//! `cmdiag findings`.

use crate::cli::{FindingsCommand, Format};
use crate::commands::as_of::now;
use crate::commands::{find_deployment, shown};
use crate::output;
use crate::platform::Platform;
use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};
use domain::FindingId;
use domain::finding::{Finding, FindingCommand};
use query_side::{FindingFilter, FindingHistoryEntry, FindingStatus, FindingView, PageRequest};
use serde_json::json;
use std::str::FromStr;

/// Lists, shows or changes findings.
pub async fn run(platform: &Platform, format: Format, command: &FindingsCommand) -> Result<()> {
    match command {
        FindingsCommand::List { deployment, all, limit, .. } => {
            let findings = read(platform, deployment.as_deref(), *all, *limit).await?;
            print_table(format, &findings, now(platform))
        }
        FindingsCommand::Show { finding, .. } => show(platform, format, finding).await,
        FindingsCommand::Acknowledge { finding, comment } => {
            let command = FindingCommand::Acknowledge { comment: comment.clone() };
            change(platform, finding, command, "acknowledged").await
        }
        FindingsCommand::Mute { finding, duration, reason } => {
            let until = Utc::now() + span_of(duration)?;
            let command = FindingCommand::Mute { until, reason: reason.clone() };
            change(platform, finding, command, &format!("muted until {}", until.format("%Y-%m-%d %H:%M UTC"))).await
        }
        FindingsCommand::FalsePositive { finding, reason } => {
            let command = FindingCommand::MarkFalsePositive { reason: reason.clone() };
            change(platform, finding, command, "marked as no problem").await
        }
    }
}

/// Findings, worst first, newest first among equals.
pub async fn read(platform: &Platform, deployment: Option<&str>, all: bool, limit: u32) -> Result<Vec<FindingView>> {
    let deployment = match deployment {
        Some(name) => Some(find_deployment(platform, name).await?.id),
        None => None,
    };
    let statuses = if all { Vec::new() } else { FindingStatus::PRESENT.to_vec() };
    let tenant = Some(platform.tenant.to_string());
    let filter = FindingFilter { tenant, deployment, statuses, ..FindingFilter::default() };
    let page = platform.queries.findings(&filter, &PageRequest::first(i64::from(limit))).await?;
    let mut findings = page.items;
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity.rank()), finding.check_code.clone()));
    Ok(findings)
}

fn print_table(format: Format, findings: &[FindingView], now: DateTime<Utc>) -> Result<()> {
    output::list(
        format,
        &["finding", "severity", "status", "check", "resource", "symptom", "seen"],
        findings,
        |finding| {
            vec![
                finding.id.to_string()[..8].to_owned(),
                output::coloured(finding.severity.as_str()),
                status(finding, now),
                finding.check_code.clone(),
                finding.resource.clone(),
                finding.symptom.clone(),
                format!("{}×", finding.occurrences),
            ]
        },
    )
}

fn status(finding: &FindingView, now: DateTime<Utc>) -> String {
    let mut words = vec![output::coloured(finding.status.as_str())];
    if finding.is_muted(now) {
        words.push("muted".to_owned());
    }
    if finding.flapping {
        words.push("flapping".to_owned());
    }
    words.join(", ")
}

/// One finding in full, as text.
pub fn describe(finding: &FindingView) -> String {
    let wrap = |text: &str| output::wrapped(text, 100, "            ");
    let evidence = match (&finding.evidence.inline, &finding.evidence.hash) {
        (Some(row), Some(hash)) => format!("{row} (all of it: {hash})"),
        (Some(row), None) => row.to_string(),
        (None, Some(hash)) => hash.to_string(),
        (None, None) => "none recorded".to_owned(),
    };
    format!(
        "{} {} {}\n  finding   {}\n  seen      {}\n  cause     {}\n  impact    {}\n  evidence  {}\n  advice    {}",
        output::coloured(finding.severity.as_str()),
        finding.check_code,
        finding.resource,
        finding.id,
        wrap(&finding.symptom),
        wrap(&finding.cause),
        wrap(&finding.impact),
        wrap(&evidence),
        wrap(&finding.advice),
    )
}

async fn show(platform: &Platform, format: Format, text: &str) -> Result<()> {
    let finding = find(platform, text).await?;
    let page = platform.queries.finding_history(finding.id, &PageRequest::first(PageRequest::MAX)).await?;
    if format == Format::Json {
        return output::json(&json!({ "finding": finding, "history": page.items }));
    }
    output::line(&describe(&finding))?;
    output::line(&format!(
        "  status    {}, seen bad {} time(s)",
        status(&finding, now(platform)),
        finding.occurrences
    ))?;
    output::line("")?;
    output::list(format, &["when", "what", "who", "detail"], &page.items, |entry: &FindingHistoryEntry| {
        let detail: String = entry.detail.to_string().chars().take(120).collect();
        let at = entry.at.format("%Y-%m-%d %H:%M:%S").to_string();
        vec![at, entry.event_type.clone(), entry.actor.clone(), detail]
    })
}

async fn change(platform: &Platform, text: &str, command: FindingCommand, said: &str) -> Result<()> {
    let finding = find(platform, text).await?;
    let done = platform.bus.execute::<Finding>(finding.id.0, command, platform.metadata()).await?;
    shown(platform, done.position).await?;
    output::line(&format!("{} {} is {said}", finding.check_code, finding.resource))
}

/// The finding with this id, or the only one whose id begins so.
pub async fn find(platform: &Platform, text: &str) -> Result<FindingView> {
    if let Ok(id) = FindingId::from_str(text) {
        let found = platform.queries.finding(id).await?;
        return found.map(|finding| (*finding).clone()).ok_or_else(|| anyhow!("there is no finding {text}"));
    }
    if text.len() < 4 || !text.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        bail!("{text:?} is not the beginning of a finding's id (at least 4 characters)");
    }
    let wanted = text.to_ascii_lowercase();
    let mut filter = FindingFilter { tenant: Some(platform.tenant.to_string()), ..FindingFilter::default() };
    let mut matching = Vec::new();
    for statuses in [FindingStatus::PRESENT.to_vec(), Vec::new()] {
        filter.statuses = statuses;
        let mut request = PageRequest::first(PageRequest::MAX);
        loop {
            let page = platform.queries.findings(&filter, &request).await?;
            matching.extend(page.items.into_iter().filter(|finding| finding.id.to_string().starts_with(&wanted)));
            match page.end_cursor {
                Some(cursor) if page.has_next => request = PageRequest::after(PageRequest::MAX, cursor),
                _ => break,
            }
        }
        if !matching.is_empty() {
            break;
        }
    }
    match (matching.len(), matching.pop()) {
        (1, Some(finding)) => Ok(finding),
        (0, _) => Err(anyhow!("no finding's id begins with {text}")),
        (many, _) => Err(anyhow!("{many} findings' ids begin with {text}: write more of it")),
    }
}

/// `90m`, `12h`, `7d`.
fn span_of(text: &str) -> Result<TimeDelta> {
    let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let number: i64 = number.parse().with_context(|| format!("{text:?} is not a duration such as 90m, 12h or 7d"))?;
    let span = match unit {
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => None,
    };
    span.filter(|span| *span > TimeDelta::zero())
        .ok_or_else(|| anyhow!("{text:?} is not a duration such as 90m, 12h or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(span_of("90m").unwrap(), TimeDelta::minutes(90));
        assert_eq!(span_of("7d").unwrap(), TimeDelta::days(7));
        for wrong in ["", "7", "d", "-1h", "0m", "7w", "99999999999999999999d", "7ä"] {
            assert!(span_of(wrong).is_err(), "{wrong}");
        }
    }
}
