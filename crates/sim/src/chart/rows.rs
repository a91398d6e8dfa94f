//! Which notes stand on one line? The same thing done by several, like the votes for one block, as long as every lane stays
//! in order; and what is left out if there are too many lines?

use std::collections::BTreeMap;

use super::record::{DOWN, UP};
use super::{Chart, Lane, Names, To};

/// Things that are further apart than this do not share a line, in nanoseconds.
const APART_MAX: u64 = 20_000_000;

/// One line.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: u64,
    pub(super) label: String,
    /// Who did it, and what of it each lane shows.
    pub(super) cells: BTreeMap<Lane, Cell>,
    /// Whether it is one of the few lines that tell what went wrong.
    pub(super) is_telling: bool,
    /// How many lines are left out before it.
    pub(super) left_out: usize,
    /// Who is down after it.
    pub(super) down: Vec<Lane>,
}

/// What one lane shows on a line.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) to: To,
    pub(super) is_deviation: bool,
    /// How often it happened in a row.
    pub(super) count: u32,
}

/// The lines of a chart, at most so many: lines that tell little are left out from the beginning on.
pub(super) fn rows(chart: &Chart, names: &Names, max: usize) -> Vec<Row> {
    let mut rows = gather(chart, names);
    note_down(&mut rows);
    let mut spare = rows.len().saturating_sub(max);
    for is_telling in [false, true] {
        let mut left_out = 0;
        let mut kept = Vec::new();
        for mut row in rows {
            if spare > 0 && row.is_telling == is_telling {
                spare -= 1;
                left_out += 1 + row.left_out;
            } else {
                row.left_out += std::mem::take(&mut left_out);
                kept.push(row);
            }
        }
        rows = kept;
    }
    rows
}

fn gather(chart: &Chart, names: &Names) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    // The last line of each lane, and the line after which things may stand.
    let mut last: BTreeMap<Lane, usize> = BTreeMap::new();
    let mut barrier = 0;
    for note in &chart.notes {
        let label = Chart::label(note, names);
        let cell = Cell { to: note.to.clone(), is_deviation: note.is_deviation, count: 1 };
        let own = last.get(&note.lane).copied();
        if let Some(row) = own.and_then(|own| rows.get_mut(own)).filter(|row| row.label == label)
            && let Some(known) = row.cells.get_mut(&note.lane)
            && (&known.to, known.is_deviation) == (&cell.to, cell.is_deviation)
        {
            known.count += 1;
            continue;
        }
        let first = own.map_or(barrier, |own| barrier.max(own + 1));
        let fits = |row: &Row| row.label == label && note.at - row.at <= APART_MAX;
        let found = (first..rows.len()).rev().find(|index| fits(&rows[*index]));
        let index = found.unwrap_or_else(|| {
            let (cells, is_telling) = (BTreeMap::new(), false);
            rows.push(Row { at: note.at, label, cells, is_telling, left_out: 0, down: Vec::new() });
            rows.len() - 1
        });
        let is_client = matches!(note.lane, Lane::Client(_));
        rows[index].is_telling |= note.is_deviation || note.block.is_none() && !is_client;
        rows[index].cells.insert(note.lane, cell);
        last.insert(note.lane, index);
        if note.lane == Lane::Everywhere {
            barrier = rows.len();
        }
    }
    rows
}

fn note_down(rows: &mut [Row]) {
    let mut down: Vec<Lane> = Vec::new();
    for row in rows {
        match row.label.as_str() {
            DOWN => down.extend(row.cells.keys()),
            UP => down.retain(|lane| !row.cells.contains_key(lane)),
            _ => {}
        }
        row.down.clone_from(&down);
    }
}
