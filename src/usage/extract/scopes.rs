//! What an answer and the objects in it say of a task: what it is, where it stands, and which it is.
//!
//! An agent's work is full of words such as `failed` and `pending`: a trade was cancelled, a contract
//! has expired. Such a word is about the agent itself only
//!
//! - in a *task*: an object that says so (`"object": "response"`, `TASK_STATE_…`, `run_id` beside
//!   `status` and so on), or the result of a JSON-RPC call;
//! - for failures, beside the text of an error, or in an object that has nothing but a status and
//!   what explains it.
//!
//! The root and the objects that wrap an answer are a [`Scope`] each, three deep at most: root,
//! `result`, `task`. A scope is classified when its object ends.

use super::error_text::unescape;
use crate::status::{TaskId, WaitingFor};
use crate::usage::formats::{IdField, KeySet, Status, Word, WordField};
use crate::usage::json::TEXT_BLOCK;

/// What a word for the status of a task begins with in A2A 1.0.
const TASK_STATE: &[u8] = b"task_state_";
/// How many scopes may be in the root, one in the other.
const MAX_INNER: usize = 2;
/// Longer ids are cut. Those that are stored are shorter.
const MAX_ID: usize = 2048;

/// The root, or an object that wraps an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scope {
    pub(super) status: Option<Status>,
    signs: u8,
}

/// A sign in a scope.
#[derive(Clone, Copy, Debug)]
pub(super) enum ScopeSign {
    /// It is a task by what it says of itself.
    Task = 1,
    /// It is a task if its status is an object.
    TaskOfA2a = 2,
    /// Its status is an object.
    StatusObject = 4,
    /// There is a status, known or not.
    Status = 8,
    /// It is a task if it has a status: it has a `run_id`, or an URL to fetch it from.
    TaskWithStatus = 16,
    /// It has the text of an error, or an object in it has.
    ErrorText = 32,
    /// It says nothing if it is no task.
    TaskOrNothing = 64,
}

impl Scope {
    pub(super) fn set(&mut self, sign: ScopeSign) {
        self.signs |= sign as u8;
    }

    fn has(self, sign: ScopeSign) -> bool {
        self.signs & sign as u8 != 0
    }

    fn is_task(self) -> bool {
        self.has(ScopeSign::Task)
            || self.has(ScopeSign::TaskOfA2a) && self.has(ScopeSign::StatusObject)
            || self.has(ScopeSign::TaskWithStatus) && self.has(ScopeSign::Status)
    }
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskStatus {
    pub(super) status: Option<Status>,
    pub(super) id: Option<TaskId>,
}

impl TaskStatus {
    /// Whether this is the code of its failure.
    pub(super) fn has_code(&self, code: &str) -> bool {
        self.status.and_then(Status::code) == Some(code)
    }

    pub(super) fn waiting_for(&self) -> Option<WaitingFor> {
        match self.status {
            Some(Status::Waiting(waiting_for)) => Some(waiting_for),
            _ => None,
        }
    }
}

/// The scopes of the document at hand, from the root inwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Scopes {
    root: Scope,
    depth: u8,
    /// The id of the root, which nearly every answer has.
    root_id: IdText,
    inner: Option<Box<Inner>>,
}

/// What fewer answers have: scopes in the root, and a task.
#[derive(Clone, Debug, Default)]
struct Inner {
    scopes: [Scope; MAX_INNER],
    ids: [IdText; MAX_INNER],
    /// The task of the document, and the one that is if the document is of JSON-RPC.
    task: Option<TaskStatus>,
    task_of_rpc: Option<TaskStatus>,
}

impl Scopes {
    /// The innermost scope.
    #[inline]
    pub(super) fn innermost(&mut self) -> &mut Scope {
        match usize::from(self.depth).checked_sub(1) {
            None => &mut self.root,
            Some(at) => &mut self.inner.get_or_insert_default().scopes[at % MAX_INNER],
        }
    }

    /// The id of the innermost scope.
    #[inline]
    fn id(&mut self) -> &mut IdText {
        match usize::from(self.depth).checked_sub(1) {
            None => &mut self.root_id,
            Some(at) => &mut self.inner.get_or_insert_default().ids[at % MAX_INNER],
        }
    }

    /// Begins the scope of an object.
    pub(super) fn begin(&mut self, is_task_or_nothing: bool) {
        // No path has more objects of this kind, one in the other.
        self.depth = (self.depth + 1).min(MAX_INNER as u8);
        *self.innermost() = Scope::default();
        if is_task_or_nothing {
            self.innermost().set(ScopeSign::TaskOrNothing);
        }
        self.id().clear();
    }

    /// Ends the scope of an object; returns the code of the failure that it reports.
    pub(super) fn end(&mut self, key_sets: u8) -> Option<&'static str> {
        let scope = *self.innermost();
        let failure = self.classify(scope, key_sets);
        self.depth = self.depth.saturating_sub(1);
        if scope.has(ScopeSign::ErrorText) {
            self.innermost().set(ScopeSign::ErrorText);
        }
        failure
    }

    /// Ends the root; returns the task of the document, and the code of the failure that it reports.
    #[inline]
    pub(super) fn finish(
        &mut self,
        key_sets: u8,
        is_rpc: bool,
    ) -> (Option<TaskStatus>, Option<&'static str>) {
        let mut failure = self.classify(self.root, key_sets);
        let mut task = None;
        if let Some(inner) = &mut self.inner {
            let task_of_rpc = inner.task_of_rpc.take();
            task = inner.task.take().or(task_of_rpc.filter(|_| is_rpc));
            let status = task.as_ref().and_then(|task| task.status);
            failure = failure.or(status.and_then(Status::code));
        }
        self.clear();
        (task, failure)
    }

    /// Whether nothing in the document is about a task.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.root.signs == 0 && self.inner.is_none()
    }

    /// Forgets the document.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.root = Scope::default();
        self.depth = 0;
        self.root_id.clear();
        if let Some(inner) = &mut self.inner {
            inner.task = None;
            inner.task_of_rpc = None;
        }
    }

    #[inline]
    fn classify(&mut self, scope: Scope, key_sets: u8) -> Option<&'static str> {
        if scope.has(ScopeSign::Status) || scope.has(ScopeSign::Task) {
            self.classify_status(scope, key_sets)
        } else {
            None
        }
    }

    #[cold]
    fn classify_status(&mut self, scope: Scope, key_sets: u8) -> Option<&'static str> {
        let is_task = scope.is_task();
        if is_task || self.depth > 0 {
            let task = TaskStatus { status: scope.status, id: self.id().id() };
            let inner = self.inner.get_or_insert_default();
            if is_task {
                inner.task = Some(task);
                return None;
            }
            inner.task_of_rpc = Some(task);
        }
        let explains = !scope.has(ScopeSign::TaskOrNothing)
            && (scope.has(ScopeSign::ErrorText) || key_sets & KeySet::Status as u8 != 0);
        match scope.status {
            Some(status @ Status::Failed(_)) if explains => status.code(),
            _ => None,
        }
    }

    /// Takes an id whole.
    #[inline]
    pub(super) fn set_id(&mut self, field: IdField, bytes: &[u8; TEXT_BLOCK], len: usize) {
        let id = &mut self.root_id;
        let is_first = self.depth == 0 && id.len == 0 && field <= IdField::Id;
        match bytes.first_chunk() {
            // Nearly all are like this.
            Some(inline) if is_first && len <= INLINE_ID => {
                id.bytes = *inline;
                id.len = len as u16;
                id.field = field;
            }
            _ => self.set_other_id(field, &bytes[..len.min(TEXT_BLOCK)]),
        }
    }

    #[inline(never)]
    fn set_other_id(&mut self, field: IdField, id: &[u8]) {
        self.begin_id(field);
        self.push_id(field, id);
    }

    /// Takes an id that is a number.
    #[cold]
    pub(super) fn set_number_id(&mut self, field: IdField, mut number: u64) {
        let mut digits = [b'0'; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] += (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.begin_id(field);
        self.push_id(field, &digits[first..]);
    }

    /// Begins an id that comes in pieces.
    pub(super) fn begin_id(&mut self, field: IdField) {
        self.id().begin(field);
    }

    /// Takes a piece of the id that was begun last.
    pub(super) fn push_id(&mut self, field: IdField, piece: &[u8]) {
        self.note_field(field, piece.len());
        self.id().push(piece);
    }

    #[inline]
    fn note_field(&mut self, field: IdField, len: usize) {
        if field == IdField::RunId && len > 0 {
            self.innermost().set(ScopeSign::TaskWithStatus);
        }
    }
}

/// A word for a status, as the table has it: in small letters, with `_` for `-`, and without what it
/// begins with in A2A 1.0.
pub(super) struct StatusWord {
    bytes: [u8; Word::CAPACITY],
    len: usize,
    pub(super) is_of_a2a: bool,
}

impl StatusWord {
    pub(super) fn new(field: WordField, word: &[u8]) -> Self {
        let state = word.split_at_checked(TASK_STATE.len());
        let state = state.filter(|(prefix, _)| normalized(prefix).starts_with(TASK_STATE));
        match state {
            Some((_, state)) if field == WordField::Status => {
                Self { bytes: normalized(state), len: state.len(), is_of_a2a: true }
            }
            _ => Self { bytes: normalized(word), len: word.len(), is_of_a2a: false },
        }
    }

    pub(super) fn word(&self) -> Word<'_> {
        Word::new(&self.bytes, self.len).unwrap_or(Word::UNKNOWN)
    }
}

/// A word in small letters, with `_` for `-`, as far as any known one is long.
fn normalized(word: &[u8]) -> [u8; Word::CAPACITY] {
    let mut normalized = [0; Word::CAPACITY];
    for (to, byte) in normalized.iter_mut().zip(word) {
        *to = if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    }
    normalized
}

/// An id that does not fit into an [`IdText`].
#[derive(Clone, Debug, Default)]
struct LongId(Vec<u8>);

/// How long an id is that needs no memory of its own. Most are not longer.
const INLINE_ID: usize = 40;

/// An id as it stands between its quotes.
#[derive(Clone, Debug)]
struct IdText {
    bytes: [u8; INLINE_ID],
    len: u16,
    /// The most telling field that has one stays.
    field: IdField,
    is_taken: bool,
    /// All of it, if it is longer.
    long: Option<Box<LongId>>,
}

impl Default for IdText {
    fn default() -> Self {
        Self { bytes: [0; INLINE_ID], len: 0, field: IdField::Id, is_taken: false, long: None }
    }
}

impl IdText {
    #[inline]
    fn clear(&mut self) {
        self.len = 0;
    }

    /// Whether an id of this field is taken.
    #[inline]
    fn begin(&mut self, field: IdField) -> bool {
        self.is_taken = self.len == 0 || field > self.field;
        if self.is_taken {
            self.field = field;
            self.len = 0;
        }
        self.is_taken
    }

    #[cold]
    fn push(&mut self, piece: &[u8]) {
        let len = usize::from(self.len);
        if !self.is_taken || len >= MAX_ID {
            return;
        }
        let piece = &piece[..piece.len().min(MAX_ID - len)];
        if let Some(room) = self.bytes.get_mut(len..len + piece.len()) {
            room.copy_from_slice(piece);
        } else {
            let LongId(long) = &mut **self.long.get_or_insert_default();
            if len <= INLINE_ID {
                long.clear();
                long.extend_from_slice(&self.bytes[..len]);
            }
            long.extend_from_slice(piece);
        }
        self.len += piece.len() as u16;
    }

    fn id(&self) -> Option<TaskId> {
        let len = usize::from(self.len);
        let raw = match (self.bytes.get(..len), &self.long) {
            (Some(raw), _) => raw,
            (None, Some(long)) => &long.0,
            (None, None) => return None,
        };
        TaskId::new(&unescape(raw))
    }
}
