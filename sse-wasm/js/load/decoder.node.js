import { readFileSync } from 'node:fs';

import { initSync } from '../wasm/decoder.js';

const module = new WebAssembly.Module(readFileSync(new URL('../wasm/decoder.wasm', import.meta.url)));

export const { memory } = initSync({ module });

export * from '../wasm/decoder.js';
