import module from '../wasm/client.wasm';

export const wasm = new WebAssembly.Instance(module).exports;
