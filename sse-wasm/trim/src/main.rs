//! Takes out of a wasm file what only panics need: `sse-wasm-trim FILE.wasm RESULT.wasm`.
//!
//! The crate's panic handler says nothing and traps, so whatever leads there may trap at once.

mod trim;

use std::env;
use std::error::Error;

use walrus::ModuleConfig;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [wasm, result] = arguments.as_slice() else {
        return Err("arguments are the wasm file and the result".into());
    };
    let mut module = ModuleConfig::new().generate_producers_section(false).parse_file(wasm)?;
    trim::trim(&mut module, true)?;
    Ok(module.emit_wasm_file(result)?)
}
