//! The document and its parts, serialized as the [item](super::schema) has them.

use serde::ser::{Serialize, Serializer};

use super::schema::SESSION_ID;
use super::{AgentState, AgentStatus, OverallStatus, PreviousRun, TokenUsage, WorkflowStatus};

/// Serializes as the item, with the session id under `sessionId`.
impl Serialize for WorkflowStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut item = self.to_item();
        item.insert(SESSION_ID, self.session_id.as_str());
        item.serialize(serializer)
    }
}

/// Serializes as in the item.
impl Serialize for PreviousRun {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_item().serialize(serializer)
    }
}

/// Serializes as in the item.
impl Serialize for AgentStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_item().serialize(serializer)
    }
}

/// Serializes as in the item: unknown counts are left out.
impl Serialize for TokenUsage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_item().serialize(serializer)
    }
}

impl Serialize for OverallStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for AgentState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
