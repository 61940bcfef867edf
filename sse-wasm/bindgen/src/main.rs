//! Writes the JavaScript glue of a wasm file: `sse-wasm-bindgen FILE.wasm FOLDER NAME [trim-data]`.
//!
//! What `wasm-bindgen --target web` does, in the one version that fits the crate. The result runs on every host: each file of
//! `js/load/` hands it the compiled module in the way its host has one.
//!
//! Then what a panic would say is taken out: the crate's panic handler says nothing and traps, so whatever leads there may
//! trap at once; with `trim-data`, also the data that only it needed.

mod trim;

use std::env;
use std::error::Error;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (wasm, folder, name, trim_data) = match arguments.as_slice() {
        [wasm, folder, name] => (wasm, folder, name, false),
        [wasm, folder, name, flag] if flag == "trim-data" => (wasm, folder, name, true),
        _ => return Err("arguments are the wasm file, the folder for the result, its name, and perhaps trim-data".into()),
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).out_name(name).demangle(false).web(true)?.typescript(false).omit_default_module_path(true);
    let mut output = bindgen.generate_output()?;
    trim::trim(output.wasm_mut(), trim_data)?;
    Ok(output.emit(folder)?)
}
