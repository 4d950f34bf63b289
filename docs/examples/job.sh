# A job for the demo: a Rust program that loads a speech model through libvosk.
set -eu
rustc --version
rustc +1.75.0 --version
cd "$(mktemp -d)"
cargo init --quiet --vcs none --name heard heard
cd heard
cat > src/main.rs <<'END'
use std::{env, ffi::CString, os::raw::{c_char, c_int, c_void}};

#[link(name = "vosk")]
unsafe extern "C" {
    fn vosk_set_log_level(level: c_int);
    fn vosk_model_new(path: *const c_char) -> *mut c_void;
}

fn main() {
    let path = CString::new(env::args().nth(1).expect("a model's path")).unwrap();
    let model = unsafe { vosk_set_log_level(-1); vosk_model_new(path.as_ptr()) };
    assert!(!model.is_null(), "the model did not load");
    println!("model loaded by libvosk from cargo");
}
END
cargo run --quiet -- "$VOSK_MODEL_PATH"
