//! Any bytes as a `config.json`: read and made a plan, or refused, never a panic.
#![no_main]

use hotcell::bundle::Bundle;
use hotcell::launch::{Place, compile};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    if let Ok(bundle) = Bundle::from_json(text) {
        let _ = compile(&bundle, &Place::default());
    }
});
