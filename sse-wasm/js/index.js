export { SseError } from './errors.js';
export { events } from './events.js';
export { Hub, createHub } from './hub.js';
