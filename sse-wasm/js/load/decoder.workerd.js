import module from '../wasm/decoder.wasm';

export const { memory, input, make, resume, poll, time, respond, feed, tell, free } = new WebAssembly.Instance(module).exports;
