import module from '../wasm/hub.wasm';
import { initSync } from '../wasm/hub.js';

initSync({ module });

export * from '../wasm/hub.js';
