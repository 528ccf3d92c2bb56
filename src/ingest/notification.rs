//! What a queue message says: which objects are new.
