//! Writes the JavaScript glue of a wasm file: `sse-wasm-bindgen FILE.wasm FOLDER NAME`.
//!
//! What `wasm-bindgen --target web` does, in the one version that fits the crate. The result runs on every host: each file of
//! `js/load/` hands it the compiled module in the way its host has one.
//!
//! Before that, what a panic would say is taken out: the crate's panic handler says nothing and traps, so whatever leads there may
//! trap at once.

use std::env;
use std::error::Error;

use walrus::{FunctionKind, Module};
use wasm_bindgen_cli_support::Bindgen;

/// Functions that do nothing but prepare a panic, by parts of their mangled names.
const PANICS: [&str; 7] = [
    "9panicking",
    "slice_error_fail",
    "slice_index_fail",
    "unwrap_failed",
    "expect_failed",
    "capacity_overflow",
    "handle_alloc_error",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [wasm, folder, name] = arguments.as_slice() else {
        return Err("three arguments are needed: the wasm file, the folder for the result, and its name".into());
    };
    let mut module = Module::from_file(wasm)?;
    trap_at_once(&mut module);
    let mut bindgen = Bindgen::new();
    bindgen.input_module(name, module).out_name(name).web(true)?.typescript(false).omit_default_module_path(true);
    Ok(bindgen.generate(folder)?)
}

fn trap_at_once(module: &mut Module) {
    for function in module.funcs.iter_mut() {
        let is_panic = function.name.as_deref().is_some_and(|name| PANICS.iter().any(|part| name.contains(part)));
        if let FunctionKind::Local(local) = &mut function.kind
            && is_panic
        {
            let mut body = local.builder_mut().func_body();
            body.instrs_mut().clear();
            body.unreachable();
        }
    }
}
