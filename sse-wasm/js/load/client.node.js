import { readFileSync } from 'node:fs';

import { initSync } from '../wasm/client.js';

const module = new WebAssembly.Module(readFileSync(new URL('../wasm/client.wasm', import.meta.url)));

/** What it exports: functions of numbers. */
export const wasm = initSync({ module });
