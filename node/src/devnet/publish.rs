//! Publishing: which message comes from whom, when, and what is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;
use rand::seq::index;
use tokio::task::JoinHandle;
use vouchsafe::{Handle, Topic};

use super::Options;
use super::nodes::Network;

/// Index and date, which every payload carries.
pub(crate) const MIN_PAYLOAD: usize = 16;
/// Publishes of one node under way at a time; more wait, as in any application that watches its answers.
const WINDOW: usize = 256;

/// The nodes that publish, by their place in the network: the message with index `i` comes from the one at `i % len`.
pub(super) fn publishers(options: &Options) -> Vec<usize> {
    let mut rng = ChaCha12Rng::seed_from_u64(options.seed ^ 0x7075_626c_6973_6865);
    index::sample(&mut rng, options.nodes, options.publishers).into_vec()
}

/// The bytes of a message: its index, when it was published (nanoseconds of the clock the receivers share), and noise.
fn payload(index: u64, date: Duration, noise: &Bytes) -> Bytes {
    let nanos = u64::try_from(date.as_nanos()).unwrap_or(u64::MAX);
    let mut bytes = noise.to_vec();
    bytes[..8].copy_from_slice(&index.to_le_bytes());
    bytes[8..MIN_PAYLOAD].copy_from_slice(&nanos.to_le_bytes());
    bytes.into()
}

/// Index and date of a payload; `None` = it is none of ours.
pub(super) fn read(payload: &[u8]) -> Option<(u64, Duration)> {
    let (index, rest) = payload.split_first_chunk::<8>()?;
    let date = rest.first_chunk::<8>()?;
    Some((
        u64::from_le_bytes(*index),
        Duration::from_nanos(u64::from_le_bytes(*date)),
    ))
}

/// Publishers at work.
pub(super) struct Publishing(Vec<JoinHandle<Result<u64>>>);

/// Starts all publishers; `published` counts what they have published.
pub(super) fn start(
    network: &Network,
    topic: &Topic,
    options: &Options,
    clock: Instant,
    published: &Arc<AtomicU64>,
) -> Publishing {
    let handles: Vec<Handle> = network.handles().collect();
    let tasks = publishers(options)
        .into_iter()
        .enumerate()
        .map(|(place, node)| {
            let publisher = Publisher {
                handle: handles[node].clone(),
                topic: topic.clone(),
                place: place as u64,
                options: options.clone(),
                clock,
                published: published.clone(),
            };
            tokio::spawn(publisher.run())
        })
        .collect();
    Publishing(tasks)
}

impl Publishing {
    /// Waits for the last publish and says how many there were.
    pub(super) async fn finish(self) -> Result<u64> {
        let mut total = 0;
        for task in self.0 {
            total += task.await??;
        }
        Ok(total)
    }
}

struct Publisher {
    handle: Handle,
    topic: Topic,
    place: u64,
    options: Options,
    clock: Instant,
    published: Arc<AtomicU64>,
}

impl Publisher {
    async fn run(self) -> Result<u64> {
        let mut rng = ChaCha12Rng::seed_from_u64(self.options.seed.wrapping_add(self.place));
        let mut noise = vec![0; self.options.size];
        rng.fill_bytes(&mut noise);
        let noise = Bytes::from(noise);
        let this = Arc::new(self);
        let publish = |index| {
            let (this, noise) = (this.clone(), noise.clone());
            async move {
                let payload = payload(index, this.clock.elapsed(), &noise);
                this.handle
                    .publish(&this.topic, payload)
                    .await
                    .with_context(|| format!("message {index}"))?;
                this.published.fetch_add(1, Ordering::Relaxed);
                anyhow::Ok(())
            }
        };
        let due = stream::unfold((this.clone(), 0), |(this, turn)| async move {
            let index = this.next(turn).await?;
            Some((index, (this, turn + 1)))
        });
        // Polled in order, so that one author's messages keep the order of their indices.
        let mut results = std::pin::pin!(due.map(publish).buffered(WINDOW));
        let mut count = 0;
        while let Some(result) = results.next().await {
            result?;
            count += 1;
        }
        Ok(count)
    }

    /// Waits until this publisher's next message is due; `None` when there is none any more.
    async fn next(&self, turn: u64) -> Option<u64> {
        let index = turn
            .checked_mul(self.options.publishers as u64)?
            .checked_add(self.place)?;
        if index >= self.options.messages {
            return None;
        }
        if self.options.rate > 0.0 {
            let due = Duration::from_secs_f64(index as f64 / self.options.rate);
            tokio::time::sleep_until((self.clock + due).into()).await;
        }
        let over = self
            .options
            .duration
            .is_some_and(|duration| self.clock.elapsed() >= duration);
        (!over).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_what_it_is() {
        let noise = Bytes::from(vec![7; 20]);
        let bytes = payload(5, Duration::from_nanos(9), &noise);
        assert_eq!(bytes.len(), 20);
        assert_eq!(&bytes[16..], [7; 4]);
        assert_eq!(read(&bytes), Some((5, Duration::from_nanos(9))));
        assert_eq!(read(&bytes[..15]), None);
    }
}
