//! Helpers shared by the tests of whole nodes.
