//! Any text as the configuration of the service.
#![no_main]

use isovec::ErrorKind;
use isovec::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::from_yaml(text) {
        Ok(config) => {
            config.check().unwrap();
            // What is shown reads as the same, but for secrets.
            let shown = config.to_yaml();
            if !shown.contains("***") {
                assert_eq!(Config::from_yaml(&shown).unwrap(), config);
            }
        }
        Err(e) => assert_eq!(e.kind(), ErrorKind::InvalidConfig, "{e}"),
    }
});
