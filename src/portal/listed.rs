//! [`Listed`]: what the portal keeps of a workflow in a list.

use std::sync::Arc;

use crate::status::{
    AgentState, AgentStatus, Attributes, Item, SessionId, Value, WorkflowStatus, Writers,
};

/// The longest attribute that a list has, in bytes.
const MAX_ATTRIBUTE: usize = 256;
/// How much a list has of the attributes of a workflow, in bytes.
const MAX_ATTRIBUTES: usize = 2_048;
/// The longest text of an activity or an error, in bytes.
const MAX_TEXT: usize = 300;

/// A workflow without what lists do not show, which can be most of its item.
#[derive(Debug)]
pub(super) struct Listed {
    /// Without errors, and with the activity only of agents in progress.
    pub(super) status: WorkflowStatus,
    pub(super) first_error: Option<FirstError>,
}

/// The first error of a workflow.
#[derive(Debug)]
pub(super) struct FirstError {
    /// The agent; `None` if the workflow failed for another reason.
    pub(super) agent: Option<Arc<str>>,
    pub(super) class: Option<String>,
    pub(super) message: String,
}

impl Listed {
    /// Keeps what lists show.
    pub(super) fn new(session_id: &SessionId, item: Item) -> Arc<Self> {
        Arc::new(Self::of(session_id, item, false))
    }

    /// Keeps the long attributes, too, by which [`Visible`](super::visible::Visible) may decide.
    pub(super) fn with_attributes(session_id: &SessionId, item: Item) -> Arc<Self> {
        Arc::new(Self::of(session_id, item, true))
    }

    fn of(session_id: &SessionId, item: Item, all_attributes: bool) -> Self {
        let mut status = WorkflowStatus::from_item(session_id, &item);
        drop(item);
        let first_error = FirstError::of(&status);
        if !all_attributes {
            status.attributes = short_attributes(&status.attributes);
        }
        let is_finished = status.overall_status.is_finished();
        summarize(&mut status, |agent| {
            let is_shown = !is_finished && agent.state == AgentState::InProgress;
            if is_shown { shortened(&agent.activity).into() } else { Arc::default() }
        });
        Self { status, first_error }
    }
}

impl FirstError {
    fn of(status: &WorkflowStatus) -> Option<Self> {
        let errors = status.agents.iter().filter_map(|(name, agent)| {
            let error = agent.error.as_ref()?;
            Some((agent.completed_at.or(agent.last_updated), name, error))
        });
        let first =
            errors.min_by_key(|(at, ..)| (at.is_none(), *at)).map(|(_, name, error)| Self {
                agent: Some(Arc::clone(name)),
                class: Some(error.class.clone().into_owned()).filter(|class| !class.is_empty()),
                message: shortened(error.message.as_str()),
            });
        first.or_else(|| {
            let message = shortened(status.error.as_ref()?.as_str());
            Some(Self { agent: None, class: None, message })
        })
    }
}

/// Removes what no list shows, and sets the activity of each agent.
pub(super) fn summarize(status: &mut WorkflowStatus, activity: impl Fn(&AgentStatus) -> Arc<str>) {
    status.error = None;
    status.previous_run = None;
    status.unfinished_tasks = Vec::new();
    status.writers = Writers::default();
    status.budget = None;
    status.trace_id = None;
    for (_, agent) in &mut status.agents {
        agent.activity = activity(agent);
        agent.error = None;
        agent.task_id = None;
        agent.extra = None;
        agent.model = None;
        agent.finish_reason = None;
        agent.drop_calls();
        agent.share(false);
    }
}

/// The attributes that a list shows: texts and numbers, and no long ones.
pub(super) fn short_attributes(attributes: &Attributes) -> Attributes {
    let mut left = MAX_ATTRIBUTES;
    let mut is_shown = |name: &str, value: &Value| {
        let Some(text) = value.to_text() else { return false };
        let size = name.len() + text.len();
        if text.len() > MAX_ATTRIBUTE || size > left {
            return false;
        }
        left -= size;
        true
    };
    let shown = attributes.iter().filter(|(name, value)| is_shown(name, value));
    shown.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// A text of at most [`MAX_TEXT`] bytes.
fn shortened(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let mut end = MAX_TEXT - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"é".repeat(200));
        assert!(long.ends_with("é…") && long.len() <= MAX_TEXT, "{long}");
    }

    #[test]
    fn a_list_has_the_short_attributes_only() {
        let text = |size| Value::from("x".repeat(size));
        let attributes = Attributes::from_iter([
            ("long".to_owned(), text(MAX_ATTRIBUTE + 1)),
            ("list".to_owned(), Value::List(vec![text(1)])),
            ("number".to_owned(), Value::Integer(7)),
            ("short".to_owned(), text(MAX_ATTRIBUTE)),
        ]);
        let shown = short_attributes(&attributes);
        let shown: Vec<_> = shown.keys().collect();
        assert_eq!(shown, ["number", "short"]);
        let many = (0..100).map(|n| (format!("{n:03}"), text(100))).collect();
        assert_eq!(short_attributes(&many).len(), MAX_ATTRIBUTES / 103);
    }
}
