//! What a session was opened with, in words of our own. What a program says of itself is free text, and is not kept.

use std::fmt;

/// Marks of programs and what people call them. The first that fits: most say that they are others as well.
const PROGRAMS: [(&str, &str); 10] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];

/// Marks of systems, likewise.
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
];

/// A program, and where it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Device {
    program: Option<&'static str>,
    system: Option<&'static str>,
}

fn first(marks: &[(&str, &'static str)], text: &str) -> Option<&'static str> {
    marks.iter().find(|(mark, _)| text.contains(mark)).map(|(_, words)| *words)
}

impl Device {
    /// Reads what a program says of itself in its `User-Agent`, where it says anything.
    pub fn of(user_agent: Option<&str>) -> Self {
        match user_agent {
            Some(text) if text.starts_with("portcullis/") => Self { program: Some("Portcullis CLI"), system: None },
            // Every browser begins so; what does not is no browser, whatever it says after that.
            Some(text) if text.starts_with("Mozilla/") => match first(&PROGRAMS, text) {
                Some(program) => Self { program: Some(program), system: first(&SYSTEMS, text) },
                None => Self::default(),
            },
            Some(_) | None => Self::default(),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program.unwrap_or("another program"))?;
        self.system.map_or(Ok(()), |system| write!(f, " on {system}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart_and_nothing_they_say_is_kept() {
        for (said, words) in [
            (
                Some(
                    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                ),
                "Chrome on Linux",
            ),
            (
                Some(
                    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0",
                ),
                "Edge on Windows",
            ),
            (
                Some(
                    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
                ),
                "Safari on macOS",
            ),
            (
                Some(
                    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1",
                ),
                "Chrome on iPhone",
            ),
            (Some("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"), "Firefox on Android"),
            (Some("Mozilla/5.0 Firefox/140.0"), "Firefox"),
            (Some("portcullis/0.3.0"), "Portcullis CLI"),
            (Some("curl/8.0 Chrome/1 <script>"), "another program"),
            (Some("Mozilla/5.0 (a secret)"), "another program"),
            (Some(""), "another program"),
            (None, "another program"),
        ] {
            assert_eq!(Device::of(said).to_string(), words, "{said:?}");
        }
    }
}
