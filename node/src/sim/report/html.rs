//! `report.html`: one page that needs nothing else, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use overlay::sim::Scenario;
use serde_json::{Map, Value};

use crate::sim::line::VERSION;
use crate::sim::plot::{self, Chart, Setting, escape};
use crate::sim::summary::{Judgement, Run, Summary, Verdict, interval};
use crate::sim::{numbers, words};

/// A whole page with this text between its head and its end.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n:root{{{}}}\n@media(prefers-color-scheme:dark){{:root{{{}}}}}\n{}\n{}</style>\n\
         </head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title),
        plot::colors(false),
        plot::colors(true),
        plot::style(),
        include_str!("page.css"),
    )
}

/// The report of a run.
pub(super) fn report(run: &Run, summary: &Summary, charts: &[Chart]) -> String {
    let mut out = String::new();
    head(&mut out, run, summary);
    bars(&mut out, summary);
    plots(&mut out, charts);
    figures(&mut out, summary);
    counters(&mut out, run);
    world(&mut out, &run.scenario);
    again(&mut out, run);
    how_to_read(&mut out, run);
    page(&format!("{} - simulation report", run.title()), &out)
}

fn head(out: &mut String, run: &Run, summary: &Summary) {
    let missed = summary.verdicts.iter().any(|verdict| !verdict.is_met());
    let chip = match (summary.verdicts.is_empty(), missed) {
        (true, _) => String::new(),
        (false, true) => format!("<p class=\"chip bad\">\u{2717} {}</p>", summary.tally()),
        (false, false) => format!("<p class=\"chip good\">\u{2713} {}</p>", summary.tally()),
    };
    let _ = write!(
        out,
        "<header>\n<p class=\"eyebrow\">Vouchsafe simulation</p>\n<h1>{}</h1>\n<p class=\"about\">{}</p>\n\
         <p class=\"setup\">{}</p>\n{chip}\n</header>\n",
        escape(&run.title()),
        escape(&run.scenario.about),
        escape(&run.set_up()),
    );
}

fn bars(out: &mut String, summary: &Summary) {
    if summary.verdicts.is_empty() {
        return;
    }
    out.push_str("<section>\n<h2>What it had to reach</h2>\n<div class=\"cards\">\n");
    for verdict in &summary.verdicts {
        card(out, verdict);
    }
    out.push_str("</div>\n</section>\n");
}

fn card(out: &mut String, verdict: &Verdict) {
    let words = words::of(&verdict.metric);
    let (class, icon) = match verdict.judgement {
        Judgement::Met => ("good", '\u{2713}'),
        Judgement::Close => ("close", '\u{2713}'),
        Judgement::Missed | Judgement::NotMeasured => ("bad", '\u{2717}'),
    };
    let reached = verdict
        .figure
        .map_or_else(|| "-".to_owned(), |f| words.unit.show(f.estimate.mean));
    let gauge =
        plot::gauge(verdict).map_or_else(String::new, |drawing| plot::svg(&drawing, Setting::Page));
    let _ = write!(
        out,
        "<article class=\"card\">\n<h3>{}</h3>\n<p class=\"verdict {class}\">{icon} {}</p>\n\
         <p class=\"big\">{}</p>\n<p class=\"must\">must reach: {}</p>\n{gauge}<p class=\"meaning\">{}</p>\n</article>\n",
        escape(&words.title),
        verdict.judgement.word(),
        escape(&reached),
        escape(&verdict.must()),
        escape(words.meaning),
    );
}

fn plots(out: &mut String, charts: &[Chart]) {
    if charts.is_empty() {
        return;
    }
    out.push_str("<section>\n<h2>How it went</h2>\n<div class=\"plots\">\n");
    for chart in charts {
        let _ = write!(
            out,
            "<figure>\n{}<figcaption>{} <a href=\"{name}.svg\">SVG</a> <a href=\"{name}.png\">PNG</a></figcaption>\n</figure>\n",
            plot::svg(&chart.drawing, Setting::Page),
            escape(&chart.meaning),
            name = escape(&chart.name),
        );
    }
    out.push_str("</div>\n</section>\n");
}

fn figures(out: &mut String, summary: &Summary) {
    out.push_str(
        "<section>\n<h2>All figures</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>figure</th>\
         <th class=\"n\">mean</th><th class=\"n\">95 % interval</th><th class=\"n\">least</th><th class=\"n\">most</th>\
         <th class=\"n\">seeds</th></tr></thead>\n<tbody>\n",
    );
    for name in summary.names() {
        let Some(figure) = summary.figures.get(name) else {
            continue;
        };
        let words = words::of(name);
        let _ = writeln!(
            out,
            "<tr><td><strong>{}</strong> <code>{}</code><br><span class=\"meaning\">{}</span></td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&words.title),
            escape(name),
            escape(words.meaning),
            words.unit.show(figure.estimate.mean),
            interval(figure),
            numbers::figure(figure.least),
            numbers::figure(figure.most),
            figure.seeds,
        );
    }
    out.push_str("</tbody>\n</table></div>\n</section>\n");
}

/// What the nodes' own counters say, without those that nobody counted anything in.
fn counters(out: &mut String, run: &Run) {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (name, value) in run.outcomes.iter().flat_map(|outcome| &outcome.counters) {
        *sums.entry(name).or_default() += value;
    }
    sums.retain(|_, sum| *sum != 0.0);
    if sums.is_empty() {
        return;
    }
    out.push_str(
        "<section>\n<h2>What the nodes counted</h2>\n<details><summary>Each counter at the end, mean of the honest nodes and of the \
         seeds</summary>\n<div class=\"scroll\"><table class=\"narrow\"><tbody>\n",
    );
    for (name, sum) in sums {
        let _ = writeln!(
            out,
            "<tr><td><code>{}</code></td><td class=\"n\">{}</td></tr>",
            escape(name),
            numbers::figure(sum / run.outcomes.len() as f64)
        );
    }
    out.push_str("</tbody></table></div>\n</details>\n</section>\n");
}

fn world(out: &mut String, scenario: &Scenario) {
    let keys = |scenario: &Scenario| match serde_json::to_value(scenario) {
        Ok(Value::Object(keys)) => keys,
        _ => Map::new(),
    };
    let (here, default) = (keys(scenario), keys(&Scenario::default()));
    let shown = |key: &str| !matches!(key, "name" | "about" | "bars");
    let (changed, same): (Vec<_>, Vec<_>) = here
        .iter()
        .filter(|(key, _)| shown(key))
        .partition(|(key, value)| default.get(*key) != Some(value));
    out.push_str("<section>\n<h2>The world</h2>\n<p>What differs from the default:</p>\n");
    parameters(out, &changed);
    out.push_str("<details><summary>Everything else, as it is by default</summary>\n");
    parameters(out, &same);
    out.push_str("</details>\n</section>\n");
}

fn parameters(out: &mut String, rows: &[(&String, &Value)]) {
    out.push_str("<div class=\"scroll\"><table class=\"narrow\"><tbody>\n");
    for (key, value) in rows {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td></tr>",
            escape(key),
            escape(&text)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

fn again(out: &mut String, run: &Run) {
    let _ = write!(
        out,
        "<section>\n<h2>Do it again</h2>\n<pre><code>{}</code></pre>\n<p>Version {VERSION}. The same version, scenario and seed \
         give the same events, and so the same hash: <code class=\"hash\">{}</code></p>\n\
         <details><summary>The hash of each seed</summary>\n<div class=\"scroll\"><table class=\"narrow\"><tbody>\n",
        escape(&run.command),
        escape(&run.event_hash()),
    );
    for outcome in &run.outcomes {
        let _ = writeln!(
            out,
            "<tr><td class=\"n\">{}</td><td><code>{}</code></td></tr>",
            outcome.seed,
            escape(&outcome.event_hash)
        );
    }
    out.push_str("</tbody></table></div>\n</details>\n</section>\n");
}

fn how_to_read(out: &mut String, run: &Run) {
    out.push_str("<section>\n<h2>How to read this</h2>\n<ul>\n");
    if run.outcomes.len() > 1 {
        let _ = writeln!(
            out,
            "<li>The world was run {} times, each with another seed, which decides everything random. A figure is the mean over \
             these runs.</li>\n<li>The 95 % interval says how sure that mean is: it comes from drawing the runs anew 2,000 times, with \
             repetition (a bootstrap). Were everything done again with other seeds, the mean would most likely fall into it.</li>",
            run.outcomes.len()
        );
    } else {
        out.push_str(
            "<li>The world was run once. How much another seed would change, one run cannot say: <code>--seeds 20</code> runs \
             twenty and gives each figure an interval.</li>\n",
        );
    }
    out.push_str(
        "<li>A bar is met when the mean keeps to it. Where the interval reaches beyond the bar, that is said.</li>\n\
         <li>Honest nodes run the very protocol code that runs in a real node; only time and the network are simulated.</li>\n\
         <li>The numbers behind the plots are in <code>series.csv</code>, <code>series-intervals.csv</code>, \
         <code>histograms.csv</code>, <code>counters.csv</code>, <code>metrics.csv</code> and <code>report.json</code>.</li>\n</ul>\n</section>\n",
    );
}
