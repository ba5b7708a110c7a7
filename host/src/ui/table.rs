//! Plain tables: columns as wide as their widest cell, two spaces between them, no frames. Pure.
//!
//! Where a terminal is too narrow, the last column is wrapped within itself, so that the eye still finds the columns.

use console::{Alignment, measure_text_width, pad_str};

/// Writes a table with a line of titles.
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| measure_text_width(cell))
            .chain(titles.get(column).map(|title| measure_text_width(title)))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| pad_str(cell, *width, Alignment::Left, None));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    std::iter::once(line(titles.to_vec()))
        .chain(
            rows.iter()
                .map(|row| line(row.iter().map(String::as_str).collect())),
        )
        .collect::<Vec<_>>()
        .join("\n")
}

/// As [`table`], in so many columns of a terminal: what the last cell says is wrapped to the room that is left beside the others.
pub fn table_within(titles: &[&str], rows: &[Vec<String>], columns: Option<usize>) -> String {
    let Some(columns) = columns else {
        return table(titles, rows);
    };
    let Some(last) = titles.len().checked_sub(1) else {
        return String::new();
    };
    let before: usize = (0..last)
        .map(|column| {
            let cells = rows.iter().map(|row| measure_text_width(&row[column]));
            cells.max().unwrap_or(0).max(titles[column].len()) + 2
        })
        .sum();
    let room = columns.saturating_sub(before).max(LEAST_ROOM);
    let wrapped = rows.iter().flat_map(|row| {
        let mut parts = textwrap::wrap(&row[last], room).into_iter();
        let first = parts.next().unwrap_or_default().into_owned();
        let mut lines = vec![[&row[..last], &[first]].concat()];
        lines.extend(parts.map(|part| {
            let mut line = vec![String::new(); last];
            line.push(part.into_owned());
            line
        }));
        lines
    });
    table(titles, &wrapped.collect::<Vec<_>>())
}

/// The last column gets no narrower than this.
const LEAST_ROOM: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["talos".to_owned(), "v1.11.5".to_owned()],
            vec!["hetzner".to_owned(), "v1".to_owned()],
        ];
        assert_eq!(
            table(&["NAME", "VERSION"], &rows),
            "NAME     VERSION\ntalos    v1.11.5\nhetzner  v1"
        );
    }

    #[test]
    fn a_narrow_terminal_wraps_the_last_column_only() {
        let rows = [
            vec![
                "cp01".to_owned(),
                "machine cpx31 with a disk of 160 GB".to_owned(),
            ],
            vec!["worker01".to_owned(), "a disk".to_owned()],
        ];
        assert_eq!(
            table_within(&["ITEM", "WHAT"], &rows, Some(32)),
            "ITEM      WHAT\ncp01      machine cpx31 with a\n          disk of 160 GB\nworker01  a disk"
        );
        assert_eq!(
            table_within(&["ITEM", "WHAT"], &rows, None),
            table(&["ITEM", "WHAT"], &rows)
        );
    }
}
