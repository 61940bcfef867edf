import { readFileSync } from 'node:fs';

const module = new WebAssembly.Module(readFileSync(new URL('../wasm/client.wasm', import.meta.url)));

export const wasm = new WebAssembly.Instance(module).exports;
