//! Tables for people: columns at least 12 wide with three spaces between, as runc's.

const NARROWEST: usize = 12;
const BETWEEN: usize = 3;

/// The rows as lines, each with as many cells as the first.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        NARROWEST.max(widest + BETWEEN)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            match at + 1 == columns {
                true => text.push_str(cell),
                false => text.push_str(&format!("{cell:<width$}", width = widths[at])),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_column_is_as_wide_as_its_widest_cell_needs() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = super::table(&[row(["ID", "BUNDLE", "OWNER"]), row(["a", "/tmp/long/x", "r"])]);
        let want = "ID          BUNDLE        OWNER\na           /tmp/long/x   r\n";
        assert_eq!(text, want);
    }
}
