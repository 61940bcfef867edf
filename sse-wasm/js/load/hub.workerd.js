import module from '../wasm/hub.wasm';

export const { memory, input, call, answer, answered } = new WebAssembly.Instance(module).exports;
