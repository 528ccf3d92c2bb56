//! Printing result batches: table, ndjson, json, csv, parquet.
