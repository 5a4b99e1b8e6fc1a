//! Failure mode 38: the certificate ends soon.

use crate::context::FaultContext;
use crate::control::{CertificateKind, Switch};
use crate::error::LabError;
use crate::fault::{Fault, must};
use std::time::Duration;

/// The fault.
pub const FAULT: Fault = Fault {
    name: "certificate-expiring",
    title: "The web certificate expires in days",
    breaks: "The web double shows a certificate that ends in five days",
    expects: &[must("WEB-CERT-EXPIRY", "")],
    ripe_after: Duration::ZERO,
    inject: |context| Box::pin(inject(context)),
    refresh: None,
};

async fn inject(context: &mut FaultContext<'_>) -> Result<(), LabError> {
    context.switch(vec![Switch::WebCertificate { kind: CertificateKind::Expiring }]).await
}
