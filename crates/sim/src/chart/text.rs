//! How does a chart look in a terminal? A column for each lane, time runs downwards.

use std::fmt::{self, Write as _};

use super::rows::{Cell, Row, rows};
use super::{Chart, Lane, Names, To, millis};

/// Most columns.
const COLUMNS_MAX: usize = 120;
/// Most lines.
const LINES_MAX: usize = 80;
/// Columns of the time.
const TIME: usize = 11;
/// Lanes are at least so wide, else some are left out.
const LANE_MIN: usize = 9;
/// Lanes are at most so wide.
const LANE_MAX: usize = 22;
/// What words become where they do not fit.
const SHORT: [(&str, &str); 6] = [
    ("propose", "prop"),
    ("commit vote", "cvote"),
    ("COMMIT", "COM"),
    ("view change", "vc"),
    (" state ", " "),
    ("request", "req"),
];

impl Chart {
    /// The chart as text: at most about 80 lines of at most 120 columns, of which the last ones are never left out.
    #[must_use]
    pub fn text(&self) -> String {
        let names = Names::of(self);
        let lanes = self.lanes_shown();
        let width = ((COLUMNS_MAX - TIME) / lanes.len().max(1)).min(LANE_MAX);
        let mut head = String::new();
        self.head(&mut head, &lanes, width, &names).expect("a text takes everything");
        // Some rows take several lines, and so does what is left out between them.
        let mut rows_max = LINES_MAX;
        loop {
            let text = body(&rows(self, &names, rows_max), &lanes, width).expect("a text takes everything");
            let more = (head.lines().count() + text.lines().count()).saturating_sub(LINES_MAX);
            if more == 0 || rows_max == 0 {
                return head + &text;
            }
            rows_max = rows_max.saturating_sub(more.div_ceil(2));
        }
    }

    /// If there are too many lanes, those of traitors and clients come first.
    fn lanes_shown(&self) -> Vec<Lane> {
        let mut lanes = self.lanes();
        let is_special = |lane: &Lane| !matches!(lane, Lane::Replica(id) if !self.traitors.contains_key(id));
        let mut spare = lanes.len().saturating_sub((COLUMNS_MAX - TIME) / LANE_MIN);
        for index in (0..lanes.len()).rev() {
            if spare > 0 && !is_special(&lanes[index]) {
                lanes.remove(index);
                spare -= 1;
            }
        }
        lanes.truncate((COLUMNS_MAX - TIME) / LANE_MIN);
        lanes
    }

    fn head(&self, text: &mut String, lanes: &[Lane], width: usize, names: &Names) -> fmt::Result {
        writeln!(
            text,
            "Time in ms. R: replicas, C: clients. `|` runs, `!` deviates from the protocol, >1,2: to these only."
        )?;
        writeln!(text, "Blocks are named by their height, and by a letter where there are several of it.")?;
        let mut rivals: Vec<String> = names
            .rivals()
            .into_iter()
            .map(|(name, block)| format!("{name}={:.8}/v{}", block.digest.to_string(), block.view.0))
            .collect();
        // The last ones matter.
        rivals.drain(..rivals.len().saturating_sub(RIVALS_MAX));
        if !rivals.is_empty() {
            wrapped(text, "  ", &rivals.join(", "))?;
        }
        for (replica, attack) in &self.traitors {
            writeln!(text, "R{replica} lies: {attack}")?;
        }
        write!(text, "\n{:>TIME$}", "")?;
        let mut heads = String::new();
        for lane in lanes {
            write!(heads, "{:<width$}", lane.name())?;
        }
        writeln!(text, "{}", heads.trim_end())
    }
}

/// Most blocks that are told apart in the head.
const RIVALS_MAX: usize = 15;

fn body(rows: &[Row], lanes: &[Lane], width: usize) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for row in rows {
        if row.left_out > 0 {
            writeln!(text, "{:>TIME$}... {} left out", "", row.left_out)?;
        }
        line(&mut text, row, lanes, width)?;
    }
    Ok(text)
}

fn line(text: &mut String, row: &Row, lanes: &[Lane], width: usize) -> fmt::Result {
    if row.cells.contains_key(&Lane::Everywhere) {
        return wrapped(text, &format!("{:>9}  -- ", millis(row.at)), &row.label);
    }
    let mut line = format!("{:>9}  ", millis(row.at));
    for lane in lanes {
        let cell = match row.cells.get(lane) {
            Some(cell) => cell_text(&row.label, cell, width),
            None if row.down.contains(lane) => String::new(),
            None => "|".to_owned(),
        };
        write!(line, "{cell:<width$}")?;
    }
    writeln!(text, "{}", line.trim_end())
}

/// A line over all lanes.
fn wrapped(text: &mut String, begin: &str, words: &str) -> fmt::Result {
    let mut line = begin.to_owned();
    for word in words.split_whitespace() {
        if line.chars().count() + word.chars().count() > COLUMNS_MAX {
            writeln!(text, "{}", line.trim_end())?;
            line = " ".repeat(TIME + 3);
        }
        line.push_str(word);
        line.push(' ');
    }
    writeln!(text, "{}", line.trim_end())
}

fn cell_text(label: &str, cell: &Cell, width: usize) -> String {
    let mut label = label.to_owned();
    if let To::Only(to) = &cell.to {
        let to: Vec<String> = to.iter().map(ToString::to_string).collect();
        label.push_str(&format!(" >{}", to.join(",")));
    }
    if cell.count > 1 {
        label.push_str(&format!(" x{}", cell.count));
    }
    let room = width - 3;
    if label.chars().count() > room {
        label = SHORT.iter().fold(label, |label, (long, short)| label.replace(long, short));
    }
    if label.chars().count() > room {
        label = label.chars().take(room - 1).chain(['~']).collect();
    }
    format!("{} {label}", if cell.is_deviation { '!' } else { '|' })
}
