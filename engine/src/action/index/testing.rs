//! The content index of a small lab.

use crate::action::testing::Trial;
use serde_json::Value;

pub(super) use crate::action::event_queue::testing::Site;

#[expect(clippy::needless_pass_by_value, reason = "tests write the arguments in place")]
pub(super) fn trial(site: &Site, action: &'static str, arguments: Value) -> Trial {
    site.on("content-index", action, &arguments)
}
