//! The answer as people read it, in lines of at most 100 columns.

use super::guarantees::{CUT_OFF, DEAD, RARE, SHARE_ABOVE};
use super::{Answer, Goal, Row};
use crate::sim::numbers::{figure, grouped, span};

/// Columns of the text.
const COLUMNS: usize = 100;

/// The lines.
pub(crate) fn text(answer: &Answer) -> Vec<String> {
    let mut lines = asked(answer);
    lines.extend(settings(answer));
    lines.extend(costs(answer));
    lines.extend(guarantees(answer));
    lines.extend(missed(answer));
    lines.push(String::new());
    lines.push(
        "Simulate it (figures `bytes_per_node_per_sec`, `share`; then the crash):".to_owned(),
    );
    for command in &answer.check {
        lines.extend(wrapped(command, "  ", "    ", " \\"));
    }
    lines.push(String::new());
    let about = "Nothing above is measured: docs/SIMULATOR.md has the formulas, what they leave out, and how far they \
                 were off where they were compared with simulated worlds.";
    lines.extend(wrapped(about, "", "", ""));
    lines
}

fn asked(answer: &Answer) -> Vec<String> {
    let question = &answer.question;
    let hostile = if question.byzantine > 0.0 {
        format!(
            "{} of them hostile, each starting {} exchanges every 10 s",
            grouped(question.hostile()),
            figure(question.force)
        )
    } else {
        "none of them hostile".to_owned()
    };
    let mut text = format!(
        "{} dialable nodes, {hostile}",
        grouped(question.nodes.into())
    );
    if question.undialable > 0.0 {
        let more = grouped(question.undialable_nodes());
        text.push_str(&format!(
            "; {more} more honest nodes that cannot be dialled"
        ));
    }
    let stay = question.churn.map_or_else(
        || "; nobody leaves".to_owned(),
        |stay| {
            format!(
                "; honest nodes stay for {} on average",
                span(stay.as_secs_f64())
            )
        },
    );
    text.push_str(&stay);
    text.push_str(&format!(
        "; {} % of the honest may die at once",
        figure(question.crash * 100.0)
    ));
    if let Some(budget) = question.budget {
        text.push_str(&format!(
            "; {} B/s may be spent in either direction",
            grouped(budget as f64)
        ));
    }
    text.push('.');
    wrapped(&text, "", "", "")
}

fn settings(answer: &Answer) -> Vec<String> {
    let mut lines = vec![String::new(), "In config.toml:".to_owned()];
    let mut section = "";
    for row in answer.settings.iter().filter(|row| !row.fixed) {
        let (of, name) = row.key.split_once('.').unwrap_or(("", row.key));
        if of != section {
            section = of;
            lines.push(format!("  [{of}]"));
        }
        lines.push(setting(name, row));
    }
    lines.push(
        "Fixed in `vouchsafe run`; an embedded node sets them with `Builder::core`:".to_owned(),
    );
    let fixed = answer.settings.iter().filter(|row| row.fixed);
    lines.extend(fixed.map(|row| setting(row.key, row)));
    lines
}

fn setting(name: &str, row: &Row) -> String {
    let written = format!("{name} = {}", row.value);
    let judged = if row.suffices {
        "the default, which suffices".to_owned()
    } else {
        format!("the default is {}", row.default)
    };
    format!("  {written:<38} {judged}")
}

fn costs(answer: &Answer) -> Vec<String> {
    let traffic = &answer.bytes_per_sec;
    let mut lines = vec![
        String::new(),
        format!(
            "{:<40} {:>10} {:>10}",
            "Bytes per second of a dialable node", "sent", "received"
        ),
    ];
    let row = |name: &str, bytes: super::Bytes| {
        format!(
            "  {name:<38} {:>10} {:>10}",
            grouped(bytes.out),
            grouped(bytes.into)
        )
    };
    lines.extend(
        traffic
            .causes()
            .into_iter()
            .map(|(name, bytes)| row(name, bytes)),
    );
    lines.push(row("in all, without what is published", traffic.total));
    let start = &answer.fast_start;
    lines.push(row("bytes of the fast start, once", start.bytes));
    lines.push(format!(
        "  (about {} exchanges and {} proofs in {})",
        grouped(start.exchanges),
        grouped(start.proofs),
        span(start.seconds.round())
    ));
    lines.push(format!(
        "  Memory: known peers {} kB; buffers of all links, full at once, {} MB.",
        grouped(answer.memory.peers / 1e3),
        grouped(answer.memory.links_worst / 1e6)
    ));
    lines
}

fn guarantees(answer: &Answer) -> Vec<String> {
    let g = &answer.guarantees;
    let crash = figure(answer.question.crash * 100.0);
    let mut lines = vec![String::new(), "What it guarantees:".to_owned()];
    let mut say = |name: &str, value: String, about: String| {
        let head = format!("  {name:<38} {value:>10}  ");
        let indent = " ".repeat(head.chars().count());
        lines.extend(wrapped(&about, &head, &indent, ""));
    };
    say(
        "adversary's share of samples",
        figure(g.share),
        format!("at most its part of the network + {SHARE_ABOVE}"),
    );
    say(
        "nodes whose memory is all hostile",
        figure(g.eclipsed),
        format!("expected; at most {}", figure(RARE)),
    );
    say(
        "nodes without an honest link",
        figure(g.cut_off),
        format!("expected at any moment; at most {}", figure(CUT_OFF)),
    );
    say(
        "  the same right after the crash",
        figure(g.cut_off_by_crash),
        format!("{crash} % dead and not noticed yet; memories replace the links"),
    );
    say(
        "  survivors still in one piece",
        format!(
            "{} %",
            figure((g.largest_after_crash * 1000.0).round() / 10.0)
        ),
        "the largest part over the links left".to_owned(),
    );
    say(
        "survivors cannot find each other",
        figure(g.torn_by_crash),
        format!("chance, by their memories; at most {}", figure(RARE)),
    );
    say(
        "a new node is half known after",
        long(g.known_half_s),
        "in half as many memories as is fair".to_owned(),
    );
    say(
        "a node that has gone is forgotten after",
        long(g.dead_leaves_s),
        "mean; its links are noticed within 20 s".to_owned(),
    );
    say(
        "part of the memory that has gone",
        figure(g.dead),
        format!("at most {}", figure(DEAD)),
    );
    say(
        "a sample every",
        long(g.sample_every_s),
        format!(
            "independent of those before {}",
            long(g.independent_after_s)
        ),
    );
    say(
        "every member is visited within",
        long(g.round_s),
        "before its proof of 3 h runs out".to_owned(),
    );
    say(
        "error of the estimate of the size",
        format!("{} %", figure((g.size_error * 1000.0).round() / 10.0)),
        "one standard deviation".to_owned(),
    );
    lines
}

/// A time span that may be out of all bounds.
fn long(seconds: f64) -> String {
    const YEAR: f64 = 365.0 * 24.0 * 3600.0;
    if seconds < YEAR {
        span(seconds.round())
    } else {
        "years".to_owned()
    }
}

fn missed(answer: &Answer) -> Vec<String> {
    let mut lines = vec![String::new()];
    if answer.met {
        lines.push("Every goal is met.".to_owned());
        return lines;
    }
    lines.push("No settings meet every goal. These are the best, and miss:".to_owned());
    for goal in answer.goals.iter().filter(|goal| !goal.met) {
        lines.extend(wrapped(&explain(goal), "  ", "    ", ""));
    }
    if answer.question.budget.is_some() {
        let text = match answer.cheapest_bytes_per_sec {
            Some(bytes) => format!(
                "The cheapest settings that meet every other goal cost {} B/s: raise --budget.",
                grouped(bytes)
            ),
            None => "No budget would meet the others either.".to_owned(),
        };
        lines.extend(wrapped(&text, "  ", "    ", ""));
    }
    lines
}

/// A missed goal in words, and the remedy.
fn explain(goal: &Goal) -> String {
    let (what, remedy) = match goal.name {
        "share" => (
            "adversary's share",
            "lists do not name the network often enough between two resets: nodes must stay longer, or fewer be hostile",
        ),
        "eclipsed" => ("memories all hostile", "fewer nodes may be hostile"),
        "cut_off" => (
            "nodes without an honest link",
            "more than 64 outbound links would be needed: fewer nodes may be hostile or undialable",
        ),
        "torn_by_crash" => (
            "survivors that cannot find each other",
            "a smaller --crash, or seeds that survive: whoever is alone asks them again",
        ),
        "dead" => (
            "part of the memory that has gone",
            "members end sooner than they are found out, which dials limit: short-lived nodes should not be dialable",
        ),
        "round_s" => (
            "a round of visits",
            "proofs run out before members are visited again: a shorter period or fewer slots",
        ),
        _ => ("bytes per second", "raise --budget"),
    };
    format!(
        "{what}: {}, at most {} wanted; {remedy}.",
        figure(goal.value),
        figure(goal.most)
    )
}

/// Breaks a text between words. Every line but the last ends with `tail`; `head` begins the first, `indent` the others.
fn wrapped(text: &str, head: &str, indent: &str, tail: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = head.to_owned();
    let mut fresh = true;
    for word in words(text) {
        let needed = line.chars().count() + word.chars().count() + tail.len() + 1;
        if !fresh && needed > COLUMNS {
            lines.push(format!("{line}{tail}"));
            line = indent.to_owned();
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line.push_str(word);
        fresh = false;
    }
    lines.push(line);
    lines
}

/// The words of a text. One that begins with a single quote ends with one, and a flag keeps its value.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let flag = if rest.starts_with("--") {
            rest.find(' ').map_or(rest.len(), |space| space + 1)
        } else {
            0
        };
        let end = if rest[flag..].starts_with('\'') {
            rest[flag..].find("' ").map(|quote| quote + 1)
        } else {
            rest[flag..].find(' ')
        };
        let (word, after) = rest.split_at(end.map_or(rest.len(), |end| flag + end));
        words.push(word);
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_keeps_its_value() {
        let text = "do it --set a=1 --set 'b=[ 1, 2 ]' --flag";
        assert_eq!(
            words(text),
            ["do", "it", "--set a=1", "--set 'b=[ 1, 2 ]'", "--flag"]
        );
        assert_eq!(
            words("the node's own, --x"),
            ["the", "node's", "own,", "--x"]
        );
    }

    #[test]
    fn lines_end_with_a_tail_and_begin_with_an_indent() {
        let text = ["word"; 40].join(" ");
        let lines = wrapped(&text, "> ", "  ", " \\");
        assert!(
            lines.len() > 1 && lines[0].starts_with("> word") && lines[1].starts_with("  word")
        );
        assert!(lines[0].ends_with("word \\") && lines.last().unwrap().ends_with("word"));
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS));
    }
}
