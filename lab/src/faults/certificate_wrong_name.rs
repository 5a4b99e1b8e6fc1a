//! Failure mode 38: the certificate is another host's.

use crate::context::FaultContext;
use crate::control::{CertificateKind, Switch};
use crate::error::LabError;
use crate::fault::{Fault, may, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "certificate-wrong-name",
    title: "The web certificate is for another name",
    breaks: "The web double shows a certificate for other-host.double.example",
    expects: &[
        must("WEB-CERT-NAME", ""),
        may("WEB-STATUS"),
        may("WEB-LATENCY"),
        may("CM-WEB-NO-WGS"),
        may("CM-CLOCK-SKEW"),
    ],
    conflicts: &["clock-skew", "web-cannot-reach-wgs", "web-errors", "web-slow"],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::WebCertificate { kind: CertificateKind::WrongName }]).await
}
