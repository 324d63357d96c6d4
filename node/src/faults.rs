//! Places where a test can kill the process: between making something durable, sending it, acknowledging it and handing
//! it out.
//!
//! Nothing happens unless the crate is built with the feature `fault-points` *and* the environment variable
//! `VOUCHSAFE_FAULT` says `point:n` (as in `before-ack:3`): then the process aborts the n-th time it comes by that point,
//! without running any destructor, as `kill -9` would. A value that names no point aborts at once, so that a test with a
//! mistyped point cannot pass.

/// A place that can be hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// A batch of rows is about to be written.
    BeforePersist,
    /// A batch is durable, nobody has been told.
    AfterPersist,
    /// A frame is about to be given to a lane.
    BeforeSend,
    /// A publish is about to be acknowledged.
    BeforeAck,
    /// An event is about to be handed to the application.
    BeforeEmit,
}

impl FaultPoint {
    /// All points.
    pub const ALL: [Self; 5] = [
        Self::BeforePersist,
        Self::AfterPersist,
        Self::BeforeSend,
        Self::BeforeAck,
        Self::BeforeEmit,
    ];

    /// The name in `VOUCHSAFE_FAULT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforePersist => "before-persist",
            Self::AfterPersist => "after-persist",
            Self::BeforeSend => "before-send",
            Self::BeforeAck => "before-ack",
            Self::BeforeEmit => "before-emit",
        }
    }
}

/// Says that `point` is reached. Costs nothing without the feature `fault-points`.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn hit(_point: FaultPoint) {}

/// Says that `point` is reached; aborts the process when `VOUCHSAFE_FAULT` wants it here and now.
#[cfg(feature = "fault-points")]
pub fn hit(point: FaultPoint) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<FaultPoint>> = OnceLock::new();
    static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

    let wanted = WANTED.get_or_init(|| {
        let value = std::env::var("VOUCHSAFE_FAULT").ok()?;
        let Some((point, count)) = parse(&value) else {
            eprintln!("VOUCHSAFE_FAULT={value} names no fault point: use point:n");
            std::process::abort();
        };
        LEFT.store(count, Ordering::SeqCst);
        Some(point)
    });
    if *wanted == Some(point) && LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
        std::process::abort();
    }
}

/// How far a test has set the wall clock ahead.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub(crate) const fn clock_offset_ms() -> u64 {
    0
}

/// How far a test has set the wall clock ahead: the milliseconds that stand in the file named by `VOUCHSAFE_TEST_CLOCK`, read
/// anew each time, so that a test can let days pass.
#[cfg(feature = "fault-points")]
pub(crate) fn clock_offset_ms() -> u64 {
    let Some(path) = std::env::var_os("VOUCHSAFE_TEST_CLOCK") else {
        return 0;
    };
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// `point:n` with n >= 1.
#[cfg(any(test, feature = "fault-points"))]
fn parse(value: &str) -> Option<(FaultPoint, u64)> {
    let (name, count) = value.split_once(':')?;
    let point = FaultPoint::ALL
        .into_iter()
        .find(|point| point.name() == name)?;
    let count = count.parse().ok().filter(|count| *count > 0)?;
    Some((point, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_names_and_counts() {
        for point in FaultPoint::ALL {
            assert_eq!(
                parse(&format!("{}:3", point.name())),
                Some((point, 3)),
                "{point:?}"
            );
        }
        for bad in [
            "",
            "before-ack",
            "before-ack:",
            "before-ack:0",
            "nowhere:1",
            "before-ack:-1",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    /// Runs in a process of its own, started by the test below.
    #[cfg(feature = "fault-points")]
    #[test]
    #[ignore = "the child of another test"]
    fn child() {
        for n in 1..=5 {
            hit(FaultPoint::BeforeAck);
            hit(FaultPoint::BeforeEmit);
            println!("passed {n}");
        }
    }

    #[cfg(all(feature = "fault-points", unix))]
    #[test]
    fn the_process_dies_at_the_place_that_was_named() {
        use std::os::unix::process::ExitStatusExt as _;
        use std::process::Command;

        let run = |fault: Option<&str>| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args([
                "--exact",
                "faults::tests::child",
                "--ignored",
                "--nocapture",
            ]);
            child.env_remove("VOUCHSAFE_FAULT");
            child.envs(fault.map(|fault| ("VOUCHSAFE_FAULT", fault)));
            let output = child.output().unwrap();
            let passed = String::from_utf8_lossy(&output.stdout)
                .matches("passed")
                .count();
            (output.status.signal(), passed)
        };
        const SIGABRT: i32 = 6;
        let aborted = Some(SIGABRT);
        assert_eq!(run(None).0, None);
        assert_eq!(run(Some("before-ack:1")), (aborted, 0));
        assert_eq!(run(Some("before-emit:3")), (aborted, 2));
        assert_eq!(run(Some("before-emit:6")).0, None);
        assert_eq!(run(Some("before-nothing:1")), (aborted, 0));
    }
}
