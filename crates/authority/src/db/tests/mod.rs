//! The database layer on both engines. Every difference between them is a bug of ours.

mod conn;
mod migrate;
mod open;
mod pipeline;
mod reader;
mod writer;
mod writer_faults;
mod writer_kept;
