import { initSync } from '../wasm/hub.js';

const response = fetch(new URL('../wasm/hub.wasm', import.meta.url));
const module = await WebAssembly.compileStreaming(response);

export const { memory } = initSync({ module });

export * from '../wasm/hub.js';
