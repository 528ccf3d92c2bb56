//! The parts of a detection: what a `.sql` file of `detections/` says.
