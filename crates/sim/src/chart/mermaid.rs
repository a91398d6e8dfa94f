//! How does a chart look in a document? As a Mermaid sequence diagram: what is proposed and what traitors send are arrows, all
//! else are notes.

use std::fmt::{self, Write as _};

use super::record::PROPOSE;
use super::rows::{Cell, Row, rows};
use super::{Chart, Lane, Names, To, millis};

/// Most lines of a chart that are drawn; some are drawn as several arrows.
const LINES_MAX: usize = 60;

impl Chart {
    /// The chart as a Mermaid `sequenceDiagram`.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut text = String::new();
        self.write_mermaid(&mut text).expect("a text takes everything");
        text
    }

    fn write_mermaid(&self, text: &mut String) -> fmt::Result {
        let names = Names::of(self);
        let rows = rows(self, &names, LINES_MAX);
        writeln!(text, "sequenceDiagram")?;
        for lane in self.lanes() {
            let attack = match lane {
                Lane::Replica(replica) => self.traitors.get(&replica),
                _ => None,
            };
            let attack = attack.map(|attack| format!("<br/>{}", clean(attack))).unwrap_or_default();
            writeln!(text, "    participant {0} as {0}{attack}", lane.name())?;
        }
        let lanes = self.lanes();
        let (Some(first), Some(last)) = (lanes.first(), lanes.last()) else { return Ok(()) };
        let span = format!("{},{}", first.name(), last.name());
        for row in &rows {
            if row.left_out > 0 {
                writeln!(text, "    Note over {span}: ({} lines are left out)", row.left_out)?;
            }
            if row.cells.contains_key(&Lane::Everywhere) {
                writeln!(text, "    Note over {span}: {} ms {}", millis(row.at), clean(&row.label))?;
            }
            for (lane, cell) in row.cells.iter().filter(|(lane, _)| **lane != Lane::Everywhere) {
                self.write_cell(text, row, *lane, cell)?;
            }
        }
        Ok(())
    }

    fn write_cell(&self, text: &mut String, row: &Row, lane: Lane, cell: &Cell) -> fmt::Result {
        let sign = if cell.is_deviation { "LIE " } else { "" };
        let times = if cell.count > 1 { format!(" x{}", cell.count) } else { String::new() };
        let label = format!("{} {sign}{}{times}", millis(row.at), clean(&row.label));
        let is_arrow = row.label.starts_with(PROPOSE) || cell.is_deviation;
        let own = lane.name();
        match &cell.to {
            To::Only(to) if is_arrow => {
                for to in to {
                    writeln!(text, "    {own}->>R{to}: {label}")?;
                }
            }
            To::All if is_arrow => {
                for to in (0..self.replicas).map(Lane::Replica).filter(|to| *to != lane) {
                    writeln!(text, "    {own}->>{}: {label}", to.name())?;
                }
            }
            _ => writeln!(text, "    Note over {own}: {label}")?,
        }
        Ok(())
    }
}

/// Text without the signs that mean something in a diagram.
fn clean(text: &str) -> String {
    text.chars()
        .map(|sign| match sign {
            ';' | '#' | ':' => ',',
            '<' => '(',
            '>' => ')',
            '\n' => ' ',
            other => other,
        })
        .collect()
}
