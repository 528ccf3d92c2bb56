//! Gzip to bytes, bounded.
