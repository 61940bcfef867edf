const response = fetch(new URL('../wasm/decoder.wasm', import.meta.url));
const { instance } = await WebAssembly.instantiateStreaming(response);
export const { memory, input, make, resume, poll, time, respond, feed, tell, free } = instance.exports;
