import module from '../wasm/hub.wasm';

export const wasm = new WebAssembly.Instance(module).exports;
