#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trailhound::targets::flow_parquet(data));
