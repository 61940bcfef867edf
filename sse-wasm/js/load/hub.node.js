import { readFileSync } from 'node:fs';

import { initSync } from '../wasm/hub.js';

initSync({ module: new WebAssembly.Module(readFileSync(new URL('../wasm/hub.wasm', import.meta.url))) });

export * from '../wasm/hub.js';
