import { readFileSync } from 'node:fs';

import { initSync } from '../wasm/decoder.js';

export const { memory } = initSync({ module: new WebAssembly.Module(readFileSync(new URL('../wasm/decoder.wasm', import.meta.url))) });

export * from '../wasm/decoder.js';
