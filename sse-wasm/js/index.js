export { SseDecoderStream } from './decoder-stream.js';
export { SseEncoderStream, encodeEvent } from './encoder-stream.js';
export { SseError } from './errors.js';
export { events } from './events.js';
export { Hub, createHub } from './hub.js';
