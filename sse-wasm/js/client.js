export { SseDecoderStream } from './decoder-stream.js';
export { SseError } from './errors.js';
export { EventSource, EventSourceErrorEvent } from './event-source.js';
export { events } from './events.js';
export { ServerEventClient } from './server-event-client.js';
export { SharedSource } from './shared-source.js';
