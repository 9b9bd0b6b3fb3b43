//! The ratios of a run as a picture: a dot for each median, a bar for its interval, on a logarithmic
//! axis. Figures stand beside them; absolute times are not drawn.

use std::fmt::Write as _;

use serde_json::Value;

const WIDTH: f64 = 1180.0;
/// Where the axis begins and ends.
const AXIS: [f64; 2] = [470.0, 930.0];
const LINE: f64 = 17.0;
/// The axis shows these ratios at most.
const RANGE: [f64; 2] = [0.25, 64.0];

/// Back to back, and apart.
const COLOURS: [(&str, &str); 2] = [("#1f6fb4", "back to back"), ("#d9772b", "80 ms apart")];

/// A contender against a base: one mark for each spacing.
struct Line {
    label: String,
    marks: [Option<[f64; 3]>; 2],
}

/// The lines below one heading.
struct Panel {
    heading: String,
    lines: Vec<Line>,
}

/// Draws the figures (a file of JSON lines) into the file `svg`.
pub(crate) fn draw(figures: &str, svg: &str) {
    let text = std::fs::read_to_string(figures).unwrap();
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let host = all.iter().find_map(|line| line.get("host")).cloned().unwrap_or_default();
    let panels = panels(&all);
    assert!(!panels.is_empty(), "{figures} holds no ratio");
    std::fs::write(svg, picture(&host, &load(&all), &panels)).unwrap();
}

fn panels(all: &[Value]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    for line in all {
        let heading = format!("{}: {}", word(line, "group"), word(line, "row"));
        for ratio in line["ratios"].as_array().into_iter().flatten() {
            let label = format!("{} / {}", word(line, "contender"), word(ratio, "to"));
            let numbers = ["p50", "low", "high"].map(|name| ratio[name].as_f64().unwrap_or(1.0));
            let at = usize::from(line["spacing_ms"].as_u64() != Some(0));
            let panel = match panels.iter().position(|panel| panel.heading == heading) {
                Some(at) => &mut panels[at],
                None => {
                    panels.push(Panel { heading: heading.clone(), lines: Vec::new() });
                    panels.last_mut().unwrap()
                }
            };
            match panel.lines.iter_mut().find(|line| line.label == label) {
                Some(line) => line.marks[at] = Some(numbers),
                None => {
                    let mut marks = [None; 2];
                    marks[at] = Some(numbers);
                    panel.lines.push(Line { label, marks });
                }
            }
        }
    }
    panels
}

/// The least and the greatest load average of the run.
fn load(all: &[Value]) -> String {
    let loads = all.iter().filter_map(|line| line["load"].as_f64());
    let (least, most) = loads.fold((f64::MAX, 0.0_f64), |(a, b), load| (a.min(load), b.max(load)));
    format!("load average {least:.1} to {most:.1}")
}

fn x(ratio: f64) -> f64 {
    let share = |value: f64| (value / RANGE[0]).ln() / (RANGE[1] / RANGE[0]).ln();
    AXIS[0] + share(ratio.clamp(RANGE[0], RANGE[1])) * (AXIS[1] - AXIS[0])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn picture(host: &Value, load: &str, panels: &[Panel]) -> String {
    let mut body = String::new();
    let mut y = 92.0;
    for panel in panels {
        let top = y;
        y += LINE * 1.4;
        text(&mut body, 14.0, y, "h", &panel.heading);
        let lines = panel.lines.iter().map(|line| {
            y += LINE;
            (y, line)
        });
        let lines: Vec<_> = lines.collect();
        grid(&mut body, top + LINE * 1.7, y + 5.0);
        for (y, line) in lines {
            mark(&mut body, y, line);
        }
        y += LINE * 0.4;
    }
    let height = y + LINE;
    let word = |name: &str| host[name].as_str().unwrap_or_default().to_owned();
    let about = format!(
        "{} · Linux {} · {} · cgroups {} · {load}",
        word("date"),
        word("kernel"),
        word("cpu"),
        word("cgroups"),
    );
    let versions = format!(
        "hotcell {} · {} · {} · youki: {}",
        word("hotcell"),
        word("runc"),
        word("crun"),
        word("youki")
    );
    let mut head = String::new();
    text(&mut head, 14.0, 26.0, "t", "hotcell: ratios of medians, with 95 % intervals");
    text(&mut head, 14.0, 45.0, "s", &about);
    text(&mut head, 14.0, 61.0, "s", &versions);
    for (at, (colour, name)) in COLOURS.iter().enumerate() {
        let x = AXIS[0] + 150.0 * at as f64;
        let _ = writeln!(head, r#"<circle cx="{x}" cy="79" r="4" fill="{colour}"/>"#);
        text(&mut head, x + 9.0, 83.0, "s", name);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\">\n<style>text{{font:12px sans-serif;fill:#222}}\
         .t{{font-size:17px;font-weight:bold}}.h{{font-weight:bold}}.s{{fill:#555}}\
         .g{{font-size:10px;fill:#888;text-anchor:middle}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{head}{body}</svg>\n"
    )
}

fn text(out: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let words = escaped(words);
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{words}</text>"#);
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
        text(out, x, top - 3.0, "g", &format!("{ratio}"));
        ratio *= 2.0;
    }
}

fn mark(out: &mut String, y: f64, line: &Line) {
    text(out, 26.0, y, "", &line.label);
    let mut words = Vec::new();
    for (at, mark) in line.marks.iter().enumerate() {
        let Some([p50, low, high]) = *mark else { continue };
        let y = y - 6.5 + 5.0 * at as f64;
        let colour = COLOURS[at].0;
        let _ = writeln!(
            out,
            r#"<line x1="{:.1}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}" stroke="{colour}" stroke-width="2"/><circle cx="{:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#,
            x(low),
            x(high),
            x(p50),
        );
        words.push(format!("{p50:.2} ({low:.2}–{high:.2})"));
    }
    text(out, AXIS[1] + 14.0, y, "", &words.join("  "));
}
