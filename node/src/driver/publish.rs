//! From single payloads to messages: what waits together on one topic shares a message and its signature.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use overlay::action::Receipt;
use overlay::messages::{ENTRY_PREFIX, MAX_ENTRIES, MAX_INLINE, PublishError as CoreError, Topic};
use overlay::{Command, Token};
use tokio::sync::{mpsc, oneshot};

use crate::handle::{PublishError, PublishRequest, Published, Stopped};

/// Payloads looked at when a message is put together.
const LOOK_AHEAD: usize = 1024;

type Answer = oneshot::Sender<Result<Published, PublishError>>;

/// Payloads that wait to be signed, and callers that wait for an answer.
#[derive(Debug)]
pub(crate) struct Publisher {
    queue: mpsc::Receiver<PublishRequest>,
    waiting: VecDeque<PublishRequest>,
    /// Messages handed to the core; bounded by its own limit on publishes.
    answers: BTreeMap<Token, Vec<Answer>>,
    last_token: u64,
    /// Their payloads travel alone, so that a refused one takes no others with it.
    validated: BTreeSet<Topic>,
}

impl Publisher {
    pub(crate) fn new(queue: mpsc::Receiver<PublishRequest>, validated: BTreeSet<Topic>) -> Self {
        Self {
            queue,
            waiting: VecDeque::new(),
            answers: BTreeMap::new(),
            last_token: 0,
            validated,
        }
    }

    /// Waits for a request. Pending for ever once there can be none.
    pub(crate) async fn ready(&mut self) {
        if !self.waiting.is_empty() {
            return;
        }
        match self.queue.recv().await {
            Some(request) => self.waiting.push_back(request),
            None => std::future::pending().await,
        }
    }

    /// The next message, made of what waits now; `None` when nothing does.
    pub(crate) fn next(&mut self) -> Option<Command> {
        while self.waiting.len() < LOOK_AHEAD {
            match self.queue.try_recv() {
                // A caller that has gone away before anything was signed is taken at its word.
                Ok(request) if request.answer.is_closed() => {}
                Ok(request) => self.waiting.push_back(request),
                Err(_) => break,
            }
        }
        let topic = self.waiting.front()?.topic.clone();
        let most = if self.validated.contains(&topic) {
            1
        } else {
            MAX_ENTRIES
        };
        let (mut payloads, mut answers, mut body) = (Vec::<Bytes>::new(), Vec::new(), 0);
        let mut others = VecDeque::with_capacity(self.waiting.len());
        let mut full = false;
        for request in self.waiting.drain(..) {
            let size = request.payload.len() + ENTRY_PREFIX;
            // Once one does not fit, those behind it wait as well: a topic keeps its order.
            // What is too long for a frame goes alone.
            let fits = payloads.is_empty() || payloads.len() < most && body + size <= MAX_INLINE;
            full |= request.topic == topic && !fits;
            if full || request.topic != topic {
                others.push_back(request);
            } else {
                body += size;
                payloads.push(request.payload);
                answers.push(request.answer);
            }
        }
        self.waiting = others;
        self.last_token += 1;
        let token = Token(self.last_token);
        self.answers.insert(token, answers);
        Some(Command::Publish {
            token,
            topic,
            payloads,
        })
    }

    /// Answers the callers of one message.
    pub(crate) fn published(&mut self, token: Token, result: Result<Receipt, CoreError>) {
        let Some(answers) = self.answers.remove(&token) else {
            return;
        };
        match result {
            Ok(receipt) => {
                let entries = receipt.entries.into_iter().zip(receipt.messages);
                for (answer, (id, message)) in answers.into_iter().zip(entries) {
                    // A caller that has gone away does not want to know.
                    let _ = answer.send(Ok(Published {
                        id,
                        message,
                        neighbors: receipt.neighbors,
                    }));
                }
            }
            Err(error) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone().into()));
                }
            }
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.answers.is_empty()
    }

    /// Refuses everything that waits, and everything to come.
    pub(crate) fn close(&mut self, store_failure: Option<&str>) {
        let error = || match store_failure {
            Some(problem) => PublishError::Store(problem.to_owned()),
            None => Stopped.into(),
        };
        self.queue.close();
        while let Ok(request) = self.queue.try_recv() {
            self.waiting.push_back(request);
        }
        for request in self.waiting.drain(..) {
            let _ = request.answer.send(Err(error()));
        }
        if store_failure.is_some() {
            for answer in std::mem::take(&mut self.answers).into_values().flatten() {
                let _ = answer.send(Err(error()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        publisher: Publisher,
        sender: mpsc::Sender<PublishRequest>,
        answers: Vec<oneshot::Receiver<Result<Published, PublishError>>>,
    }

    fn bench(validated: &[&str]) -> Bench {
        let (sender, queue) = mpsc::channel(4096);
        let validated = validated.iter().map(|t| t.parse().unwrap()).collect();
        Bench {
            publisher: Publisher::new(queue, validated),
            sender,
            answers: Vec::new(),
        }
    }

    impl Bench {
        fn put(&mut self, topic: &str, payload: impl Into<Bytes>) {
            let (answer, answered) = oneshot::channel();
            self.answers.push(answered);
            self.sender
                .try_send(PublishRequest {
                    topic: topic.parse().unwrap(),
                    payload: payload.into(),
                    answer,
                })
                .unwrap();
        }

        fn next(&mut self) -> Option<(String, Vec<Bytes>)> {
            self.publisher.next().map(|command| match command {
                Command::Publish {
                    topic, payloads, ..
                } => (topic.as_str().to_owned(), payloads),
                other => panic!("{other:?}"),
            })
        }
    }

    #[test]
    fn what_waits_on_one_topic_shares_a_message_and_keeps_its_order() {
        let mut bench = bench(&[]);
        for (topic, payload) in [("a", "1"), ("b", "x"), ("a", "2"), ("b", "y"), ("a", "3")] {
            bench.put(topic, payload);
        }
        let (topic, payloads) = bench.next().unwrap();
        assert_eq!(
            (topic.as_str(), payloads),
            ("a", vec!["1".into(), "2".into(), "3".into()])
        );
        let (topic, payloads) = bench.next().unwrap();
        assert_eq!(
            (topic.as_str(), payloads),
            ("b", vec!["x".into(), "y".into()])
        );
        assert_eq!(bench.next(), None);
    }

    #[test]
    fn a_message_is_bounded_in_entries_and_bytes() {
        let mut bench = bench(&[]);
        for _ in 0..600 {
            bench.put("a", "x");
        }
        let counts: Vec<usize> = std::iter::from_fn(|| bench.next().map(|m| m.1.len())).collect();
        assert_eq!(counts, [256, 256, 88]);
        for size in [30_000, 20_000, 10, 32_768, 16_376, 1] {
            bench.put("a", vec![0; size]);
        }
        let sizes: Vec<Vec<usize>> =
            std::iter::from_fn(|| bench.next().map(|m| m.1.iter().map(Bytes::len).collect()))
                .collect();
        assert_eq!(
            sizes,
            [
                vec![30_000],
                vec![20_000, 10],
                vec![32_768, 16_376],
                vec![1]
            ],
            "in order: a small one does not overtake a large one"
        );
    }

    #[test]
    fn payloads_of_a_validated_topic_travel_alone() {
        let mut bench = bench(&["v"]);
        for _ in 0..3 {
            bench.put("v", "x");
        }
        let counts: Vec<usize> = std::iter::from_fn(|| bench.next().map(|m| m.1.len())).collect();
        assert_eq!(counts, [1, 1, 1]);
    }

    #[test]
    fn a_caller_that_has_gone_away_publishes_nothing() {
        let mut bench = bench(&[]);
        bench.put("a", "1");
        bench.put("a", "2");
        bench.answers.remove(0);
        assert_eq!(bench.next().unwrap().1, [Bytes::from("2")]);
    }

    #[test]
    fn each_caller_gets_its_own_entry() {
        let mut bench = bench(&[]);
        bench.put("a", "1");
        bench.put("a", "2");
        bench.next().unwrap();
        let message = crypto::MessageId::from_bytes([1; 32]);
        let entries: Vec<_> = (0..2).map(|i| crypto::EntryId::of(&message, i)).collect();
        let receipt = Receipt {
            message,
            entries: entries.clone(),
            messages: vec![message; 2],
            neighbors: 3,
        };
        bench.publisher.published(Token(1), Ok(receipt));
        for (mut answer, id) in bench.answers.into_iter().zip(entries) {
            let published = answer.try_recv().unwrap().unwrap();
            assert_eq!((published.id, published.neighbors), (id, 3));
        }
        assert!(bench.publisher.is_idle());
    }

    #[test]
    fn closing_answers_everyone() {
        let mut bench = bench(&[]);
        bench.put("a", "1");
        bench.next().unwrap();
        bench.put("a", "2");
        bench.publisher.close(Some("disk full"));
        for mut answer in bench.answers {
            let error = answer.try_recv().unwrap().unwrap_err();
            assert_eq!(error, PublishError::Store("disk full".into()));
        }
        assert!(bench.sender.is_closed());
    }
}
