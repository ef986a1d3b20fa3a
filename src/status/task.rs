//! [`WaitingFor`] and [`TaskId`]: tasks that outlive the call that started them.

use std::fmt;
use std::sync::Arc;

/// What an agent waits for that has answered and has not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitingFor {
    /// The agent works on: its task is queued or running.
    Task,
    /// Somebody has to give more input.
    Input,
    /// Somebody has to authorize it.
    Authorization,
}

impl WaitingFor {
    /// Returns the spelling used in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Input => "input",
            Self::Authorization => "authorization",
        }
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The id of a task, as an agent's answer gives it: of a response, a run, a batch, a prediction
/// or an A2A task.
///
/// It has [`MAX_BYTES`](Self::MAX_BYTES) bytes at most. A longer id is replaced by a hash of it,
/// which is the same in every process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// The maximum length, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 128;

    /// Creates an id from the text that an agent gives; `None` if that is empty.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        match text.len() {
            0 => None,
            1..=Self::MAX_BYTES => Some(Self(text.into())),
            _ => Some(Self(format!("fnv1a-{:032x}", fnv1a(text.as_bytes())).into())),
        }
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The 128-bit FNV-1a hash. The hashes of the standard library may differ between its versions,
/// and so between two processes that read the same item.
fn fnv1a(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// What an answer says of the task that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub(crate) id: Option<TaskId>,
    /// What it waits for; `None` if it has ended.
    pub(crate) waiting_for: Option<WaitingFor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_is_replaced_by_its_hash() {
        assert_eq!(TaskId::new(""), None);
        let longest = "x".repeat(TaskId::MAX_BYTES);
        assert_eq!(TaskId::new(&longest).unwrap().as_str(), longest);
        let hash = TaskId::new(&"x".repeat(TaskId::MAX_BYTES + 1)).unwrap();
        assert_eq!(hash.as_str(), "fnv1a-b148f558b8de720871f472015a96e677");
        // The test vector of the hash's authors.
        assert_eq!(fnv1a(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
