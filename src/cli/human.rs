//! Sizes, times and tables as people read them.

/// A size in powers of 1000 with three digits that count, as Docker shows images: `4.26MB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        // What would be shown as 1000 is one of the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let text = match decimals {
        0 => &text,
        _ => text.trim_end_matches('0').trim_end_matches('.'),
    };
    format!("{text}{unit}")
}

/// How long ago something was, in the one unit that matters.
pub(super) fn ago(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let (count, unit) = match seconds {
        0 => return "just now".to_owned(),
        s if s < 2 * MINUTE => (s, "second"),
        s if s < 2 * HOUR => (s / MINUTE, "minute"),
        s if s < 2 * DAY => (s / HOUR, "hour"),
        s if s < 14 * DAY => (s / DAY, "day"),
        s if s < 60 * DAY => (s / (7 * DAY), "week"),
        s if s < 2 * 365 * DAY => (s / (30 * DAY), "month"),
        s => (s / (365 * DAY), "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

/// Columns as wide as their widest cell, three spaces apart; the last one ends where it ends.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let wide = |text: &str| text.chars().count();
    let widths: [usize; N] = std::array::from_fn(|at| {
        rows.iter().map(|row| wide(&row[at])).chain([wide(head[at])]).max().unwrap_or(0)
    });
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        for (at, cell) in cells.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < N {
                text.extend(std::iter::repeat_n(' ', widths[at] - wide(cell) + 3));
            }
        }
        text.push('\n');
    };
    line(head);
    for row in rows {
        line(std::array::from_fn(|at| row[at].as_str()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_that_count() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1234, "1.23kB"),
            (4_260_000, "4.26MB"),
            (9_996_000, "10MB"),
            (10_500_000, "10.5MB"),
            (99_960_000, "100MB"),
            (187_400_000, "187MB"),
            (999_600_000, "1GB"),
            (1_500_000_000_000, "1.5TB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn times_have_one_unit() {
        for (seconds, text) in [
            (0, "just now"),
            (1, "1 second ago"),
            (119, "119 seconds ago"),
            (120, "2 minutes ago"),
            (7200, "2 hours ago"),
            (47 * 3600, "47 hours ago"),
            (48 * 3600, "2 days ago"),
            (15 * 86_400, "2 weeks ago"),
            (90 * 86_400, "3 months ago"),
            (800 * 86_400, "2 years ago"),
        ] {
            assert_eq!(ago(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn columns_line_up_and_the_last_one_ends_where_it_ends() {
        let rows = [["a", "1", "x y"], ["ünï", "12345", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(
            table(["NAME", "N", "REST"], &rows),
            "NAME   N       REST\na      1       x y\nünï    12345   \n"
        );
    }
}
