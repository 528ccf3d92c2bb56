//! The configuration file: what the user wrote, checked, and what is in force.
