#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kfcheck_kube::fuzzing::printed(bytes));
