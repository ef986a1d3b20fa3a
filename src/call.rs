//! One call, from its start to its one outcome.
//!
//! A call is a value that moves: it is born in the service's `call`, lives in the response
//! future until the head arrives, and as an [`Answer`] in the body until that ends. Each
//! step takes the value, and dropping it is an outcome too, so there is exactly one.
//!
//! What is not needed is not done. A request is first [looked](Caller::look) at for a session;
//! one that has none goes on as it came. The head of one that is tracked is taken apart
//! only where a closure, a rule or a subscriber asks for it. All of a call is in one box,
//! which is what moves, and usage that comes with the last piece of a body is told with its
//! end only.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Buf;
use http::{Extensions, HeaderMap, Method, StatusCode, header};
use tracing::span::Entered;

use crate::agent::InvalidName;
use crate::choice::AgentChoice;
use crate::observe::Observer;
use crate::session::{Named, RequestHead, SessionSource};
use crate::status::{CallError, Outcome, TokenUsage};
use crate::target::Target;
use crate::tracker::{StatusTracker, TrackedCall};
use crate::usage::{End, Head, PathHint, Progress, Reading, UsageReader};

/// Whose calls a client makes: what every kind of client stack needs to start one.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    tracker: StatusTracker,
    agents: Arc<AgentChoice>,
    /// Where to look when neither the request's extensions nor a scope name a session.
    pub(crate) source: SessionSource,
}

impl Caller {
    /// The caller of the agents that its requests name.
    pub(crate) fn new(tracker: &StatusTracker) -> Self {
        let (agents, source) = (Arc::default(), SessionSource::default());
        Self { tracker: tracker.clone(), agents, source }
    }

    /// Makes this the agent of requests that name none.
    pub(crate) fn set_agent(&mut self, agent: &str) -> Result<(), InvalidName> {
        let agent = self.tracker.hub().agent(agent)?;
        Arc::make_mut(&mut self.agents).default = Some(agent);
        Ok(())
    }

    /// Makes this the agent of requests that go there.
    pub(crate) fn add_rule(&mut self, target: Target, agent: &str) -> Result<(), InvalidName> {
        let agent = self.tracker.hub().agent(agent)?;
        Arc::make_mut(&mut self.agents).rules.push((target, agent));
        Ok(())
    }

    /// Has the head of a request name its agent.
    pub(crate) fn set_agent_from(
        &mut self,
        from: impl Fn(RequestHead<'_>) -> Option<String> + Send + Sync + 'static,
    ) {
        Arc::make_mut(&mut self.agents).from = Some(Arc::new(from));
    }

    /// Where the session of a request is named, if no layer around has started its call.
    /// Without one there is nothing to [start](Self::start).
    #[inline]
    pub(crate) fn look(&self, extensions: &Extensions) -> Option<Named> {
        let named = self.source.look(extensions)?;
        let mark = extensions.get::<Owned>();
        (!mark.is_some_and(|mark| mark.is_by(self.mark_of()))).then_some(named)
    }

    /// A call starts, if its request names a session and an agent.
    /// The request of a call that starts is to be [marked](Self::mark). Its head is taken
    /// apart where somebody asks for it.
    pub(crate) fn start<'a>(
        &self,
        named: Named,
        extensions: &Extensions,
        method: &Method,
        path: &str,
        head: impl Fn() -> RequestHead<'a>,
    ) -> Option<Call> {
        let hub = self.tracker.hub();
        let session = match self.source.resolve(named, &head) {
            Ok(session) => session?,
            Err(error) => {
                hub.warn_of_invalid_session(&error);
                return None;
            }
        };
        let agent = match self.agents.choose(hub, extensions.get(), &head) {
            Ok(agent) => agent?,
            Err(error) => {
                hub.warn_of_invalid_agent(&error);
                return None;
            }
        };
        let tracked = hub.session(&session)?;
        let observer = Observer::new(&head, &agent, &session);
        let tracked = TrackedCall::start(&self.tracker, tracked, &agent);
        let (told, path) = (Observed { tracked, observer }, PathHint::new(path));
        let is_head = *method == Method::HEAD;
        Some(Call { open: Some(Box::new(Open { told, path, reader: None })), is_head })
    }

    /// Marks a request, so that no layer further in starts its call again.
    pub(crate) fn mark(&self, extensions: &mut Extensions) {
        let around = extensions.remove::<Owned>().map(Box::new);
        extensions.insert(Owned { tracker: self.mark_of(), around });
    }

    /// Takes this layer's mark off again.
    #[cfg(feature = "reqwest")]
    pub(crate) fn unmark(&self, extensions: &mut Extensions) {
        if let Some(around) = extensions.remove::<Owned>().and_then(|mark| mark.around) {
            extensions.insert(*around);
        }
    }

    fn mark_of(&self) -> usize {
        Arc::as_ptr(self.tracker.hub()).addr()
    }
}

/// Marks a request whose call a layer has started: of nested layers of one tracker the
/// outermost owns the call. Layers of several trackers may be nested in any order.
#[derive(Clone)]
pub(crate) struct Owned {
    tracker: usize,
    around: Option<Box<Self>>,
}

impl Owned {
    fn is_by(&self, tracker: usize) -> bool {
        self.tracker == tracker || self.around.as_ref().is_some_and(|mark| mark.is_by(tracker))
    }
}

/// A call that waits for the head of its response.
pub(crate) struct Call {
    /// Taken by whichever step comes first.
    open: Option<Box<Open<Observed>>>,
    is_head: bool,
}

impl Call {
    /// Makes what happens until the guard is dropped part of the call's span.
    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.open.as_ref().map(|open| open.told.observer.enter())
    }

    /// Runs a future as part of the call's span.
    #[cfg(any(feature = "aws", feature = "reqwest"))]
    pub(crate) async fn around<F: Future>(&self, future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            let _entered = self.enter();
            future.as_mut().poll(cx)
        })
        .await
    }

    /// The head of the response has arrived.
    pub(crate) fn answered(mut self, status: StatusCode, headers: &HeaderMap) -> Option<Answer> {
        let mut open = self.open.take()?;
        open.told.observer.answered(status.as_u16());
        let path = open.path;
        open.reader.get_or_insert_with(|| reader(status, headers, path));
        let mut answer = Answer { open: Some(open) };
        // These have no body, whatever a layer further in makes of it.
        if self.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            answer.end(End::Complete);
        }
        Some(answer)
    }

    /// The call failed before there was a response.
    pub(crate) fn failed(mut self, error: &dyn Display) {
        if let Some(mut open) = self.open.take() {
            open.told.tell(Outcome::Error(CallError::transport(error)), None);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(mut open) = self.open.take() {
            let error = if std::thread::panicking() {
                CallError::new("panic", "the call panicked")
            } else {
                CallError::new("cancelled", "the caller gave up before the agent answered")
            };
            open.told.tell(Outcome::Error(error), None);
        }
    }
}

/// To whom it is told what an answer says.
pub(crate) trait Told {
    /// Whether the answer is over at its own end marker, whatever comes after it.
    const ENDS_AT_MARKER: bool;

    /// Makes what happens until the guard is dropped part of the call's span, if there is
    /// one.
    fn enter(&self) -> Option<Entered<'_>> {
        None
    }

    /// A piece of the answer has arrived.
    fn chunk(&mut self, _is_stream: impl FnOnce() -> bool) {}

    /// The tokens used so far.
    fn progress(&mut self, _usage: &TokenUsage) {}

    /// The answer has ended. Nothing is told after it.
    fn end(&mut self, reading: Reading);
}

/// A call, and who watches it.
pub(crate) struct Observed {
    tracked: TrackedCall,
    observer: Observer,
}

impl Observed {
    /// The one outcome, told to the table and to those who watch.
    fn tell(&mut self, outcome: Outcome, usage: Option<TokenUsage>) {
        self.observer.ended(&outcome, usage.as_ref());
        self.tracked.end(outcome, usage);
    }
}

impl Told for Observed {
    const ENDS_AT_MARKER: bool = true;

    fn enter(&self) -> Option<Entered<'_>> {
        Some(self.observer.enter())
    }

    fn chunk(&mut self, is_stream: impl FnOnce() -> bool) {
        self.observer.chunk(is_stream);
    }

    fn progress(&mut self, usage: &TokenUsage) {
        self.tracked.progress(usage);
    }

    fn end(&mut self, reading: Reading) {
        self.tell(reading.outcome, reading.usage);
    }
}

/// A response that is being read: that of a call, or one that a server gives.
pub(crate) struct Answer<T: Told = Observed> {
    /// Gone once the outcome is told; what comes after it changes nothing.
    open: Option<Box<Open<T>>>,
}

/// What goes from step to step, in the one box of a call: futures and bodies are moved
/// often, and most are of no call.
struct Open<T> {
    told: T,
    path: PathHint,
    /// There from the head on.
    reader: Option<UsageReader>,
}

/// What reads the body that belongs to this head.
fn reader(status: StatusCode, headers: &HeaderMap, path: PathHint) -> UsageReader {
    // Most names that are asked for are not there. To look one up by its text takes long,
    // and a header of another length is another header.
    let length = |name: &str| 1_u64 << (name.len() % 64);
    let (mut lengths, mut content_type) = (0, None);
    for (name, value) in headers {
        lengths |= length(name.as_str());
        if name == header::CONTENT_TYPE {
            content_type = content_type.or(Some(value));
        }
    }
    let header = |name: &str| {
        if lengths & length(name) == 0 {
            return None;
        }
        let value = match name {
            "content-type" => content_type,
            name => headers.get(name),
        };
        value?.to_str().ok()
    };
    UsageReader::new(&Head { status: status.as_u16(), path, header: &header })
}

impl<T: Told> Answer<T> {
    pub(crate) fn new(told: T, status: StatusCode, headers: &HeaderMap, path: PathHint) -> Self {
        let reader = Some(reader(status, headers, path));
        Self { open: Some(Box::new(Open { told, path, reader })) }
    }

    /// Whether the outcome is told.
    pub(crate) fn is_over(&self) -> bool {
        self.open.is_none()
    }

    /// Makes what happens until the guard is dropped part of what is told.
    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.open.as_ref().and_then(|open| open.told.enter())
    }

    /// A piece of the body has passed. After the last one nothing is told but the end.
    pub(crate) fn data(&mut self, data: &impl Buf, is_last: bool) {
        let Some(open) = self.open.as_deref_mut() else { return };
        let Open { told, reader: Some(reader), .. } = open else { return };
        let mut progress = Progress::More;
        let shown = for_each_slice(data, |slice| {
            if progress == Progress::More || !T::ENDS_AT_MARKER {
                progress = reader.feed(slice);
            }
        });
        if shown < data.remaining() {
            reader.skip_rest();
        }
        told.chunk(|| reader.is_stream());
        if progress == Progress::Ended && T::ENDS_AT_MARKER {
            self.end(End::Complete);
        } else if !is_last && let Some(usage) = reader.usage() {
            told.progress(&usage);
        }
    }

    /// The body has ended.
    pub(crate) fn end(&mut self, how: End<'_>) {
        let Some(mut open) = self.open.take() else { return };
        if let Some(reader) = &mut open.reader {
            let reading = reader.finish(how);
            open.told.end(reading);
        }
    }
}

impl<T: Told> Drop for Answer<T> {
    fn drop(&mut self) {
        self.end(End::Dropped);
    }
}

/// Shows the bytes of a buffer without consuming them; how many could be shown.
///
/// A [`Buf`] gives its first slice by reference, and several through
/// [`chunks_vectored`](Buf::chunks_vectored), if it implements that. One in more pieces
/// than fit here is shown as far as they go.
fn for_each_slice(data: &impl Buf, mut show: impl FnMut(&[u8])) -> usize {
    const SLICES: usize = 16;
    let first = data.chunk();
    if first.len() == data.remaining() {
        show(first);
        return first.len();
    }
    let mut slices = [std::io::IoSlice::new(&[]); SLICES];
    let filled = data.chunks_vectored(&mut slices);
    slices[..filled].iter().for_each(|slice| show(slice));
    slices[..filled].iter().map(|slice| slice.len()).sum()
}
