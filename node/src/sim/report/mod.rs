//! A directory with everything a run measured: for people, for programs, for spreadsheets.

mod csv;
mod folder;
mod html;
mod json;

use anyhow::Result;

use super::curves;
use super::plot::{self, Setting};
use super::summary::{Run, Summary};

pub(crate) use folder::Folder;
pub(crate) use html::page;
pub(crate) use json::REPORT;

/// Writes the whole report, or nothing. The same run gives the same bytes.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn write(folder: &Folder, run: &Run, summary: &Summary) -> Result<Vec<String>> {
    let curves = curves::curves(&run.outcomes);
    let distributions = curves::distributions(&run.outcomes);
    let charts = plot::charts(run, &curves, &distributions);
    let mut files = vec![
        (
            "report.html".to_owned(),
            html::report(run, summary, &charts).into_bytes(),
        ),
        (
            "metrics.csv".to_owned(),
            csv::metrics(&run.outcomes).into_bytes(),
        ),
        (
            "counters.csv".to_owned(),
            csv::counters(&run.outcomes).into_bytes(),
        ),
        (
            "series.csv".to_owned(),
            csv::series(&run.outcomes).into_bytes(),
        ),
        (
            "series-intervals.csv".to_owned(),
            csv::intervals(&curves).into_bytes(),
        ),
        (
            "histograms.csv".to_owned(),
            csv::histograms(&run.outcomes).into_bytes(),
        ),
    ];
    for chart in &charts {
        let svg = plot::svg(&chart.drawing, Setting::File);
        files.push((format!("{}.svg", chart.name), svg.into_bytes()));
        files.push((format!("{}.png", chart.name), plot::png(&chart.drawing)));
    }
    let mut names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    names.push(REPORT.to_owned());
    let json = json::report(run, summary, &names)?;
    files.push((REPORT.to_owned(), json.into_bytes()));
    let old = json::files_of_earlier(folder);
    folder.write(&files)?;
    // What an earlier run had drawn and this one has not would be taken for a part of it.
    for name in old.iter().filter(|name| !names.contains(name)) {
        folder.remove(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
