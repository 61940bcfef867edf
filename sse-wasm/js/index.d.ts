export { SseDecoderStream } from './decoder-stream.js';
export { SseEncoderStream, encodeEvent, type SseEventInit } from './encoder-stream.js';
export { SseError } from './errors.js';
export {
  events, type DecodeLimits, type DecodeOptions, type DecodeReports, type EventsOptions, type SseEvent, type SseEvents, type SseSource,
} from './events.js';
export * from './hub.js';
