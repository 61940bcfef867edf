const response = fetch(new URL('../wasm/hub.wasm', import.meta.url));
const { instance } = await WebAssembly.instantiateStreaming(response);

export const wasm = instance.exports;
