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

use walrus::Module;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [wasm, folder, name] = arguments.as_slice() else {
        return Err("arguments are the wasm file, the folder for the result and its name".into());
    };
    let mut module = Module::from_file(wasm)?;
    forget_references(&mut module);
    let mut bindgen = Bindgen::new();
    bindgen.input_module(name, module).demangle(false).web(true)?.typescript(false).omit_default_module_path(true);
    let mut output = bindgen.generate_output()?;
    trim::trim(output.wasm_mut())?;
    Ok(output.emit(folder)?)
}

/// The compiler could have used references. Where that is said, they are provided for by a table and an import, used or not.
fn forget_references(module: &mut Module) {
    const REFERENCES: &[u8] = b"+\x0freference-types";
    let Some(mut features) = module.customs.remove_raw("target_features") else { return };
    if let Some(at) = features.data.windows(REFERENCES.len()).position(|feature| feature == REFERENCES) {
        features.data.drain(at..at + REFERENCES.len());
        features.data[0] -= 1;
    }
    module.customs.add(features);
}
