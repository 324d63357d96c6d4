//! The application's validators: several questions at once, each with a deadline, none of them able to hold up or take down the node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use overlay::messages::Topic;
use overlay::wire::MessageHeader;
use overlay::{Token, input::Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::builder::Validator;
use crate::snapshot::Counters;
use crate::transport::inbox::{Event, Inbox};
use crate::transport::link::Shared;

/// Questions about one topic that may wait or be asked; beyond it no verdict is sought. A guess: with the deadline of 2 s it
/// carries 128 messages a second through a validator that always takes the whole time.
const MAX_QUESTIONS: usize = 256;
/// Questions about one topic that are asked at once. A guess.
const AT_ONCE: usize = 32;

/// A validator and how busy it is.
struct Desk {
    check: Validator,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A message to be judged by the application.
struct Question {
    token: Token,
    check: Validator,
    header: MessageHeader,
    entries: Vec<Bytes>,
    due: Instant,
    turns: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
}

/// All validators of a node.
pub(crate) struct Validators {
    desks: HashMap<Topic, Desk>,
    questions: mpsc::UnboundedSender<Question>,
    deadline: Duration,
    counters: Arc<Counters>,
}

impl Validators {
    /// Verdicts go to the inbox, unless they take longer than `deadline`.
    pub(crate) fn start(
        checks: HashMap<Topic, Validator>,
        deadline: Duration,
        shared: &Shared,
    ) -> Self {
        // Every question holds a place, so that the queue is bounded by them.
        let (questions, queue) = mpsc::unbounded_channel();
        if !checks.is_empty() {
            let (inbox, counters) = (shared.inbox.clone(), shared.counters.clone());
            shared.tasks.spawn(serve(queue, inbox, counters));
        }
        let desks = checks.into_iter().map(|(topic, check)| {
            let desk = Desk {
                check,
                places: Arc::new(Semaphore::new(MAX_QUESTIONS)),
                turns: Arc::new(Semaphore::new(AT_ONCE)),
            };
            (topic, desk)
        });
        Self {
            desks: desks.collect(),
            questions,
            deadline,
            counters: shared.counters.clone(),
        }
    }

    /// Asks for a verdict on a message. Without a place for it there is none: the core lets go of the message, and asks again when
    /// it comes again. Returns whether the topic has a validator.
    pub(crate) fn ask(&self, token: Token, header: &MessageHeader, entries: &[Bytes]) -> bool {
        let Some(desk) = self.desks.get(&header.topic) else {
            return false;
        };
        let Ok(place) = desk.places.clone().try_acquire_owned() else {
            Counters::hit(&self.counters.validations_skipped);
            return true;
        };
        let question = Question {
            token,
            check: desk.check.clone(),
            header: header.clone(),
            entries: entries.to_vec(),
            due: Instant::now() + self.deadline,
            turns: desk.turns.clone(),
            _place: place,
        };
        // The other end goes away only when the runtime shuts down.
        let _ = self.questions.send(question);
        true
    }
}

/// Asks until the node lets go of its validators; what is unanswered then is dropped.
async fn serve(
    mut questions: mpsc::UnboundedReceiver<Question>,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
) {
    let mut asked = JoinSet::new();
    loop {
        tokio::select! {
            question = questions.recv() => match question {
                // A task of its own, so that a panic ends that and nothing else.
                Some(question) => { asked.spawn(judge(question)); }
                None => return,
            },
            Some(answer) = asked.join_next(), if !asked.is_empty() => match answer {
                Ok((token, Some(verdict))) => inbox.event(Event::Verdict(token, verdict)),
                Ok((_, None)) => Counters::hit(&counters.validations_late),
                Err(error) => {
                    Counters::hit(&counters.validations_panicked);
                    tracing::error!(%error, "a validator panicked, which counts as no verdict");
                }
            },
        }
    }
}

/// The verdict, or `None` when it took too long; the time for its turn to come included.
async fn judge(question: Question) -> (Token, Option<Verdict>) {
    let Question {
        token,
        check,
        header,
        entries,
        due,
        turns,
        _place,
    } = question;
    let verdict = timeout_at(due, async {
        let _turn = turns.acquire().await; // never closed
        check(header, entries).await
    });
    (token, verdict.await.ok())
}
