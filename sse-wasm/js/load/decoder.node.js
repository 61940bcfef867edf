import { readFileSync } from 'node:fs';

const module = new WebAssembly.Module(readFileSync(new URL('../wasm/decoder.wasm', import.meta.url)));
export const { memory, input, make, resume, poll, time, respond, feed, tell, free } = new WebAssembly.Instance(module).exports;
