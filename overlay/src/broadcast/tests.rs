//! Tests of the room: parts of it one by one, and whole networks of it in virtual time.

mod heads;
mod parts;
mod trees;
mod world;
