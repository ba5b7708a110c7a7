//! Plain tables: columns as wide as their widest cell, two spaces between them, no frames. Pure.

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
}
