//! Validators of whole nodes over real QUIC in virtual time: 1 publishes, 2 judges, and 3 hears of 1 only through 2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use vouchsafe::{Code, Down, NodeEvent, Verdict};
use vouchsafe_integration_tests::hub::{Conditions, Hub};
use vouchsafe_integration_tests::village::{TOPIC, Village};
use vouchsafe_integration_tests::virtual_time::in_virtual_time;

const LATENCY: Duration = Duration::from_millis(20);
/// Repair looks every 30 s, give or take a quarter, and at a neighbor every second time.
const REPAIRED: Duration = Duration::from_secs(120);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A question of node 2's validator; dropping the answer panics there.
struct Question {
    text: Bytes,
    answer: oneshot::Sender<Verdict>,
}

struct Chain {
    village: Village,
    questions: mpsc::UnboundedReceiver<Question>,
    open: Arc<AtomicUsize>,
}

/// Counts the questions that somebody waits for.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Chain {
    async fn new(seed: u64) -> Self {
        let mut village = Village::new(seed, Conditions::calm(LATENCY), 2);
        village.hub.cut(Hub::addr(1).ip(), Hub::addr(3).ip());
        village.start(1, |builder| builder).await;
        let (ask, questions) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let count = open.clone();
        let check = move |_, entries: Vec<Bytes>| {
            let (answer, verdict) = oneshot::channel();
            let text = entries[0].clone();
            ask.send(Question { text, answer }).expect("the test runs");
            count.fetch_add(1, Ordering::Relaxed);
            let open = Open(count.clone());
            async move {
                let verdict = verdict.await;
                drop(open);
                verdict.expect("a validator that panics")
            }
        };
        let topic = TOPIC.parse().expect("a topic");
        village
            .start(2, |builder| builder.validator(topic, check))
            .await;
        let middle = village.seed_of(2);
        village.start(3, |builder| builder.seed(middle)).await;
        village.settled(1, secs(60)).await;
        sleep(secs(10)).await;
        for (n, links) in [(1, 1), (2, 2), (3, 1)] {
            let status = village.status(n).await;
            let found = status.neighbors_inbound + status.neighbors_outbound;
            assert_eq!(found, links, "node {n}");
        }
        Self {
            village,
            questions,
            open,
        }
    }

    async fn question(&mut self, limit: Duration) -> Question {
        let question = timeout(limit, self.questions.recv()).await;
        question.expect("a question").expect("the node runs")
    }

    /// How many entries nodes 2 and 3 have been given.
    fn given(&self) -> [usize; 2] {
        [2, 3].map(|n| self.village.arrivals(n).len())
    }

    async fn links(&self) -> usize {
        let status = self.village.status(2).await;
        status.neighbors_inbound + status.neighbors_outbound
    }
}

#[test]
fn nobody_hears_of_a_message_before_the_verdict() {
    in_virtual_time(async {
        let mut chain = Chain::new(31).await;
        chain.village.publish(1).await;
        let question = chain.question(LATENCY * 3).await;
        sleep(Duration::from_millis(1900)).await;
        assert_eq!(chain.given(), [0, 0], "it waits for the verdict");
        question.answer.send(Verdict::Accept).expect("it waits");
        let took = chain.village.delivered(LATENCY * 10).await;
        println!("delivered everywhere {took:?} after the verdict");
    });
}

#[test]
fn what_is_ignored_or_rejected_goes_no_further_and_only_the_latter_costs_the_link() {
    in_virtual_time(async {
        let mut chain = Chain::new(32).await;
        let mut events = chain.village.handle(2).events();
        let counts = async |chain: &Chain| {
            let ignored = chain.village.counter(2, "messages", "ignored").await;
            [
                ignored,
                chain.village.counter(2, "messages", "rejected").await,
            ]
        };
        chain.village.publish(1).await;
        let question = chain.question(secs(1)).await;
        question.answer.send(Verdict::Ignore).expect("it waits");
        // Long enough for repair to look at it again, which must not ask again.
        sleep(REPAIRED).await;
        assert_eq!((chain.given(), counts(&chain).await), ([0, 0], [1, 0]));
        assert_eq!(chain.links().await, 2, "it costs nothing");
        assert!(chain.questions.try_recv().is_err(), "it was decided");
        chain.village.publish(1).await;
        let question = chain.question(secs(1)).await;
        question.answer.send(Verdict::Reject).expect("it waits");
        // It may be dialled again at once.
        let (peer, why) = timeout(secs(1), async {
            loop {
                if let Some(NodeEvent::NeighborDown { peer, why }) = events.next().await {
                    return (peer, why);
                }
            }
        })
        .await
        .expect("the link it came by is closed");
        let publisher = chain.village.identity(1).id();
        assert_eq!((peer, why), (publisher, Down::ByUs(Code::Invalid)));
        sleep(REPAIRED).await;
        assert_eq!((chain.given(), counts(&chain).await), ([0, 0], [1, 1]));
    });
}

#[test]
fn a_late_verdict_is_none_and_the_message_is_asked_about_again() {
    in_virtual_time(async {
        let mut chain = Chain::new(33).await;
        chain.village.publish(1).await;
        let question = chain.question(secs(1)).await;
        sleep(Duration::from_millis(2100)).await;
        let late = question.answer.send(Verdict::Accept);
        assert!(late.is_err(), "nobody waits for it any more");
        assert_eq!(chain.open.load(Ordering::Relaxed), 0);
        sleep(secs(1)).await;
        assert_eq!(chain.given(), [0, 0]);
        let again = chain.question(REPAIRED).await;
        assert_eq!(again.text, question.text);
        again.answer.send(Verdict::Accept).expect("it waits");
        chain.village.delivered(REPAIRED).await;
        let late = chain.village.counter(2, "transport", "validations_late");
        let undecided = chain.village.counter(2, "messages", "undecided");
        assert_eq!((late.await, undecided.await), (1, 1));
        assert_eq!(chain.links().await, 2, "being late costs nobody a link");
    });
}

#[test]
fn a_panic_is_no_verdict_and_takes_nothing_down() {
    in_virtual_time(async {
        let mut chain = Chain::new(34).await;
        chain.village.publish(1).await;
        let question = chain.question(secs(1)).await;
        let text = question.text.clone();
        drop(question);
        sleep(secs(3)).await;
        assert_eq!(chain.given(), [0, 0]);
        let panics = chain
            .village
            .counter(2, "transport", "validations_panicked");
        assert_eq!(panics.await, 1);
        let again = chain.question(REPAIRED).await;
        assert_eq!(again.text, text);
        again.answer.send(Verdict::Accept).expect("it waits");
        chain.village.delivered(REPAIRED).await;
    });
}

#[test]
fn many_are_judged_at_once_but_not_too_many_and_the_rest_come_again() {
    in_virtual_time(async {
        let mut chain = Chain::new(35).await;
        // One by one, so that each is a message of its own.
        for _ in 0..300 {
            chain.village.publish(1).await;
        }
        sleep(secs(1)).await;
        assert_eq!(
            chain.open.load(Ordering::Relaxed),
            32,
            "as many as may be asked at once"
        );
        let skipped = chain.village.counter(2, "transport", "validations_skipped");
        assert_eq!(skipped.await, 300 - 256, "more than may wait");
        // The others get their turn as answers come, and those for whom it was too late come again.
        let (mut most, end) = (0, Instant::now() + REPAIRED);
        while chain.given() != [300, 300] {
            assert!(Instant::now() < end, "{:?}", chain.given());
            if let Ok(question) = timeout(LATENCY, chain.questions.recv()).await {
                most = most.max(chain.open.load(Ordering::Relaxed));
                let _ = question
                    .expect("the node runs")
                    .answer
                    .send(Verdict::Accept); // or too late
            }
        }
        assert_eq!(most, 32);
        sleep(REPAIRED).await;
        assert_eq!(chain.given(), [300, 300], "each of them once");
    });
}
