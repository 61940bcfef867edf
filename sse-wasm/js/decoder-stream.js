import { Decoding } from './events.js';

/** Bytes to events. */
export class SseDecoderStream extends TransformStream {
  #decoding;

  constructor(options = {}) {
    const decoding = new Decoding(options);
    super({
      transform(chunk, controller) {
        for (const event of decoding.decode(chunk)) controller.enqueue(event);
        if (decoding.error) throw decoding.error;
      },
    });
    this.#decoding = decoding;
  }

  get lastEventId() {
    return this.#decoding.lastEventId;
  }
}
