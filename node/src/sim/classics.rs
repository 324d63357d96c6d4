//! Published algorithms beside what was published of them, and every attack beside the baseline that it breaks.

use overlay::sim::ScenarioError;
use overlay::sim::classic::attacks::{Attack, attacks};
use overlay::sim::classic::figures::{self, Figure, Row};
use overlay::sim::classic::in_world;
use serde::Serialize;

use super::{Wrong, numbers};

/// Something to measure: a figure with its rows, or an attack.
#[derive(Debug)]
pub(crate) enum Item {
    Figure(Figure),
    Attack(Box<Attack>),
}

/// What came out.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Measured {
    Figure {
        figure: &'static str,
        rows: Vec<Row>,
    },
    Attack {
        attack: &'static str,
        metric: String,
        quiet: f64,
        broken: f64,
        node: f64,
        holds: bool,
    },
}

/// Everything there is, or what `names` names.
///
/// # Errors
/// A name that is none.
pub(crate) fn select(names: &[String]) -> Result<Vec<Item>, Wrong> {
    let figures = figures::figures().into_iter().chain(in_world::figures());
    let all: Vec<Item> = figures
        .map(Item::Figure)
        .chain(attacks().into_iter().map(Box::new).map(Item::Attack))
        .collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| all.iter().all(|item| item.name() != **name))
    {
        let known: Vec<&str> = all.iter().map(Item::name).collect();
        return Err(Wrong(format!(
            "{unknown} is none of the classics: there are {}",
            known.join(", ")
        )));
    }
    let wanted = |item: &Item| names.is_empty() || names.iter().any(|name| name == item.name());
    Ok(all.into_iter().filter(wanted).collect())
}

impl Item {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Figure(figure) => figure.name,
            Self::Attack(attack) => attack.name,
        }
    }

    /// What it is about, in a sentence.
    pub(crate) const fn about(&self) -> &'static str {
        match self {
            Self::Figure(figure) => figure.about,
            Self::Attack(attack) => attack.how,
        }
    }

    /// Measures it with so many seeds; an attack with the first one.
    ///
    /// # Errors
    /// A world that is not sound.
    pub(crate) fn measure(&self, seeds: u64) -> Result<Measured, ScenarioError> {
        Ok(match self {
            Self::Figure(figure) => Measured::Figure {
                figure: figure.name,
                rows: (figure.run)(seeds),
            },
            Self::Attack(attack) => {
                let found = attack.run(1)?;
                Measured::Attack {
                    attack: attack.name,
                    metric: attack.broken.metric.clone(),
                    quiet: found.quiet,
                    broken: found.broken,
                    node: found.ours,
                    holds: attack.holds(&found),
                }
            }
        })
    }
}

impl Measured {
    /// Whether everything published is reproduced, or the attack broke its baseline and not the node.
    pub(crate) fn holds(&self) -> bool {
        match self {
            Self::Figure { rows, .. } => rows.iter().all(Row::holds),
            Self::Attack { holds, .. } => *holds,
        }
    }

    /// Lines for people.
    pub(crate) fn text(&self) -> Vec<String> {
        match self {
            Self::Figure { rows, .. } => rows.iter().map(row_text).collect(),
            Self::Attack {
                metric,
                quiet,
                broken,
                node,
                holds,
                ..
            } => vec![format!(
                "  {metric}: baseline {} without it, {} under it; this node {} under it{}",
                numbers::figure(*quiet),
                numbers::figure(*broken),
                numbers::figure(*node),
                if *holds { "" } else { "   NOT AS IT SHOULD BE" },
            )],
        }
    }
}

fn row_text(row: &Row) -> String {
    let error = row
        .error
        .map(|error| format!(" +- {}", numbers::figure(error)))
        .unwrap_or_default();
    let published = row
        .published
        .map(|value| format!(", published {}", numbers::figure(value)))
        .unwrap_or_default();
    let holds = if row.holds() { "" } else { "   NOT REPRODUCED" };
    format!(
        "  {}: {}{error}{published} ({}){holds}",
        row.name,
        numbers::figure(row.measured),
        row.source,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_and_unknown_ones_are_told() {
        assert!(select(&[]).unwrap().len() > 15);
        let some = select(&["lie".to_owned(), "cyclon-liars".to_owned()]).unwrap();
        let names: Vec<&str> = some.iter().map(Item::name).collect();
        assert_eq!(names, ["cyclon-liars", "lie"]);
        let wrong = select(&["lies".to_owned()]).unwrap_err().0;
        assert!(wrong.contains("lies is none of the classics"), "{wrong}");
        assert!(wrong.contains("cyclon-liars"), "{wrong}");
    }

    #[test]
    fn what_is_not_reproduced_is_told() {
        let row = |measured, most| Row {
            name: "in-degree".to_owned(),
            measured,
            error: Some(0.01),
            published: Some(1.0),
            least: None,
            most: Some(most),
            source: "a paper".to_owned(),
        };
        let found = Measured::Figure {
            figure: "x",
            rows: vec![row(1.0, 1.1), row(2.0, 1.1)],
        };
        assert!(!found.holds());
        let text = found.text();
        assert_eq!(text[0], "  in-degree: 1 +- 0.01, published 1 (a paper)");
        assert!(text[1].ends_with("NOT REPRODUCED"), "{}", text[1]);
    }

    #[test]
    fn an_attack_is_measured() {
        let attack = select(&["invent".to_owned()]).unwrap().remove(0);
        let found = attack.measure(1).unwrap();
        assert!(found.holds(), "{found:?}");
        let json = serde_json::to_string(&found).unwrap();
        assert!(
            json.contains("\"attack\":\"invent\",\"metric\":\"dead\""),
            "{json}"
        );
    }
}
