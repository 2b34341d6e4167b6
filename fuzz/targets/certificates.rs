#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let seen = kfcheck_probe::fuzzing::certificate(bytes);
    // Who reads one from a Secret reads the same of it as who sees it in a handshake.
    if let (Some(seen), Some((names, not_after))) = (seen, kfcheck_kube::fuzzing::certificates(bytes)) {
        assert_eq!((seen.dns_names, seen.not_after), (Some(names), Some(not_after)));
    }
});
