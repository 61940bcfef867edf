import module from '../wasm/hub.wasm';
import { initSync } from '../wasm/hub.js';

export const { memory } = initSync({ module });

export * from '../wasm/hub.js';
