//! Verifies a bundle: one line at a time, with no database and no network.

use super::lines::{CheckpointLine, End, EventLine, Kind, Manifest, SealLine};
use super::{FORMAT, VERSION};
use crate::AuditError;
use crate::chain::Part;
use crate::verify::{Fault, FaultKind, Report, Verifier, VerifyOptions};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read as _};
use std::path::Path;
use zstd::stream::read::Decoder;

/// No line is longer: an append has at most 16 MB, each byte of it at most six in JSON.
const LINE_BYTES_MAX: u64 = 128 << 20;
/// How often progress is told.
const PROGRESS_EVERY: u64 = 10_000;

/// Verifies a bundle; tells `progress` how many events are done, and how many the manifest says there are. Blocks:
/// not for a thread that others wait for.
pub fn verify_bundle(
    file: &Path,
    options: &VerifyOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, AuditError> {
    let (mut parts, mut whole): (_, Option<Report>) = (vec![Part::default()], None);
    while let Some(part) = parts.pop() {
        let (report, covered) = pass(file, options, part, &mut progress)?;
        parts.extend(part.without(covered));
        match &mut whole {
            None => whole = Some(report),
            Some(whole) => whole.merge(report),
        }
    }
    whole.ok_or_else(|| AuditError::Missing("nothing was verified".to_owned()))
}

/// How far a pass has come.
struct Pass {
    verifier: Verifier,
    promised: u64,
    checkpoints: u64,
    ended: bool,
}

fn pass(
    file: &Path,
    options: &VerifyOptions,
    part: Part,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(Report, Part), AuditError> {
    let shown = file.display();
    let opened = File::open(file).map_err(AuditError::file(format!("open {shown}")))?;
    let mut reader = BufReader::with_capacity(
        1 << 20,
        Decoder::new(opened).map_err(AuditError::file(format!("{shown} is no zstd file")))?,
    );
    let mut pass = Pass { verifier: Verifier::new(options.clone(), part), promised: 0, checkpoints: 0, ended: false };
    let (mut line, mut number, mut cut) = (Vec::new(), 0_u64, None);
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) if line.last() != Some(&b'\n') => {
                cut = Some(format!("line {} does not end", number + 1));
                break;
            }
            Ok(_) => {}
            // A damaged or shortened file: what came before stands for itself.
            Err(error)
                if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::Other | ErrorKind::InvalidData) =>
            {
                cut = Some(format!("after line {number} the file is not readable: {error}"));
                break;
            }
            Err(error) => return Err(AuditError::file(format!("read {shown}"))(error)),
        }
        number += 1;
        if pass.ended {
            cut = Some(format!("line {number} comes after the end"));
            break;
        }
        match pass.line(&line, number) {
            Ok(()) => {}
            Err(error) if number == 1 => return Err(error),
            Err(error) => {
                cut = Some(format!("line {number}: {error}"));
                break;
            }
        }
        if pass.verifier.events().is_multiple_of(PROGRESS_EVERY) {
            progress(pass.verifier.events(), pass.promised);
        }
    }
    if number == 0 {
        let why = cut.unwrap_or_else(|| "it is empty".to_owned());
        return Err(AuditError::Malformed(format!("{shown} is no bundle: {why}")));
    }
    Ok(pass.finish(cut))
}

impl Pass {
    fn line(&mut self, line: &[u8], number: u64) -> Result<(), AuditError> {
        let text = std::str::from_utf8(line).map_err(|_| AuditError::Malformed("not UTF-8".to_owned()))?;
        if number == 1 {
            return self.manifest(text);
        }
        // Nearly all lines are events, and ours say so at the beginning.
        if text.starts_with("{\"kind\":\"event\"") {
            return self.event(text);
        }
        let Kind { kind } = parse(text)?;
        match &*kind {
            "event" => self.event(text),
            "seal" => {
                self.verifier.seal(&parse::<SealLine>(text)?.seal()?, |_| {});
                Ok(())
            }
            "checkpoint" => {
                self.checkpoints += 1;
                self.verifier.checkpoint(&parse::<CheckpointLine>(text)?.note);
                Ok(())
            }
            "end" => self.end(&parse(text)?),
            other => Err(AuditError::Malformed(format!("a line of kind {other:?}"))),
        }
    }

    fn manifest(&mut self, text: &str) -> Result<(), AuditError> {
        let manifest: Manifest = parse(text)?;
        if manifest.kind != "manifest" || manifest.format != FORMAT || manifest.version != VERSION {
            return Err(AuditError::Malformed(format!("not a bundle of version {VERSION}")));
        }
        self.promised = manifest.events;
        self.verifier.of_log(&manifest.origin);
        Ok(())
    }

    fn event(&mut self, text: &str) -> Result<(), AuditError> {
        let line: EventLine<'_> = parse(text)?;
        self.verifier.event(&line.event()?);
        Ok(())
    }

    fn end(&mut self, end: &End) -> Result<(), AuditError> {
        self.ended = true;
        let (events, checkpoints) = (self.verifier.events(), self.checkpoints);
        if (end.events, end.checkpoints) == (events, checkpoints) && events == self.promised {
            return Ok(());
        }
        let End { events: said, checkpoints: notes, .. } = end;
        let what = format!("it holds {events} events and {checkpoints} checkpoints; its end says {said} and {notes}");
        Err(AuditError::Malformed(what))
    }

    fn finish(self, cut: Option<String>) -> (Report, Part) {
        let covered = self.verifier.part();
        let (events, promised) = (self.verifier.events(), self.promised);
        let cut = match cut {
            None if !self.ended => Some("the file ends before its end".to_owned()),
            other => other,
        };
        let mut report = self.verifier.finish(0);
        if let Some(what) = cut {
            let (position, up_to) =
                (report.proven.sealed_to + 1, promised.max(events).max(report.proven.sealed_to + 1));
            report.faults.push(Fault { position, up_to, kind: FaultKind::BundleCut, what });
            report.faults.sort_by_key(|fault| (fault.position, fault.up_to));
        }
        (report, covered)
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, AuditError> {
    serde_json::from_str(text).map_err(|error| AuditError::Malformed(format!("not a line of a bundle: {error}")))
}
