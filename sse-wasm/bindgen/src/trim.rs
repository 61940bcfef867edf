//! Takes out of a wasm file what only panics need.
//!
//! The crate's panic handler is a trap. But before it comes to that, messages are formatted that nobody reads; that code, the messages
//! and the places in source files are a quarter of the decoder, and no stable compiler leaves them out.

use std::error::Error;

use walrus::ir::{self, Instr, InstrSeq, Visitor, VisitorMut, dfs_in_order, dfs_pre_order_mut};
use walrus::{ConstExpr, DataId, DataKind, FunctionBuilder, FunctionId, FunctionKind, Module};

/// Makes functions that end in a panic trap where they begin, and drops the places in source files and data that nothing refers to
/// any more: that goes by what looks like an address, so it is for modules of which every part is tested.
pub(crate) fn trim(module: &mut Module) -> Result<(), Box<dyn Error>> {
    let panics = |name: &str| PANICS.iter().any(|part| name.contains(part));
    let found: Vec<FunctionId> = module
        .funcs
        .iter()
        .filter(|function| matches!(function.kind, FunctionKind::Local(_)) && function.name.as_deref().is_some_and(panics))
        .map(|function| function.id())
        .collect();
    if found.is_empty() {
        return Err("no function that panics was found by name; was the name section stripped?".into());
    }
    for id in &found {
        trap_at_once(module, *id);
    }
    for (_, function) in module.funcs.iter_local_mut() {
        let entry = function.entry_block();
        dfs_pre_order_mut(&mut ForgetArguments(&found), function, entry);
    }
    walrus::passes::gc::run(module);
    for id in places(module) {
        module.data.delete(id);
    }
    for id in unreferenced(module) {
        module.data.delete(id);
    }
    Ok(())
}

fn trap_at_once(module: &mut Module, id: FunctionId) {
    let ty = module.funcs.get(id).ty();
    let (params, results) = module.types.params_results(ty);
    let (params, results) = (params.to_vec(), results.to_vec());
    let arguments = params.iter().map(|ty| module.locals.add(*ty)).collect();
    let mut builder = FunctionBuilder::new(&mut module.types, &params, &results);
    builder.func_body().unreachable();
    module.funcs.get_mut(id).kind = FunctionKind::Local(builder.local_func(arguments));
}

/// Constants right before a call of what traps are its arguments: where in the source, what to say.
struct ForgetArguments<'a>(&'a [FunctionId]);

impl VisitorMut for ForgetArguments<'_> {
    fn start_instr_seq_mut(&mut self, sequence: &mut InstrSeq) {
        for index in 0..sequence.instrs.len() {
            if !matches!(&sequence.instrs[index].0, Instr::Call(call) if self.0.contains(&call.func)) {
                continue;
            }
            for (before, _) in sequence.instrs[..index].iter_mut().rev() {
                let Instr::Const(ir::Const { value: ir::Value::I32(value) }) = before else { break };
                *value = 0;
            }
        }
    }
}

/// Segments whose addresses stand nowhere: not in the code, not in segments that are referred to. Whatever could be an address counts
/// as one. Each segment is one of the compiler's objects (`--no-merge-data-segments`), and addresses are of an object, within it or, where
/// an index is never 0, somewhat before it.
fn unreferenced(module: &Module) -> Vec<DataId> {
    let objects = objects(module);
    let mut code = Addresses(Vec::new());
    for (_, function) in module.funcs.iter_local() {
        dfs_in_order(&mut code, function, function.entry_block());
    }
    let mut wanted = code.0;
    let mut kept = vec![false; objects.len()];
    while let Some(address) = wanted.pop() {
        // An object ends where the next one begins; its end is also an address of it.
        for index in 0..objects.len() {
            let (at, _, bytes) = objects[index];
            if kept[index] || address < at.saturating_sub(BEFORE) || address > at + bytes.len() as u32 {
                continue;
            }
            kept[index] = true;
            wanted.extend(bytes.windows(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
        }
    }
    objects.iter().zip(kept).filter(|(_, kept)| !kept).map(|((_, id, _), _)| *id).collect()
}

/// As far before an object its address may be said to be: indices of tables begin with a letter or the like.
const BEFORE: u32 = 256;

/// Places in source files: address and length of the name of a file, line and column. Functions hand them on to those that panic, and only
/// these would read them.
fn places(module: &Module) -> Vec<DataId> {
    let objects = objects(module);
    let is_place = |bytes: &[u8]| {
        let Ok(bytes) = <[u8; 16]>::try_from(bytes) else { return false };
        let word = |index: usize| u32::from_le_bytes([bytes[index], bytes[index + 1], bytes[index + 2], bytes[index + 3]]);
        let (name, len) = (word(0), word(4) as usize);
        objects.iter().any(|(at, _, bytes)| *at == name && bytes.get(..len).is_some_and(|name| name.ends_with(b".rs")))
    };
    objects.iter().filter(|(_, _, bytes)| is_place(bytes)).map(|(_, id, _)| *id).collect()
}

/// The compiler's objects: where they are, and their bytes.
fn objects(module: &Module) -> Vec<(u32, DataId, &[u8])> {
    module
        .data
        .iter()
        .filter_map(|data| match data.kind {
            DataKind::Active { offset: ConstExpr::Value(ir::Value::I32(at)), .. } => {
                Some((at as u32, data.id(), data.value.as_slice()))
            }
            _ => None,
        })
        .collect()
}

/// Every number of the code that may be an address: constants, and what is added to an address when memory is used.
struct Addresses(Vec<u32>);

impl Visitor<'_> for Addresses {
    fn visit_instr(&mut self, instruction: &Instr, _: &ir::InstrLocId) {
        match instruction {
            Instr::Const(ir::Const { value: ir::Value::I32(value) }) => self.0.push(*value as u32),
            Instr::Load(ir::Load { arg, .. })
            | Instr::Store(ir::Store { arg, .. })
            | Instr::LoadSimd(ir::LoadSimd { arg, .. }) => self.0.push(arg.offset as u32),
            _ => {}
        }
    }
}

/// What stands in the mangled names of functions that do not return.
const PANICS: [&str; 11] = [
    "9panicking",
    "slice_index_fail",
    "slice_error_fail",
    "len_mismatch_fail",
    "unwrap_failed",
    "expect_failed",
    "rust_begin_unwind",
    "alloc_error_handler",
    "handle_alloc_error",
    "capacity_overflow",
    "7raw_vec12handle_error",
];
