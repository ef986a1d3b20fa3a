//! What was found in an answer so far: figures, failures, and how far it came.

use super::errors::{Fault, Texts};
use super::figures::Figures;
use super::formats::{
    Action, Field, Flag, Format, Kin, Meaning, Merge, Op, Place, Sign, TextKind, Word, words,
};
use super::walker::Sink;

/// The rank of a text that stands for an error by itself.
const ERROR_TEXT: u8 = 4;

/// What was found in an answer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    figures: Both,
    /// Where those that count were found.
    place: Option<Place>,
    texts: Option<Box<Texts>>,
    fault: Option<Box<Fault>>,
    format: Option<Format>,
    /// What it may be, if there is usage.
    maybe: Option<Format>,
    document: Document,
    /// Something was told since this was last cleared, beyond what is the same each time.
    pub(super) touched: bool,
    /// The answer is a stream of events.
    pub(super) streaming: bool,
    /// The status says that the answer is an error.
    failed_status: bool,
    /// The stream is of a kind that says when it is over.
    pub(super) awaits_end: bool,
    /// The model said that it is done.
    pub(super) finished: bool,
    /// The stream said that it is over.
    pub(super) ended: bool,
}

/// The figures that count, and those of the usage object at hand. They change places, since to move
/// what was written a moment ago takes longer.
#[derive(Clone, Debug)]
struct Both {
    both: [Figures; 2],
    /// The number of those that count.
    best: bool,
}

impl Default for Both {
    #[inline]
    fn default() -> Self {
        Self { both: [Figures::NONE; 2], best: false }
    }
}

impl Both {
    #[inline]
    fn best(&mut self) -> &mut Figures {
        &mut self.both[usize::from(self.best)]
    }

    /// Those of the usage object at hand.
    #[inline]
    fn current(&mut self) -> &mut Figures {
        &mut self.both[usize::from(!self.best)]
    }
}

/// What the document at hand says, which is judged at its end.
#[derive(Clone, Copy, Debug, Default)]
struct Document {
    fails: bool,
    code: Option<&'static str>,
    failed_word: bool,
    ends: bool,
    done: Option<bool>,
    created_at: bool,
}

impl Findings {
    #[inline]
    pub(super) fn new(failed_status: bool) -> Self {
        Self { failed_status, ..Self::default() }
    }

    pub(super) fn figures(&self) -> &Figures {
        &self.figures.both[usize::from(self.figures.best)]
    }

    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_deref()
    }

    pub(super) fn format(&self) -> Option<&'static str> {
        let found =
            self.place.map(|place| place.format).filter(|format| *format != Format::Unnamed);
        let maybe = self.maybe.filter(|_| self.place.is_some());
        self.format.or(found).or(maybe).and_then(Format::name)
    }

    /// Whether it is known what this answer is.
    pub(super) fn is_recognised(&self) -> bool {
        self.format.is_some() || self.place.is_some()
    }

    /// A document, or an event, ends.
    pub(super) fn document_ends(&mut self) {
        let document = std::mem::take(&mut self.document);
        if let (Some(done), true) = (document.done, document.created_at) {
            self.is(Format::Ollama);
            self.awaits_end = true;
            self.ended |= done;
        }
        self.ended |= document.ends;
        let told = document.failed_word && self.format.is_some();
        let fails = document.fails || told;
        let better = match &self.fault {
            None => fails || self.failed_status,
            // What an answer reports by itself is more than what goes with a status.
            Some(fault) => fails && !fault.reported,
        };
        if better {
            let texts = self.texts.get_or_insert_default();
            let code = document.code.or(told.then_some("failed"));
            let fault = texts.take(fails, code);
            if fails || fault.message.is_some() || fault.code.is_some() {
                self.fault = Some(Box::new(fault));
            }
        } else if let Some(texts) = &mut self.texts {
            texts.clear();
        }
        *self.figures.current() = Figures::NONE;
    }

    /// The document at hand is a failure, with this code unless it tells a better one.
    pub(super) fn fails(&mut self, code: &'static str) {
        self.touched = true;
        self.document.fails = true;
        self.document.code.get_or_insert(code);
    }

    /// A text from outside any document.
    pub(super) fn tell(&mut self, kind: TextKind, text: &[u8]) {
        let texts = self.texts.get_or_insert_default();
        texts.begin(kind, u8::MAX);
        texts.push(kind, text);
    }

    #[inline]
    fn is(&mut self, format: Format) {
        self.format.get_or_insert(format);
    }

    #[inline(never)]
    pub(super) fn means(&mut self, meaning: Meaning) {
        self.touched |= !matches!(meaning, Meaning::Is(_) | Meaning::MayBe(_) | Meaning::Opens(_));
        match meaning {
            Meaning::Is(format) => self.is(format),
            Meaning::MayBe(format) => self.maybe = Some(format),
            Meaning::Opens(format) => {
                self.is(format);
                self.awaits_end = true;
            }
            Meaning::Ends => self.document.ends = true,
            Meaning::Finishes => self.finished = true,
            Meaning::Fails(code) => self.fails(code),
            Meaning::EndsFailed(code) => {
                self.document.ends = true;
                self.fails(code);
            }
            Meaning::Failed => self.document.failed_word = true,
        }
    }

    #[inline(never)]
    fn usage_ends(&mut self, place: Place) {
        if self.figures.current().is_empty() {
            return;
        }
        let earlier = self.place.filter(|earlier| earlier.rank >= place.rank);
        let merge = match earlier {
            None => Merge::Last,
            Some(earlier) if earlier.rank > place.rank => {
                *self.figures.current() = Figures::NONE;
                return;
            }
            Some(Place { merge: Merge::Override, .. }) => Merge::Override,
            Some(_) => place.merge,
        };
        if merge == Merge::Last {
            self.figures.best = !self.figures.best;
        } else {
            let current = *self.figures.current();
            match merge {
                Merge::Sum => self.figures.best().add(&current),
                _ => self.figures.best().override_by(&current),
            }
        }
        *self.figures.current() = Figures::NONE;
        self.place = Some(Place { merge: earlier.map_or(place.merge, |_| merge), ..place });
    }

    /// A figure that stands outside any usage object.
    fn takes(&mut self, field: Field, op: Op, place: Place, value: u64) {
        self.touched = true;
        match self.place {
            Some(earlier) if earlier.rank > place.rank => return,
            Some(earlier) if earlier.rank == place.rank => {}
            _ => {
                *self.figures.best() = Figures::NONE;
                self.place = Some(place);
            }
        }
        self.figures.best().take(field, op, Kin::Within, value);
    }
}

/// The first eight bytes of a word, zero-padded.
#[inline]
fn head(word: &[u8]) -> u64 {
    if let Some(eight) = word.first_chunk() {
        return u64::from_le_bytes(*eight);
    }
    match (word.first_chunk(), word.last_chunk()) {
        // Two fours, which may overlap.
        (Some(first), Some(last)) => {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            u64::from(first) | u64::from(last) << (8 * (word.len() - 4))
        }
        _ => word.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

impl Sink for Findings {
    #[inline]
    fn object(&mut self, action: Action, begins: bool) {
        self.touched |= matches!(action, Action::Usage(_) | Action::Error);
        match action {
            Action::Usage(_) if begins => *self.figures.current() = Figures::NONE,
            Action::Error if begins => self.document.fails = true,
            Action::Usage(place) => {
                self.usage_ends(place);
                // Bedrock's own metrics are in the last event of all.
                if place.format == Format::BedrockInvoke {
                    self.document.ends = true;
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn figure(&mut self, field: Field, op: Op, kin: Kin, value: u64) {
        self.touched = true;
        self.figures.current().take(field, op, kin, value);
    }

    #[inline]
    fn number(&mut self, action: Action, value: Option<u64>) {
        match (action, value) {
            (Action::Sign(_) | Action::Direct(_, Op::Count, _), _) => self.present(action),
            (Action::Direct(field, op, place), Some(value)) => self.takes(field, op, place, value),
            (_, Some(_)) => self.touched = true,
            (_, None) => {}
        }
    }

    #[inline]
    fn word(&mut self, place: Word, word: Option<&[u8]>) {
        let word = word.unwrap_or(b"?");
        let heads = [head(word), head(word.get(8..).unwrap_or_default())];
        for known in words(place, word) {
            if known.applies(heads, word) {
                self.means(known.meaning);
            }
        }
    }

    #[inline]
    fn boolean(&mut self, action: Action, value: bool) {
        self.touched |= value || !matches!(action, Action::Flag(Flag::Done));
        match action {
            Action::Flag(Flag::Done) => self.document.done = Some(value),
            Action::Flag(Flag::Success) if !value => self.document.fails = true,
            Action::Flag(Flag::IsError) if value => self.fails("isError"),
            Action::Error if value => self.document.fails = true,
            Action::Sign(_) => self.present(action),
            _ => {}
        }
    }

    #[inline]
    fn present(&mut self, action: Action) {
        match action {
            Action::Direct(field, op @ Op::Count, place) => self.takes(field, op, place, 1),
            Action::Sign(Sign::Choices) => {
                self.is(Format::OpenAiChat);
                self.awaits_end |= self.streaming;
            }
            Action::Sign(Sign::Candidates) => {
                self.is(Format::Gemini);
                self.awaits_end |= self.streaming;
            }
            Action::Sign(Sign::Finish) => {
                self.touched = true;
                self.finished = true;
            }
            Action::Sign(Sign::CreatedAt) => self.document.created_at = true,
            Action::Sign(Sign::JsonRpc) => self.maybe = Some(Format::JsonRpc),
            _ => {}
        }
    }

    #[inline]
    fn text_begins(&mut self, action: Action) {
        let (kind, rank) = match action {
            Action::Text(kind, rank) => (kind, rank),
            Action::Error => (TextKind::Message, ERROR_TEXT),
            _ => return,
        };
        self.touched = true;
        self.texts.get_or_insert_default().begin(kind, rank);
    }

    #[inline]
    fn text(&mut self, action: Action, piece: &[u8]) {
        let kind = match action {
            Action::Text(kind, _) => kind,
            // An empty text is no error.
            Action::Error if piece.is_empty() => return,
            Action::Error => {
                self.document.fails = true;
                TextKind::Message
            }
            _ => return,
        };
        self.texts.get_or_insert_default().push(kind, piece);
    }
}
