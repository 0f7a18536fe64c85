//! Loads arbitrary bytes as a config: `cargo +nightly fuzz run load`. `tests/config/fuzz_smoke.rs` does the same for a while under `cargo test`.
#![no_main]

#[path = "../../tests/config/load_any.rs"]
mod load_any;
#[path = "../../tests/config/shapes.rs"]
mod shapes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| load_any::load_any(data));
