export { SseError } from './errors.js';
export { events, type EventsOptions, type SseEvent } from './events.js';
export * from './hub.js';
