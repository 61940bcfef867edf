import { initSync } from '../wasm/hub.js';

const response = fetch(new URL('../wasm/hub.wasm', import.meta.url));
const module = await WebAssembly.compileStreaming(response);

/** What it exports: functions of numbers. */
export const wasm = initSync({ module });
