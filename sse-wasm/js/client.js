export { SseError } from './errors.js';
export { events } from './events.js';
