export { SseDecoderStream } from './decoder-stream.js';
export { SseError } from './errors.js';
export { EventSource, EventSourceErrorEvent, type EventSourceOptions, type RetryPolicy } from './event-source.js';
export {
  events, type DecodeLimits, type DecodeOptions, type DecodeReports, type EventsOptions, type SseEvent, type SseEvents, type SseSource,
} from './events.js';
export {
  ServerEventClient, type ServerEventCallbacks, type ServerEventClientOptions, type ServerEventMessage,
} from './server-event-client.js';
export { SharedSource, type SharedSourceOptions } from './shared-source.js';
