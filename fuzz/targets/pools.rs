#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kfcheck_onprem::fuzzing::pools(bytes));
