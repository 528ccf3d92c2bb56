//! A seeded generator of realistic logs: one day of a small estate, with an attack hidden in it.
