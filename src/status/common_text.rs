//! [`CommonText`]: a text that most calls of an agent have in common.

use std::sync::{Arc, OnceLock};

use super::RawText;

/// A text that most calls of an agent have in common, such as the name of the model. The first one is kept
/// for all sessions, which share it: a million live sessions of four agents have it four times.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommonText(OnceLock<Arc<str>>);

impl CommonText {
    /// The text of a response, if it is [valid](RawText::to_text).
    #[cold]
    pub(super) fn share(&self, text: RawText<'_>) -> Option<Arc<str>> {
        if let Some(first) = self.0.get()
            && text.is(first)
        {
            return Some(Arc::clone(first));
        }
        let text = text.to_text()?;
        // Another thread may have been faster. Then this text is the session's own.
        let _ = self.0.set(Arc::clone(&text));
        Some(text)
    }
}

/// What was seen so far is no property of an agent.
impl PartialEq for CommonText {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_is_shared_and_others_are_not() {
        let common = CommonText::default();
        let share = |text: &'static str| common.share(RawText(text.as_bytes()));
        assert_eq!(share("\n"), None, "not valid, so not kept");
        let first = share("gpt-4o-mini").unwrap();
        assert!(Arc::ptr_eq(&first, &share("gpt-4o-mini").unwrap()));
        let other = share("gpt-4o").unwrap();
        assert!(!Arc::ptr_eq(&other, &share("gpt-4o").unwrap()));
        assert_eq!((&*first, &*other), ("gpt-4o-mini", "gpt-4o"));
    }
}
