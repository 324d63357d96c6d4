//! Small data structures that take time and randomness as arguments.
