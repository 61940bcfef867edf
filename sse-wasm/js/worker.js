export { SseError } from './errors.js';
export { SseHubObject } from './worker/object.js';
export { createWorker } from './worker/worker.js';
