//! Guides, one topic each. These modules contain documentation only.

#[doc = include_str!("../docs/outcomes.md")]
pub mod outcomes {}

#[doc = include_str!("../docs/sessions.md")]
pub mod sessions {}

#[doc = include_str!("../docs/clients.md")]
pub mod clients {}

#[cfg(feature = "forward")]
#[doc = include_str!("../docs/forward.md")]
pub mod forward {}

#[doc = include_str!("../docs/stack.md")]
pub mod stack {}

#[doc = include_str!("../docs/item.md")]
pub mod item {}

#[doc = include_str!("../docs/portal.md")]
pub mod portal {}

#[doc = include_str!("../docs/webhook.md")]
pub mod webhook {}

#[doc = include_str!("../docs/command.md")]
pub mod command {}

#[doc = include_str!("../docs/telemetry.md")]
pub mod telemetry {}

#[doc = include_str!("../docs/costs.md")]
pub mod costs {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/performance.md")]
pub mod performance {}

#[doc = include_str!("../docs/scale.md")]
pub mod scale {}

#[doc = include_str!("../docs/migration.md")]
pub mod migration {}

#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}
