//! Pages of the documentation that are longer than a section: no code.

#[doc = include_str!("../docs/scale.md")]
pub mod scale {}

#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}
