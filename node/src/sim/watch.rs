//! What a person watching sees on stderr while seeds run; nothing when stderr is no terminal.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use overlay::sim::outcome::Progress;

use super::numbers;

/// How often the numbers are worked out anew.
const PERIOD: Duration = Duration::from_millis(200);

/// A bar over the simulated time of all seeds together.
#[derive(Debug)]
pub(crate) struct Watch {
    bar: ProgressBar,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Simulated seconds and events of each seed.
    seeds: Vec<(f64, u64)>,
    finished: usize,
    begun: Instant,
    drawn: Instant,
}

impl Watch {
    /// For so many seeds of so many simulated seconds each.
    pub(crate) fn start(name: &str, seeds: usize, duration_s: f64) -> Self {
        Self::on(ProgressDrawTarget::stderr(), name, seeds, duration_s)
    }

    #[cfg(test)]
    pub(crate) fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden(), "", 16, 1.0)
    }

    fn on(target: ProgressDrawTarget, name: &str, seeds: usize, duration_s: f64) -> Self {
        let total = (duration_s * seeds as f64).ceil() as u64;
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template("{prefix} {bar:28} {percent:>3} %  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.to_owned());
        let now = Instant::now();
        Self {
            bar,
            state: Mutex::new(State {
                seeds: vec![(0.0, 0); seeds],
                finished: 0,
                begun: now,
                drawn: now,
            }),
        }
    }

    /// The seed at `place` is so far.
    pub(crate) fn progress(&self, place: usize, progress: Progress) {
        self.change(false, |state| {
            if let Some(seed) = state.seeds.get_mut(place) {
                *seed = (progress.simulated_s, progress.events);
            }
        });
    }

    /// The seed at `place` is done.
    pub(crate) fn finished(&self, place: usize, duration_s: f64) {
        self.change(true, |state| {
            state.finished += 1;
            if let Some(seed) = state.seeds.get_mut(place) {
                seed.0 = duration_s;
            }
        });
    }

    /// Wipes the bar, before the summary.
    pub(crate) fn close(&self) {
        self.bar.finish_and_clear();
    }

    fn change(&self, draw: bool, change: impl FnOnce(&mut State)) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        change(&mut state);
        if draw || state.drawn.elapsed() >= PERIOD {
            state.drawn = Instant::now();
            let simulated: f64 = state.seeds.iter().map(|(seconds, _)| seconds).sum();
            self.bar.set_position(simulated as u64);
            self.bar
                .set_message(state.text(state.begun.elapsed().as_secs_f64()));
        }
    }
}

impl State {
    /// The numbers beside the bar, after so many seconds of real time.
    fn text(&self, elapsed: f64) -> String {
        let simulated: f64 = self.seeds.iter().map(|(seconds, _)| seconds).sum();
        let events: u64 = self.seeds.iter().map(|(_, events)| events).sum();
        let elapsed = elapsed.max(1e-3);
        format!(
            "{} simulated, {} x real time, {} events/s, {} of {} done",
            numbers::span(simulated.round()),
            numbers::figure(simulated / elapsed),
            numbers::short(((events as f64 / elapsed) / 1e3).round() * 1e3),
            self.finished,
            numbers::count(self.seeds.len(), "seed"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_simulated_time_and_rate() {
        let state = State {
            seeds: vec![(1800.0, 3_000_000), (3600.0, 6_000_000)],
            finished: 1,
            begun: Instant::now(),
            drawn: Instant::now(),
        };
        assert_eq!(
            state.text(10.0),
            "90 min simulated, 540 x real time, 900 k events/s, 1 of 2 seeds done"
        );
    }
}
