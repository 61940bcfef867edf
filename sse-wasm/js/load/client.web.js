import { initSync } from '../wasm/client.js';

const response = fetch(new URL('../wasm/client.wasm', import.meta.url));
const module = await WebAssembly.compileStreaming(response);

/** What it exports: functions of numbers. */
export const wasm = initSync({ module });
