//! What this process has used, as the system says; `None` where there is no /proc.

/// Clock ticks a second in /proc/self/stat: 100 on every Linux but a few exotic architectures.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage(Option<f64>);

impl Usage {
    pub(super) fn now() -> Self {
        Self(
            std::fs::read_to_string("/proc/self/stat")
                .ok()
                .and_then(|stat| cpu_seconds(&stat)),
        )
    }

    pub(super) fn cpu_seconds_since(self) -> Option<f64> {
        Some(Self::now().0? - self.0?)
    }
}

/// User and system time of all threads: fields 14 and 15, counted after the name, which may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Largest resident size so far, MB.
pub(super) fn peak_rss_mb() -> Option<f64> {
    high_water_mb(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn high_water_mb(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_is_no_obstacle() {
        let stat = "42 (a) b (c)) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 7 7 20 0 3 0 100 1000 10";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn the_high_water_mark_is_in_mb() {
        assert_eq!(
            high_water_mb("VmPeak:\t 9 kB\nVmHWM:\t   50000 kB\n"),
            Some(51.2)
        );
        assert_eq!(high_water_mb("VmPeak:\t 9 kB\n"), None);
    }
}
