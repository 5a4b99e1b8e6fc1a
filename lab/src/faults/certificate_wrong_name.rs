//! Failure mode 38: the certificate is another host's.

use crate::context::FaultContext;
use crate::control::{CertificateKind, Switch};
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "certificate-wrong-name",
    title: "The web certificate is for another name",
    breaks: "The web double shows a certificate that does not name localhost",
    expects: &[must("WEB-CERT-NAME", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::WebCertificate { kind: CertificateKind::WrongName }]).await
}
