import { initSync } from '../wasm/decoder.js';

const response = fetch(new URL('../wasm/decoder.wasm', import.meta.url));
export const { memory } = initSync({ module: await WebAssembly.compileStreaming(response) });

export * from '../wasm/decoder.js';
