import module from '../wasm/decoder.wasm';
import { initSync } from '../wasm/decoder.js';

export const { memory } = initSync({ module });

export * from '../wasm/decoder.js';
