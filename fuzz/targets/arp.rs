#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kfcheck_probe::fuzzing::arp(bytes));
