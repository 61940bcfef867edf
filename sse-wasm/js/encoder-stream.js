import { encode } from './engine.js';
import { SseError } from './errors.js';

/** Events to bytes. */
export class SseEncoderStream extends TransformStream {
  constructor() {
    super({
      transform(event, controller) {
        controller.enqueue(encodeEvent(event));
      },
    });
  }
}

/** The bytes of one event; what is left out does not appear. */
export function encodeEvent(event) {
  const { event: name, data, id, retry, comment } = typeof event === 'string' ? { data: event } : event;
  if (retry !== undefined && !(Number.isInteger(retry) && retry >= 0 && retry < 2 ** 32)) {
    throw new SseError('invalid-field', 'retry must be a whole number of milliseconds', 'retry');
  }
  const text = data === undefined || typeof data === 'string' ? data : JSON.stringify(data);
  // A named event without data would never be dispatched.
  return encode(name, text ?? (name === undefined ? undefined : ''), id, retry, comment);
}
