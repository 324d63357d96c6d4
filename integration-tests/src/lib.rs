//! Helpers shared by the tests of whole nodes.

pub mod hub;
pub mod lab;
pub mod process;
pub mod village;
pub mod virtual_time;
