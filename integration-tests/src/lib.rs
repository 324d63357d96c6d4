//! Helpers shared by the tests of whole nodes.

pub mod hub;
pub mod lab;
pub mod process;
pub mod village;
pub mod virtual_time;

/// Says something in the output of a test that passes, where what is printed is shown of failed ones only.
///
/// # Panics
/// When standard error is closed.
pub fn say(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "\n{text}").expect("standard error");
}
