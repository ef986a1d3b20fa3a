//! The other ends of a bench over local sockets, in processes of their own.
//!
//! | file | what it has |
//! | --- | --- |
//! | `agent` | an agent, which serves a table of answers |
//! | `openai` | answers in the format of OpenAI's API |
//! | `nginx` | nginx as a reverse proxy |
//! | `process` | a process, its processor time and its memory |
//! | `figures` | the median of measurements, and how it is printed |

pub mod agent;
pub mod figures;
pub mod nginx;
pub mod openai;
pub mod process;

pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
