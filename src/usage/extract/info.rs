//! What an answer says of itself beside its usage: its model, its id, why it stopped, its tier.
//!
//! Nearly every answer has some of it, and the events of many streams repeat it. So a text is copied
//! once, in one block and without an allocation, and the same text again costs nothing: the first one
//! stays, and the list of reasons has each of them once. This also means that to read an event again
//! changes nothing, so that the [filter](crate::usage::skip) may skip its like.
//!
//! How much of the texts counts is in [`Stated`], a part of [`Extracted`]: what a frame
//! with a wrong checksum has stated is taken back with it, and the text that stays is out of sight.

use super::error_text::unescape;
use super::{Extracted, Extractor};
use crate::status::{RawText, is_reason, most_telling_reason};
use crate::usage::formats::{Format, InfoField, Word};
use crate::usage::json::TEXT_BLOCK;

/// What a tier is called that was asked for and says nothing of the one that served.
const AUTO: &[u8] = b"auto";
const MAX_TEXT: usize = 128;
/// A text as it stands between its quotes, where each character may be an escape of six bytes.
const MAX_RAW: usize = 6 * MAX_TEXT;
const MAX_REASONS: usize = 8;
/// How long a first reason is that needs no memory of its own.
const INLINE_REASON: usize = 32;
/// How many fields are texts.
const TEXT_COUNT: usize = InfoField::ServiceTier as usize + 1;
/// In place of the length of a text that has memory of its own.
const LONG: u8 = u8::MAX;

/// How much of the texts counts.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::usage) struct Stated {
    /// The lengths of the texts; zero if there is none.
    lens: [u8; TEXT_COUNT],
    reason: u8,
    /// How many reasons there are besides the one that is inline.
    more_reasons: u8,
    /// The `id` at the root is that of the request (JSON-RPC), or there is one in each element of a list.
    pub(super) is_rpc: bool,
    pub(super) is_list: bool,
}

/// The texts that need no memory of their own.
// There is nothing to fill with zeros where there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct InfoTexts {
    texts: [Option<[u8; TEXT_BLOCK]>; TEXT_COUNT],
    reason: Option<[u8; INLINE_REASON]>,
}

/// The texts that do.
#[derive(Clone, Debug, Default)]
pub(super) struct RareTexts {
    texts: [Box<str>; TEXT_COUNT],
    reasons: Vec<Box<[u8]>>,
    /// The text at hand, as far as it was read.
    raw: Vec<u8>,
}

/// What was stated, for anyone who asks at the end.
#[derive(Clone, Debug, Default)]
pub(in crate::usage) struct StatedInfo {
    pub(in crate::usage) model: Option<Box<str>>,
    pub(in crate::usage) response_id: Option<Box<str>>,
    pub(in crate::usage) service_tier: Option<Box<str>>,
    pub(in crate::usage) finish_reasons: Vec<Box<str>>,
}

impl Extractor {
    /// Takes a short text whole.
    #[inline]
    pub(super) fn set_info(&mut self, field: InfoField, bytes: &[u8; TEXT_BLOCK], len: usize) {
        let known = &mut self.extracted.stated.lens[field as usize];
        if *known == 0 {
            *known = len as u8;
            self.info.texts[field as usize] = Some(*bytes);
        } else if field == InfoField::ServiceTier && *known == AUTO.len() as u8 {
            self.set_served_tier(&bytes[..len]);
        }
    }

    /// Takes a tier after one that may be `auto`. That one stays where it is, in case that this one is
    /// taken back.
    #[cold]
    fn set_served_tier(&mut self, tier: &[u8]) {
        let (place, stated) = (InfoField::ServiceTier as usize, &mut self.extracted.stated);
        let first = self.info.texts[place].as_ref();
        if tier != AUTO && first.is_some_and(|first| first.starts_with(AUTO)) {
            self.rare.get_or_insert_default().info.texts[place] =
                String::from_utf8_lossy(tier).into();
            stated.lens[place] = LONG;
        }
    }

    /// The document is a list, and the ids in it are those of its elements. If there is an id already, the
    /// list is none: it is `[DONE]`.
    #[cold]
    pub(super) fn begin_info_list(&mut self) {
        let stated = &mut self.extracted.stated;
        stated.is_list |= stated.lens[InfoField::ResponseId as usize] == 0;
    }

    /// Begins a text that comes in pieces.
    #[cold]
    pub(super) fn begin_info(&mut self) {
        self.rare().info.raw.clear();
    }

    /// Takes a piece of the text at hand.
    #[cold]
    pub(super) fn push_info(&mut self, piece: &[u8]) {
        let raw = &mut self.rare().info.raw;
        // One byte too many shows that the text is too long.
        raw.extend_from_slice(&piece[..piece.len().min(MAX_RAW + 1 - raw.len())]);
    }

    /// Ends the text at hand. One that is cut off is none.
    #[cold]
    pub(super) fn end_info(&mut self, field: InfoField) {
        let raw = &self.rare().info.raw;
        if raw.len() > MAX_RAW {
            return;
        }
        let text = unescape(raw);
        let mut block = [0; TEXT_BLOCK];
        match block[..TEXT_BLOCK - 1].get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text.as_bytes());
                self.set_info(field, &block, text.len());
            }
            None => self.set_long_info(field, text),
        }
    }

    /// Takes a text that does not fit where others are. A longer one than any is left out, since a part
    /// of it would name something else.
    #[cold]
    fn set_long_info(&mut self, field: InfoField, text: Box<str>) {
        let known = &mut self.extracted.stated.lens[field as usize];
        if *known == 0 && text.len() <= MAX_TEXT {
            *known = LONG;
            self.rare().info.texts[field as usize] = text;
        }
    }

    /// Takes a reason to stop.
    #[inline]
    pub(super) fn add_reason(&mut self, word: Word<'_>) {
        let stated = &mut self.extracted.stated;
        match word.block().first_chunk() {
            // Nearly every answer has exactly one.
            Some(reason)
                if stated.reason | stated.more_reasons == 0 && word.len() <= INLINE_REASON =>
            {
                self.info.reason = Some(*reason);
                stated.reason = word.len() as u8;
            }
            _ => self.add_other_reason(word.as_bytes()),
        }
    }

    #[inline(never)]
    fn add_other_reason(&mut self, word: &[u8]) {
        let first = self.first_reason(&self.extracted.stated);
        let (is_first, has_first) = (first == Some(word), first.is_some());
        let count = usize::from(self.extracted.stated.more_reasons);
        if is_first || count + usize::from(has_first) >= MAX_REASONS {
            return;
        }
        let reasons = &mut self.rare.get_or_insert_default().info.reasons;
        // Others behind them were taken back.
        reasons.truncate(count);
        if !reasons.iter().any(|reason| **reason == *word) {
            reasons.push(word.into());
            self.extracted.stated.more_reasons += 1;
        }
    }

    fn first_reason(&self, stated: &Stated) -> Option<&[u8]> {
        let reason = self.info.reason.as_ref()?.get(..usize::from(stated.reason))?;
        (!reason.is_empty()).then_some(reason)
    }

    /// Takes a reason that is a number in place of a name.
    #[cold]
    pub(super) fn add_reason_number(&mut self, number: u64) {
        self.add_other_reason(number.to_string().as_bytes());
    }

    /// A text as it was stated.
    #[inline]
    fn stated_raw(&self, stated: &Stated, field: InfoField) -> Option<&[u8]> {
        match stated.lens[field as usize] {
            0 => None,
            LONG => Some(self.rare.as_ref()?.info.texts[field as usize].as_bytes()),
            len => self.info.texts[field as usize].as_ref()?.get(..usize::from(len)),
        }
    }

    /// A text that was stated, if it can be one.
    fn stated_text(&self, stated: &Stated, field: InfoField) -> Option<Box<str>> {
        let text = String::from_utf8_lossy(self.stated_raw(stated, field)?);
        (!text.chars().any(char::is_control)).then(|| text.into())
    }

    /// The model that was stated.
    #[inline]
    pub(in crate::usage) fn stated_model(&self, stated: &Stated) -> Option<RawText<'_>> {
        self.stated_raw(stated, InfoField::Model).map(RawText)
    }

    /// The one to show of the reasons that were stated. It may be [none](is_reason).
    #[inline]
    pub(in crate::usage) fn stated_reason(&self, stated: &Stated) -> Option<RawText<'_>> {
        match (stated.reason, stated.more_reasons) {
            (0, 0) => None,
            (_, 0) => self.first_reason(stated).map(RawText),
            _ => self.stated_reason_of_several(stated).map(RawText),
        }
    }

    #[cold]
    fn stated_reason_of_several(&self, stated: &Stated) -> Option<&[u8]> {
        let more = self.rare.iter().flat_map(|rare| &rare.info.reasons).map(|reason| &**reason);
        let more = more.take(stated.more_reasons.into());
        let all = self.first_reason(stated).into_iter().chain(more);
        most_telling_reason(all.filter(|reason| is_reason(reason)))
    }

    /// What the answer says of itself, as far as it stands in `extracted`.
    pub(in crate::usage) fn stated_info(&self, extracted: &Extracted) -> StatedInfo {
        let stated = &extracted.stated;
        let more = self.rare.iter().flat_map(|rare| &rare.info.reasons).map(|reason| &**reason);
        let more = more.take(stated.more_reasons.into());
        // The ids of the AI SDK are those of parts of the answer. Gemini's events may come as a list.
        let is_of_parts = stated.is_list && !extracted.has_format(Format::Gemini)
            || extracted.has_format(Format::AiSdk);
        let has_id = !stated.is_rpc && !is_of_parts;
        StatedInfo {
            model: self.stated_text(stated, InfoField::Model),
            response_id: self.stated_text(stated, InfoField::ResponseId).filter(|_| has_id),
            service_tier: self.stated_text(stated, InfoField::ServiceTier),
            finish_reasons: self
                .first_reason(stated)
                .into_iter()
                .chain(more)
                .filter_map(reason)
                .collect(),
        }
    }
}

/// A reason, if it is one.
fn reason(word: &[u8]) -> Option<Box<str>> {
    is_reason(word).then(|| String::from_utf8_lossy(word).into())
}
