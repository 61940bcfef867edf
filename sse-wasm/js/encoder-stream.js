import { encode } from './engine.js';
import { eventOf } from './hub/values.js';

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
  const { event: name, data, id, retry, comment } = eventOf(event);
  // A named event without data would never be dispatched.
  return encode(name, data ?? (name == null ? undefined : ''), id, retry, comment);
}
