import { readFileSync } from 'node:fs';

import { initSync } from '../wasm/hub.js';

const module = new WebAssembly.Module(readFileSync(new URL('../wasm/hub.wasm', import.meta.url)));

/** What it exports: functions of numbers. */
export const wasm = initSync({ module });
