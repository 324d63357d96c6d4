//! The table of results, for a document and for a page.

use std::fmt::Write as _;

use super::plan::{Part, Plan};
use crate::sim::description::Difference;
use crate::sim::plot::escape;
use crate::sim::summary::{Figure, Judgement, Run, Summary, Verdict};
use crate::sim::{numbers, report, words};

/// What the table stands between in a document.
/// The line before the table of a document, and the line after it.
fn marks(quick: bool) -> [String; 2] {
    let quick = if quick { " --quick" } else { "" };
    ["begin", "end"].map(|which| format!("<!-- sim suite{quick}: {which} -->"))
}

/// One row for each arm, and one for each two arms that must not differ.
#[derive(Clone, Debug)]
pub(crate) struct Rows(Vec<Row>);

#[derive(Clone, Debug)]
struct Row {
    /// Place of its scenario's description.
    of: usize,
    name: String,
    set_up: String,
    published: String,
    command: String,
    /// Directory of the report.
    report: Option<String>,
    verdicts: Vec<Verdict>,
    /// Figures without a bar.
    also: Vec<(String, Figure)>,
    /// Seeds done and seeds planned.
    seeds: (usize, usize),
}

impl Rows {
    pub(super) fn new(plan: &Plan, runs: &[(&Part, Run, Summary)]) -> Self {
        let mut rows = Vec::new();
        for (of, description) in plan.descriptions.iter().enumerate() {
            let here: Vec<&(&Part, Run, Summary)> =
                runs.iter().filter(|(part, ..)| part.of == of).collect();
            for (part, run, summary) in here.iter().map(|r| (r.0, &r.1, &r.2)) {
                let arm = part.arm.as_deref().and_then(|name| description.arm(name));
                let own =
                    |of_arm: Option<&String>, of_all: &String| of_arm.unwrap_or(of_all).clone();
                let judged = |name: &&String| summary.verdicts.iter().any(|v| v.metric == **name);
                let also = description.also.iter().filter(|name| !judged(name));
                let also = also.filter_map(|name| {
                    let figure = summary.figures.get(name)?;
                    Some((name.clone(), *figure))
                });
                rows.push(Row {
                    of,
                    name: part.title(),
                    set_up: if plan.quick {
                        run.set_up()
                    } else {
                        own(arm.and_then(|a| a.set_up.as_ref()), &description.set_up)
                    },
                    published: own(
                        arm.and_then(|a| a.published.as_ref()),
                        &description.published,
                    ),
                    command: part.command.clone(),
                    report: Some(part.report_directory()),
                    verdicts: summary.verdicts.clone(),
                    also: also.collect(),
                    seeds: (run.outcomes.len(), part.seeds.len()),
                });
            }
            for difference in &description.differences {
                rows.extend(difference_row(of, &description.name, difference, &here));
            }
        }
        Self(rows)
    }

    /// The bars that are missed, each with its scenario.
    pub(super) fn missed(&self) -> Vec<String> {
        let missed = self.0.iter().flat_map(|row| {
            let verdicts = row.verdicts.iter().filter(|verdict| !verdict.is_met());
            verdicts.map(|v| format!("{}: {} {}", row.name, v.metric, reached(v)))
        });
        missed.collect()
    }

    /// Figures that have a bar and that nothing measured, each with its scenario.
    pub(super) fn unmeasured(&self) -> Vec<String> {
        let unmeasured = self.0.iter().flat_map(|row| {
            let verdicts = row.verdicts.iter().filter(|v| v.figure.is_none());
            verdicts.map(|v| format!("{}: {}", row.name, v.metric))
        });
        unmeasured.collect()
    }

    /// How many bars there are.
    pub(crate) fn bars(&self) -> usize {
        self.0.iter().map(|row| row.verdicts.len()).sum()
    }

    /// The table as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| scenario | set-up | must reach | reached: mean [95 % interval] | seeds | published or measured elsewhere | command |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for row in &self.0 {
            let must = row
                .verdicts
                .iter()
                .map(|v| format!("`{}` {}", v.metric, v.must()));
            let verdicts = row
                .verdicts
                .iter()
                .map(|v| format!("`{}` {}", v.metric, reached(v)));
            let also = row
                .also
                .iter()
                .map(|(name, figure)| format!("`{name}` {}", with_interval(name, figure)));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | `{}` |",
                cell(&row.name),
                cell(&row.set_up),
                cell(&must.collect::<Vec<_>>().join("<br>")),
                cell(&verdicts.chain(also).collect::<Vec<_>>().join("<br>")),
                row.seeds(),
                cell(&row.published),
                cell(&row.command),
            );
        }
        text
    }

    /// The table as a page that leads to the reports.
    pub(super) fn page(
        &self,
        plan: &Plan,
        (done, of): (usize, usize),
        failures: &[String],
    ) -> String {
        let mut out = String::new();
        let missed = self.missed().len();
        let (class, icon) = if missed == 0 && done == of {
            ("good", '\u{2713}')
        } else {
            ("bad", '\u{2717}')
        };
        let _ = write!(
            out,
            "<header>\n<p class=\"eyebrow\">Vouchsafe simulation</p>\n<h1>All scenarios{}</h1>\n\
             <p class=\"setup\">{done} of {of} runs done</p>\n<p class=\"chip {class}\">{icon} {} of {} met</p>\n</header>\n",
            if plan.quick { ", small versions" } else { "" },
            self.bars() - missed,
            numbers::count(self.bars(), "bar"),
        );
        if !failures.is_empty() {
            out.push_str("<section>\n<h2>Runs that failed</h2>\n<ul>\n");
            for failure in failures {
                let _ = writeln!(out, "<li>{}</li>", escape(failure));
            }
            out.push_str("</ul>\n</section>\n");
        }
        for (of, description) in plan.descriptions.iter().enumerate() {
            let rows = self.0.iter().filter(|row| row.of == of);
            let _ = write!(
                out,
                "<section>\n<h2>{}</h2>\n<p>{}</p>\n<div class=\"scroll\"><table>\n<thead><tr><th>arm</th><th>figure</th>\
                 <th>must reach</th><th>reached</th><th></th></tr></thead>\n<tbody>\n",
                escape(&description.name),
                escape(&description.about)
            );
            for row in rows {
                page_row(&mut out, row);
            }
            out.push_str("</tbody>\n</table></div>\n</section>\n");
        }
        report::page("Simulation suite", &out)
    }
}

impl Row {
    /// `20`, or `17 of 20` when some are missing.
    fn seeds(&self) -> String {
        let (done, planned) = self.seeds;
        if done == planned {
            done.to_string()
        } else {
            format!("{done} of {planned}")
        }
    }
}

fn page_row(out: &mut String, row: &Row) {
    for (n, verdict) in row.verdicts.iter().enumerate() {
        let (class, icon) = match verdict.judgement {
            Judgement::Met => ("good", '\u{2713}'),
            Judgement::Close => ("close", '\u{2713}'),
            Judgement::Missed | Judgement::NotMeasured => ("bad", '\u{2717}'),
        };
        let name = match (&row.report, n) {
            (_, 1..) => String::new(),
            (None, _) => escape(&row.name),
            (Some(report), _) => format!(
                "<a href=\"{}/report.html\">{}</a> <span class=\"meaning\">{} seeds</span>",
                escape(&report.replace('%', "%25")),
                escape(&row.name),
                row.seeds()
            ),
        };
        let figure = verdict
            .figure
            .map_or_else(|| "-".to_owned(), |f| with_interval(&verdict.metric, &f));
        let _ = writeln!(
            out,
            "<tr><td>{name}</td><td>{} <code>{}</code></td><td>{}</td><td>{}</td><td class=\"verdict {class}\">{icon} {}</td></tr>",
            escape(&words::of(&verdict.metric).title),
            escape(&verdict.metric),
            escape(&verdict.must()),
            escape(&figure),
            verdict.judgement.word(),
        );
    }
}

/// Two arms, seed by seed: what is the same in both does not blur the difference.
fn difference_row(
    of: usize,
    name: &str,
    difference: &Difference,
    here: &[&(&Part, Run, Summary)],
) -> Option<Row> {
    let (a, b) = (&difference.between.0, &difference.between.1);
    let find = |arm: &String| {
        here.iter()
            .find(|(part, ..)| part.arm.as_ref() == Some(arm))
    };
    let ((part, one, _), (_, other, _)) = (find(a)?, find(b)?);
    let differences = one.outcomes.iter().filter_map(|outcome| {
        let same = other.outcomes.iter().find(|o| o.seed == outcome.seed)?;
        let metric = &difference.metric;
        Some(same.metrics.get(metric)? - outcome.metrics.get(metric)?)
    });
    let differences: Vec<f64> = differences.collect();
    let pairs = differences.len();
    let limits = (Some(-difference.most), Some(difference.most));
    Some(Row {
        of,
        name: format!("{name} {b} against {a}"),
        set_up: "difference of the two".to_owned(),
        published: "-".to_owned(),
        command: format!("vouchsafe sim suite --only {name}"),
        report: None,
        verdicts: vec![Verdict::new(
            &difference.metric,
            limits,
            Figure::of(differences),
        )],
        also: Vec::new(),
        seeds: (pairs, part.seeds.len()),
    })
}

/// `0.31 [0.308, 0.312] met`
fn reached(verdict: &Verdict) -> String {
    verdict.figure.map_or_else(
        || verdict.judgement.word().to_owned(),
        |figure| {
            format!(
                "{} {}",
                with_interval(&verdict.metric, &figure),
                verdict.judgement.word()
            )
        },
    )
}

fn with_interval(metric: &str, figure: &Figure) -> String {
    let mean = words::of(metric).unit.show(figure.estimate.mean);
    if figure.seeds < 2 {
        return mean;
    }
    format!(
        "{mean} [{}, {}]",
        numbers::figure(figure.estimate.low),
        numbers::figure(figure.estimate.high)
    )
}

/// Text in a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The document with the table between its marks replaced: that of the small versions has marks of its own.
///
/// # Errors
/// The marks are not there, in their order; the text says which are needed.
pub(crate) fn replace_table(document: &str, table: &str, quick: bool) -> Result<String, String> {
    let [first, last] = marks(quick);
    let needs = || format!("it needs a line {first} and after it a line {last}");
    let begin = document.find(&first).ok_or_else(needs)? + first.len();
    let end = begin + document[begin..].find(&last).ok_or_else(needs)?;
    Ok(format!(
        "{}\n{table}{}",
        &document[..begin],
        &document[end..]
    ))
}
