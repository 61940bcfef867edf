import module from '../wasm/hub.wasm';
import { initSync } from '../wasm/hub.js';

/** What it exports: functions of numbers. */
export const wasm = initSync({ module });
