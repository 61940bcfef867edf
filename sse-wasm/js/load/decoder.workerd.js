import module from '../wasm/decoder.wasm';
import { initSync } from '../wasm/decoder.js';

initSync({ module });

export * from '../wasm/decoder.js';
