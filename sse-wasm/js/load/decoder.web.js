import { initSync } from '../wasm/decoder.js';

const response = fetch(new URL('../wasm/decoder.wasm', import.meta.url));
const module = await WebAssembly.compileStreaming(response);

export const { memory } = initSync({ module });

export * from '../wasm/decoder.js';
