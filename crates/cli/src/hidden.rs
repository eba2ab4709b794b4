//! Text that must not be printed: passwords, values, credentials. No `Debug`, no `Display`, no `Clone`; wiped on drop.

use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Error;
use crate::exit::Exit;

/// More than any password, token or value may have, so that a wrong file is refused instead of read for ever.
const INPUT_BYTES_MAX: u64 = 16 << 20;

/// Text that is kept out of every output.
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the wire and for 0600 files only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads a file, or standard input for `-`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut text = Zeroizing::new(String::new());
        let read = if path.as_os_str() == "-" {
            std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(INPUT_BYTES_MAX).read_to_string(&mut text))
        };
        read.map_err(|error| Error::new(Exit::Usage, format!("cannot read `{}`: {error}", path.display())))?;
        Ok(Self(text))
    }

    /// Without the line break that editors and `echo` put at the end: one, not all.
    #[must_use]
    pub fn without_final_newline(self) -> Self {
        let text = self.0.strip_suffix('\n').map_or(self.0.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        Self::new(text.to_owned())
    }

    /// Asks on the terminal without echo, or reads the file.
    pub fn ask(prompt: &str, file: Option<&Path>) -> Result<Self, Error> {
        if let Some(path) = file {
            return Self::read(path).map(Self::without_final_newline);
        }
        rpassword::prompt_password(prompt)
            .map(Self::new)
            .map_err(|_| Error::usage("there is no terminal to ask for a password").hint("give `--password-file FILE`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_final_line_break_is_dropped() {
        for (given, kept) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", ""), ("a\r", "a\r")] {
            assert_eq!(Hidden::new(given.into()).without_final_newline().reveal(), kept);
        }
    }
}
