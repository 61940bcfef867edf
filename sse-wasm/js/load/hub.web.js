import { initSync } from '../wasm/hub.js';

const response = fetch(new URL('../wasm/hub.wasm', import.meta.url));
initSync({ module: await WebAssembly.compileStreaming(response) });

export * from '../wasm/hub.js';
