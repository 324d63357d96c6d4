//! What crosses the wire.

mod cost;
mod path;
