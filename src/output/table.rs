//! Plain tables: columns parted by two spaces, no rules, so that they can be read, cut and grepped.

/// A cell: one line of somebody else's text.
#[must_use]
pub fn clean(cell: &str) -> String {
    crate::output::plain(cell).replace(['\n', '\t'], " ")
}

/// Rows under a heading, each column as wide as its widest cell; no spaces at the end of a line.
#[must_use]
pub fn columns(heading: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| console::measure_text_width(cell))
            .chain([heading[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            line += &console::pad_str(cell, *width, console::Alignment::Left, None);
            line += "  ";
        }
        format!("{}\n", line.trim_end())
    };
    let mut text = line(heading);
    for row in &rows {
        text += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

/// Rows as Go's tabwriter sets them for faas-cli: each column but the last as wide as its widest cell and a space more.
#[must_use]
pub fn tabbed(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut all: Vec<Vec<String>> = vec![heading.iter().map(|&cell| cell.to_owned()).collect()];
    all.retain(|row| !row.is_empty());
    all.extend(rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()));
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0) + 1
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &all {
        for (nth, cell) in row.iter().enumerate() {
            text += cell;
            if nth + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', widths[nth] - cell.chars().count()));
            }
        }
        text.push('\n');
    }
    text
}

/// `Name:  value` lines, the values in one column.
#[must_use]
pub fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    rows.iter()
        .map(|(name, value)| format!("{}\n", format!("{:width$}  {value}", format!("{name}:")).trim_end()))
        .collect()
}
