//! The only writer to standard output and standard error.
