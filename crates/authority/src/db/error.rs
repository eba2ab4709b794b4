//! One error for both engines. Its text names tables, constraints and codes, never the value of a parameter: errors
//! reach logs, and a value may be a secret.

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

/// Why a statement, a transaction or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// The lock, the queue or the time allowed was exhausted. Nothing happened; the caller may try again.
    #[error("the database is busy; try again")]
    Busy,
    /// The database cannot be reached or cannot store: connection lost, disk full, input/output error.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A uniqueness rule was broken.
    #[error("already exists (`{constraint}`)")]
    Unique {
        /// What the engine calls the rule: `table.column, table.column` on SQLite, the name of the constraint or of
        /// its index on PostgreSQL. For people and logs; code that branches on it works on one engine only.
        constraint: String,
    },
    /// A row refers to one that does not exist, or is still referred to.
    #[error("refers to something that does not exist or is still in use")]
    ForeignKey,
    /// A CHECK or NOT NULL rule, or a strict column type, was broken.
    #[error("breaks a rule of the schema")]
    Check,
    /// A row or a parameter list has not the shape that the code expects: a bug or a damaged database.
    #[error("unexpected shape: {0}")]
    Shape(String),
    /// The engine refused the statement: a bug.
    #[error("the statement was refused: {0}")]
    Sql(String),
    /// The code given to the database layer panicked; its work was rolled back.
    #[error("internal error while using the database")]
    Panicked,
    /// The connection string or the server cannot be used, with what to change.
    #[error("{0}")]
    Config(String),
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, message) => sqlite(failure, message.unwrap_or_default()),
            rusqlite::Error::SqlInputError { msg, .. } => Self::Sql(msg),
            rusqlite::Error::Utf8Error(column, _) => Self::Shape(format!("column {column} is not UTF-8")),
            rusqlite::Error::ExecuteReturnedResults => Self::Sql("rows from a statement that should have none".into()),
            rusqlite::Error::MultipleStatement => Self::Sql("more than one statement".into()),
            // The remaining variants are misuse of the driver, and some of them would print a value.
            _ => Self::Sql("misuse of the SQLite driver".into()),
        }
    }
}

fn sqlite(failure: rusqlite::ffi::Error, message: String) -> DbError {
    use rusqlite::ffi;
    match failure.code {
        ErrorCode::ConstraintViolation => match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
                let constraint = message.rsplit_once(": ").map_or("", |(_, columns)| columns).to_owned();
                DbError::Unique { constraint }
            }
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => DbError::ForeignKey,
            _ => DbError::Check,
        },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted => DbError::Busy,
        ErrorCode::OutOfMemory
        | ErrorCode::PermissionDenied
        | ErrorCode::SystemIoFailure
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::DiskFull
        | ErrorCode::CannotOpen
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NotADatabase => DbError::Unavailable(format!("SQLite {}: {message}", failure.extended_code)),
        _ => DbError::Sql(format!("SQLite {}: {message}", failure.extended_code)),
    }
}

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(answer) = error.as_db_error() else {
            // Not an answer of the server. A parameter of the wrong type is our bug; all else is the connection.
            return match error.to_string() {
                text if text.starts_with("error serializing parameter") => Self::Shape(text),
                text if text.starts_with("error deserializing column") => Self::Shape(text),
                text if text.starts_with("expected ") => Self::Shape(text),
                text => Self::Unavailable(match std::error::Error::source(&error) {
                    Some(cause) => format!("PostgreSQL: {text}: {cause}"),
                    None => format!("PostgreSQL: {text}"),
                }),
            };
        };
        let code = answer.code();
        match *code {
            SqlState::UNIQUE_VIOLATION => {
                return Self::Unique { constraint: answer.constraint().unwrap_or_default().to_owned() };
            }
            SqlState::FOREIGN_KEY_VIOLATION | SqlState::RESTRICT_VIOLATION => return Self::ForeignKey,
            SqlState::CHECK_VIOLATION | SqlState::NOT_NULL_VIOLATION => return Self::Check,
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::QUERY_CANCELED => return Self::Busy,
            _ => {}
        }
        // Only `message`, never `detail`, which quotes rows; and no message at all for data exceptions, which quote
        // the offending value.
        let text = match code.code().get(..2) {
            Some("22" | "P0") => format!("PostgreSQL {}", code.code()),
            _ => format!("PostgreSQL {}: {}", code.code(), answer.message()),
        };
        match code.code().get(..2) {
            // connection, authorisation, no such database, resources, operator intervention, system, corruption
            Some("08" | "28" | "3D" | "53" | "57" | "58" | "XX") => Self::Unavailable(text),
            _ => Self::Sql(text),
        }
    }
}
