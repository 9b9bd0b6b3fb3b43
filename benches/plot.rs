//! The ratios of a run as a picture: a dot for each median, a bar for its interval, on a logarithmic
//! axis. Figures stand beside them; absolute times are not drawn.

use std::fmt::Write as _;

use super::figures::{Figures, Line, SPACINGS};

const WIDTH: f64 = 1180.0;
/// Where the axis begins and ends.
const AXIS: [f64; 2] = [450.0, 890.0];
/// Where the figures of each spacing stand.
const COLUMNS: [f64; 2] = [910.0, 1045.0];
const LINE: f64 = 17.0;
/// The axis shows these ratios at most.
const RANGE: [f64; 2] = [0.25, 64.0];
/// Of each spacing.
const COLOURS: [&str; 2] = ["#1f6fb4", "#c8641c"];

/// Draws the figures (a file of JSON lines) into the file `svg`.
pub(crate) fn draw(figures: &str, svg: &str) {
    let figures = Figures::read(figures);
    let mut body = String::new();
    let mut y = 92.0;
    let panels = figures.panels();
    assert!(!panels.is_empty(), "there is no ratio among the figures");
    for panel in &panels {
        let top = y + LINE * 1.7;
        y += LINE * 1.4;
        text(&mut body, 14.0, y, "class=\"h\"", &format!("{}: {}", panel.group, panel.row));
        grid(&mut body, top, y + LINE * panel.lines.len() as f64 + 5.0);
        for line in &panel.lines {
            y += LINE;
            mark(&mut body, y, line);
        }
        y += LINE * 0.4;
    }
    let height = y + LINE;
    let head = head(&figures);
    let picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\">\n<style>text{{font:12px sans-serif;fill:#222}}\
         .t{{font-size:17px;font-weight:bold}}.h{{font-weight:bold}}.s{{fill:#555}}\
         .g{{font-size:10px;fill:#888;text-anchor:middle}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{head}{body}</svg>\n"
    );
    std::fs::write(svg, picture).unwrap();
}

fn head(figures: &Figures) -> String {
    let mut head = String::new();
    let title = "hotcell: ratios of medians, with 95 % intervals";
    text(&mut head, 14.0, 26.0, "class=\"t\"", title);
    let [host, versions] = figures.about();
    text(&mut head, 14.0, 45.0, "class=\"s\"", &host);
    text(&mut head, 14.0, 61.0, "class=\"s\"", &versions);
    for (at, name) in SPACINGS.iter().enumerate() {
        let (x, colour) = (AXIS[0] + 150.0 * at as f64, COLOURS[at]);
        let _ = writeln!(head, r#"<circle cx="{x}" cy="79" r="4" fill="{colour}"/>"#);
        text(&mut head, x + 9.0, 83.0, "class=\"s\"", name);
    }
    head
}

fn x(ratio: f64) -> f64 {
    let share = |value: f64| (value / RANGE[0]).ln() / (RANGE[1] / RANGE[0]).ln();
    AXIS[0] + share(ratio.clamp(RANGE[0], RANGE[1])) * (AXIS[1] - AXIS[0])
}

fn text(out: &mut String, x: f64, y: f64, attributes: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" {attributes}>{words}</text>"#);
}

/// Upright lines at powers of two; the one at 1 is dark.
fn grid(out: &mut String, top: f64, bottom: f64) {
    let mut ratio = RANGE[0];
    while ratio <= RANGE[1] {
        let (x, colour) = (x(ratio), if ratio == 1.0 { "#777" } else { "#e2e2e2" });
        let _ = writeln!(
            out,
            r#"<line x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{bottom:.1}" stroke="{colour}"/>"#
        );
        text(out, x, top - 3.0, "class=\"g\"", &format!("{ratio}"));
        ratio *= 2.0;
    }
}

fn mark(out: &mut String, y: f64, line: &Line) {
    text(out, 26.0, y, "", &line.label);
    for (at, mark) in line.marks.iter().enumerate() {
        let Some(mark) = mark else { continue };
        let (colour, at_y) = (COLOURS[at], y - 6.5 + 5.0 * at as f64);
        let [low, high, middle] = [mark.low, mark.high, mark.p50].map(x);
        let _ = writeln!(
            out,
            "<line x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{at_y:.1}\" y2=\"{at_y:.1}\" \
             stroke=\"{colour}\" stroke-width=\"2\"/>\
             <circle cx=\"{middle:.1}\" cy=\"{at_y:.1}\" r=\"3\" fill=\"{colour}\"/>"
        );
        let words = format!("{:.2} ({:.2}–{:.2})", mark.p50, mark.low, mark.high);
        text(out, COLUMNS[at], y, &format!("style=\"fill:{colour}\""), &words);
    }
}
