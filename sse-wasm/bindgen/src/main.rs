//! Makes of what the compiler left the wasm file that is published: `sse-wasm-bindgen FROM.wasm TO.wasm`.
//!
//! What `wasm-bindgen` does, in the one version that fits the crate, but without the JavaScript around: functions take numbers alone, so
//! the result imports nothing, and each file of `js/load/` instantiates it in the way its host has one.
//!
//! Then what a panic would say is taken out: the crate's panic handler says nothing and traps, so whatever leads there may
//! trap at once.

mod trim;

use std::error::Error;
use std::{env, fs};

use walrus::Module;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        return Err("arguments are the wasm file and where to put what is made of it".into());
    };
    let mut module = Module::from_file(from)?;
    forget_references(&mut module);
    let mut bindgen = Bindgen::new();
    let mut output = bindgen.input_module("sse-wasm", module).demangle(false).web(true)?.generate_output()?;
    let module = output.wasm_mut();
    trim::trim(module)?;
    if module.imports.iter().next().is_some() {
        return Err("the module imports something: who instantiates it has nothing to give".into());
    }
    Ok(fs::write(to, module.emit_wasm())?)
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
