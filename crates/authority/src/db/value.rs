//! What goes into a statement and what comes out: text, 64-bit integer, bytes and null, the types that mean the same
//! on both engines.

use std::sync::Arc;

use super::error::DbError;

/// One cell of a result, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A 64-bit integer; booleans arrive as 0 and 1.
    Int(i64),
    /// UTF-8 text without NUL.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// Overwrites this cell and keeps its buffer, so that streaming a million rows does not allocate per row.
    pub(super) fn refill(&mut self, cell: Param<'_>) {
        match (&mut *self, cell) {
            (Self::Text(buffer), Param::Text(text)) => {
                buffer.clear();
                buffer.push_str(text);
            }
            (Self::Bytes(buffer), Param::Bytes(bytes)) => {
                buffer.clear();
                buffer.extend_from_slice(bytes);
            }
            (slot, Param::Null) => *slot = Self::Null,
            (slot, Param::Int(int)) => *slot = Self::Int(int),
            (slot, Param::Text(text)) => *slot = Self::Text(text.to_owned()),
            (slot, Param::Bytes(bytes)) => *slot = Self::Bytes(bytes.to_owned()),
        }
    }

    /// The same, borrowed.
    pub(super) fn as_param(&self) -> Param<'_> {
        match self {
            Self::Null => Param::Null,
            Self::Int(int) => Param::Int(*int),
            Self::Text(text) => Param::Text(text),
            Self::Bytes(bytes) => Param::Bytes(bytes),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Int(_) => "integer",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
        }
    }
}

/// One parameter of a statement, borrowed. Its `Debug` shows the type only: parameters hold what must not be logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Param<'a> {
    /// SQL NULL, of whatever type the statement wants.
    Null,
    /// A 64-bit integer.
    Int(i64),
    /// Text. A NUL inside is refused on both engines, since PostgreSQL cannot store it.
    Text(&'a str),
    /// Raw bytes.
    Bytes(&'a [u8]),
}

impl Param<'_> {
    /// The same, owned.
    pub(super) fn to_value(self) -> Value {
        let mut value = Value::Null;
        value.refill(self);
        value
    }
}

impl From<i64> for Param<'_> {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<bool> for Param<'_> {
    fn from(yes: bool) -> Self {
        Self::Int(i64::from(yes))
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Param<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Param<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T: Into<Param<'a>>> From<Option<T>> for Param<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of a result. Columns are addressed by position, from 0, in the order of the statement.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// An empty row of the given shape, to be filled cell by cell.
    pub(super) fn of(columns: Arc<[String]>) -> Self {
        Self { columns, values: Vec::new() }
    }

    /// Takes the cells out: how a row is kept while the next one, if there is one, is read into the same place.
    pub(super) fn take(&mut self) -> Self {
        Self { columns: Arc::clone(&self.columns), values: std::mem::take(&mut self.values) }
    }

    pub(super) fn cells(&mut self) -> impl Iterator<Item = (usize, &mut Value)> {
        self.values.resize(self.columns.len(), Value::Null);
        self.values.iter_mut().enumerate()
    }

    /// The integer in column `i`. Fails with [`DbError::Shape`] when it is null, of another type, or there is none.
    pub fn int(&self, i: usize) -> Result<i64, DbError> {
        self.opt_int(i)?.ok_or_else(|| self.shape(i, "integer"))
    }

    /// The text in column `i`. Fails with [`DbError::Shape`] when it is null, of another type, or there is none.
    pub fn text(&self, i: usize) -> Result<&str, DbError> {
        self.opt_text(i)?.ok_or_else(|| self.shape(i, "text"))
    }

    /// The bytes in column `i`. Fails with [`DbError::Shape`] when they are null, of another type, or there are none.
    pub fn bytes(&self, i: usize) -> Result<&[u8], DbError> {
        self.opt_bytes(i)?.ok_or_else(|| self.shape(i, "bytes"))
    }

    /// The integer in column `i`, or nothing for null. Fails with [`DbError::Shape`] on another type.
    pub fn opt_int(&self, i: usize) -> Result<Option<i64>, DbError> {
        match self.values.get(i) {
            Some(Value::Int(int)) => Ok(Some(*int)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.shape(i, "integer")),
        }
    }

    /// The text in column `i`, or nothing for null. Fails with [`DbError::Shape`] on another type.
    pub fn opt_text(&self, i: usize) -> Result<Option<&str>, DbError> {
        match self.values.get(i) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.shape(i, "text")),
        }
    }

    /// The bytes in column `i`, or nothing for null. Fails with [`DbError::Shape`] on another type.
    pub fn opt_bytes(&self, i: usize) -> Result<Option<&[u8]>, DbError> {
        match self.values.get(i) {
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.shape(i, "bytes")),
        }
    }

    /// Says what was wanted and what is there: names and types, never the value.
    fn shape(&self, i: usize, wanted: &str) -> DbError {
        let name = self.columns.get(i).map_or("?", String::as_str);
        let found = self.values.get(i).map_or("no such column", Value::kind);
        DbError::Shape(format!("column {i} `{name}` should be {wanted} but is {found}"))
    }
}
