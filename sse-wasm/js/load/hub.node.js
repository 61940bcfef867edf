import { readFileSync } from 'node:fs';

import { initSync } from '../wasm/hub.js';

const module = new WebAssembly.Module(readFileSync(new URL('../wasm/hub.wasm', import.meta.url)));

export const { memory } = initSync({ module });

export * from '../wasm/hub.js';
