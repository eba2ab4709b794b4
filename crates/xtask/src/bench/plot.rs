//! Plots as SVG: lines over a logarithmic axis, and bars. Readable on a light and on a dark page.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
const BAR: f64 = 26.0;

/// Two of each hue are never beside each other; all have contrast enough on white and on black.
const COLOURS: [&str; 6] = ["#2f81f7", "#d1730e", "#2da44e", "#bf5af2", "#e5534b", "#8a8f98"];

/// One series.
pub struct Line {
    pub name: String,
    /// Number and figure, the numbers rising and above nothing.
    pub points: Vec<(f64, f64)>,
}

/// Series over one axis.
pub struct Plot {
    pub title: String,
    pub x: String,
    /// In pairs: the second of each is dashed and has the colour of the first.
    pub lines: Vec<Line>,
}

/// Figures beside each other.
pub struct Bars {
    pub title: String,
    /// A name, a figure, and which colour it has.
    pub bars: Vec<(String, f64, usize)>,
}

fn head(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>{0}</title>\n\
         <style>text{{font:13px system-ui,sans-serif;fill:#57606a}}.t{{font-size:15px;font-weight:600;fill:#24292f}}\
         .g{{stroke:#8a8f98;stroke-opacity:.35}}@media(prefers-color-scheme:dark){{text{{fill:#a8b1bb}}.t{{fill:#e6edf3}}}}</style>\n\
         <text class=\"t\" x=\"12\" y=\"26\">{0}</text>\n",
        escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A number as one writes it beside an axis.
fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{}M", n / 1e6),
        n if n >= 1e3 => format!("{}k", n / 1e3),
        n => format!("{n}"),
    }
}

impl Plot {
    pub fn svg(&self) -> String {
        let all = || self.lines.iter().flat_map(|line| &line.points);
        let first = all().map(|point| point.0).fold(f64::INFINITY, f64::min).max(1.0);
        let last = all().map(|point| point.0).fold(first * 10.0, f64::max);
        let top = all().map(|point| point.1).fold(1.2, f64::max);
        let x =
            |number: f64| LEFT + (number.max(1.0) / first).log10() / (last / first).log10() * (WIDTH - LEFT - RIGHT);
        let y = |figure: f64| TOP + (1.0 - figure / top) * (HEIGHT - TOP - BOTTOM);
        let mut svg = head(WIDTH, HEIGHT, &self.title);
        let step = if top > 2.5 { 0.5 } else { 0.2 };
        let mut figure = 0.0;
        while figure <= top + 1e-9 {
            let at = y(figure);
            let _ = writeln!(
                svg,
                "<line class=\"g\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{figure:.1}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0
            );
            figure += step;
        }
        let mut decade = 10_f64.powf(first.log10().floor());
        while decade <= last * 1.001 {
            if decade >= first * 0.999 {
                let _ = writeln!(
                    svg,
                    "<line class=\"g\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{1}\"/><text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{3}</text>",
                    x(decade),
                    HEIGHT - BOTTOM,
                    HEIGHT - BOTTOM + 20.0,
                    short(decade)
                );
            }
            decade *= 10.0;
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 18.0,
            escaped(&self.x)
        );
        for (n, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[n / 2 % COLOURS.len()];
            let dash = if n % 2 == 1 { " stroke-dasharray=\"5 4\"" } else { "" };
            let points: Vec<String> = line.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash} points=\"{}\"/>",
                points.join(" ")
            );
            for (a, b) in &line.points {
                let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(*a), y(*b));
            }
            let (at, down) = (WIDTH - RIGHT + 24.0, TOP + 12.0 + n as f64 * 22.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{at}\" x2=\"{}\" y1=\"{down}\" y2=\"{down}\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/><text x=\"{}\" y=\"{}\">{}</text>",
                at + 26.0,
                at + 34.0,
                down + 4.0,
                escaped(&line.name)
            );
        }
        svg + "</svg>\n"
    }
}

impl Bars {
    pub fn svg(&self) -> String {
        const NAMES: f64 = 330.0;
        let height = TOP + self.bars.len() as f64 * BAR + 20.0;
        let largest = self.bars.iter().map(|bar| bar.1).fold(1.0, f64::max);
        let mut svg = head(WIDTH, height, &self.title);
        for (n, (name, figure, colour)) in self.bars.iter().enumerate() {
            let (top, long) = (TOP + n as f64 * BAR, figure / largest * (WIDTH - NAMES - 100.0));
            let colour = COLOURS[colour % COLOURS.len()];
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><rect x=\"{NAMES}\" y=\"{top:.1}\" width=\"{long:.1}\" height=\"{}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                NAMES - 10.0,
                top + 14.0,
                escaped(name),
                BAR - 8.0,
                NAMES + long + 8.0,
                top + 14.0,
                super::growth::grouped(figure.round() as usize)
            );
        }
        svg + "</svg>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::{Bars, Line, Plot};

    #[test]
    fn a_plot_holds_every_point_and_every_name() {
        let line = |name: &str| Line { name: name.to_owned(), points: vec![(10.0, 1.0), (1_000.0, 0.9)] };
        let svg = Plot { title: "a < b".into(), x: "size".into(), lines: vec![line("writes"), line("reads")] }.svg();
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches("stroke-dasharray").count(), 2, "the second of a pair, and its key");
        assert!(svg.contains("a &lt; b") && svg.contains(">1k<") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn bars_of_nothing_are_drawn_as_nothing() {
        let svg = Bars { title: "t".into(), bars: vec![("none".into(), 0.0, 0), ("some".into(), 1234.4, 9)] }.svg();
        assert!(svg.contains("width=\"0.0\"") && svg.contains(">1,234<"), "{svg}");
    }
}
