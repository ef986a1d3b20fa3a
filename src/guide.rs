//! Pages of the documentation that are longer than a section: no code.

#[doc = include_str!("../docs/item.md")]
pub mod item {}

#[doc = include_str!("../docs/stack.md")]
pub mod stack {}

#[doc = include_str!("../docs/scale.md")]
pub mod scale {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}
