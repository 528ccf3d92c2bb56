//! The interactive SQL prompt.
