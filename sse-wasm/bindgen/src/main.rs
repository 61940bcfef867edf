//! Writes the JavaScript around a wasm file: `sse-wasm-bindgen FILE.wasm FOLDER NAME`.
//!
//! What `wasm-bindgen --target web` does, in the one version that fits the crate. The result runs on every host: each file of
//! `js/load/` hands it the compiled module in the way its host has one.
//!
//! Then what a panic would say is taken out: the crate's panic handler says nothing and traps, so whatever leads there may
//! trap at once.

mod trim;

use std::env;
use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [wasm, folder, name] = arguments.as_slice() else {
        return Err("arguments are the wasm file, the folder for the result and its name".into());
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name(name).demangle(false).web(true)?.typescript(false).omit_default_module_path(true);
    let mut output = bindgen.generate_output()?;
    trim::trim(output.wasm_mut())?;
    Ok(output.emit(folder)?)
}
