//! What a person watching sees on stderr while seeds run: a bar, or a line now and then where stderr is no terminal.

use std::io::{self, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use overlay::sim::outcome::Progress;

use super::numbers;

/// How often the numbers are worked out anew.
const PERIOD: Duration = Duration::from_millis(200);
/// How often a line is written where there is no bar.
const LINE: Duration = Duration::from_secs(60);

/// A bar over the work of all runs together.
#[derive(Debug)]
pub(crate) struct Watch {
    bar: ProgressBar,
    /// Whether lines are written instead.
    lines: bool,
    state: Mutex<State>,
}

/// One run: how long it is, and what a simulated second of it weighs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) duration_s: f64,
    pub(crate) weight: f64,
}

#[derive(Debug)]
struct State {
    runs: Vec<RunState>,
    finished: usize,
    begun: Instant,
    drawn: Instant,
    written: Instant,
}

#[derive(Clone, Copy, Debug)]
struct RunState {
    task: Task,
    simulated_s: f64,
    events: u64,
}

impl Watch {
    pub(crate) fn start(name: &str, tasks: &[Task]) -> Self {
        let mut watch = Self::on(ProgressDrawTarget::stderr(), name, tasks);
        watch.lines = watch.bar.is_hidden();
        watch
    }

    #[cfg(test)]
    pub(crate) fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden(), "", &[])
    }

    fn on(target: ProgressDrawTarget, name: &str, tasks: &[Task]) -> Self {
        let total: f64 = tasks.iter().map(|task| task.duration_s * task.weight).sum();
        let bar = ProgressBar::with_draw_target(Some(total.ceil() as u64), target);
        let style = ProgressStyle::with_template("{prefix} {bar:28} {percent:>3} %  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.to_owned());
        let now = Instant::now();
        let runs = tasks.iter().map(|task| RunState {
            task: *task,
            simulated_s: 0.0,
            events: 0,
        });
        Self {
            bar,
            lines: false,
            state: Mutex::new(State {
                runs: runs.collect(),
                finished: 0,
                begun: now,
                drawn: now,
                written: now,
            }),
        }
    }

    /// The run at `place` is so far.
    pub(crate) fn progress(&self, place: usize, progress: Progress) {
        self.change(false, |state| {
            if let Some(run) = state.runs.get_mut(place) {
                run.simulated_s = progress.simulated_s;
                run.events = progress.events;
            }
        });
    }

    /// The run at `place` has ended.
    pub(crate) fn finished(&self, place: usize) {
        self.change(true, |state| {
            state.finished += 1;
            if let Some(run) = state.runs.get_mut(place) {
                run.simulated_s = run.task.duration_s;
            }
        });
    }

    /// Whether somebody sees the bar.
    pub(crate) fn is_visible(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Does something that writes to stderr, which the bar makes room for.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
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
        if self.lines && state.line_is_due(Instant::now()) {
            let text = state.text(state.begun.elapsed().as_secs_f64());
            // A reader of stderr that is gone does not stop the run.
            let _ = writeln!(io::stderr(), "{}: {text}", self.bar.prefix());
        }
        if draw || state.drawn.elapsed() >= PERIOD {
            state.drawn = Instant::now();
            let runs = state.runs.iter();
            let done: f64 = runs.map(|run| run.simulated_s * run.task.weight).sum();
            self.bar.set_position(done as u64);
            self.bar
                .set_message(state.text(state.begun.elapsed().as_secs_f64()));
        }
    }
}

impl State {
    fn line_is_due(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.written) >= LINE;
        if due {
            self.written = now;
        }
        due
    }

    /// The numbers beside the bar, after so many seconds of real time.
    fn text(&self, elapsed: f64) -> String {
        let simulated: f64 = self.runs.iter().map(|run| run.simulated_s).sum();
        let events: u64 = self.runs.iter().map(|run| run.events).sum();
        let elapsed = elapsed.max(1e-3);
        format!(
            "{} simulated, {} x real time, {} events/s, {} of {} done",
            numbers::span(simulated.round()),
            numbers::figure(simulated / elapsed),
            numbers::short(((events as f64 / elapsed) / 1e3).round() * 1e3),
            self.finished,
            numbers::count(self.runs.len(), "run"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_simulated_time_and_rate() {
        let task = Task {
            duration_s: 3600.0,
            weight: 1.0,
        };
        let run = |simulated_s, events| RunState {
            task,
            simulated_s,
            events,
        };
        let mut state = State {
            runs: vec![run(1800.0, 3_000_000), run(3600.0, 6_000_000)],
            finished: 1,
            begun: Instant::now(),
            drawn: Instant::now(),
            written: Instant::now(),
        };
        assert_eq!(
            state.text(10.0),
            "90 min simulated, 540 x real time, 900 k events/s, 1 of 2 runs done"
        );
        let written = state.written;
        assert!(!state.line_is_due(written + LINE / 2));
        assert!(state.line_is_due(written + LINE));
        assert!(!state.line_is_due(written + LINE), "once");
    }
}
