import module from '../wasm/client.wasm';
import { initSync } from '../wasm/client.js';

/** What it exports: functions of numbers. */
export const wasm = initSync({ module });
