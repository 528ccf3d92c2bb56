//! VPC Flow Logs in text form, driven by the header line.
