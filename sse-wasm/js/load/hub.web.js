const response = fetch(new URL('../wasm/hub.wasm', import.meta.url));
const { instance } = await WebAssembly.instantiateStreaming(response);
export const { memory, input, call, answer, answered } = instance.exports;
