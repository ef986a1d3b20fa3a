//! The recipes, one in each file.

mod async_openai;
mod axum;
mod azure_core;
mod hyper;
mod hyper_util;
pub mod lambda_http;
mod reqwest;
mod reqwest012;
mod reqwest_middleware;
mod rig;
pub mod rmcp;

pub use self::async_openai::AsyncOpenAi;
pub use self::axum::Axum;
pub use self::azure_core::AzureCore;
pub use self::hyper::Hyper;
pub use self::hyper_util::HyperUtil;
pub use self::reqwest::Reqwest;
pub use self::reqwest_middleware::ReqwestMiddleware;
pub use self::reqwest012::Reqwest012;
pub use self::rig::Rig;
