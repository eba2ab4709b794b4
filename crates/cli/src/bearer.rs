//! A bearer token as a header, read again where it may have been replaced.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderValue;

use crate::error::Error;
use crate::hidden::Hidden;

/// What a program shows to the control plane.
pub struct Bearer {
    /// Read again when it is refused: a token may be replaced under a running program.
    file: Option<PathBuf>,
    current: Mutex<HeaderValue>,
}

impl Bearer {
    /// The token in a file.
    pub fn file(path: &Path) -> Result<Self, Error> {
        let current = Mutex::new(read(path)?);
        Ok(Self { file: Some(path.to_owned()), current })
    }

    /// A token that stays.
    pub fn fixed(token: &Hidden) -> Result<Self, Error> {
        let value = header(token).ok_or_else(|| Error::usage("this is no token"))?;
        Ok(Self { file: None, current: Mutex::new(value) })
    }

    /// As it is shown now.
    pub fn current(&self) -> HeaderValue {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again; whether it holds another token than was shown.
    pub fn renew(&self, shown: &HeaderValue) -> Result<bool, Error> {
        let Some(file) = &self.file else { return Ok(false) };
        let found = read(file)?;
        let another = found != *shown;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(another)
    }
}

fn read(file: &Path) -> Result<HeaderValue, Error> {
    let token = Hidden::read(file)?.without_final_newline();
    header(&token).ok_or_else(|| Error::usage(format!("`{}` does not hold a token", file.display())))
}

fn header(token: &Hidden) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).ok()?;
    value.set_sensitive(true);
    Some(value)
}
