import { Decoding } from './events.js';

/** Events that may wait for whoever reads before the next chunk is asked for. */
const WAITING = 8;

/** Bytes to events. The two ends are tied here: a TransformStream takes half as long again for each event. */
export class SseDecoderStream {
  #decoding;
  #readable;
  #writable;

  constructor(options = {}) {
    const decoding = new Decoding(options);
    let events;
    let bytes;
    let goOn = () => {};
    this.#decoding = decoding;
    this.#readable = new ReadableStream(
      {
        start: (controller) => void (events = controller),
        pull: () => goOn(),
        cancel(reason) {
          bytes.error(reason);
          goOn();
        },
      },
      { highWaterMark: WAITING },
    );
    this.#writable = new WritableStream({
      start(controller) {
        bytes = controller;
        // Who gives up does not wait until what came before is read.
        bytes.signal.addEventListener('abort', () => goOn());
      },
      write(chunk) {
        try {
          for (const event of decoding.decode(chunk)) events.enqueue(event);
          if (decoding.error) throw decoding.error;
        } catch (error) {
          events.error(error);
          throw error;
        }
        return events.desiredSize > 0 ? undefined : new Promise((resolve) => (goOn = resolve));
      },
      close: () => events.close(),
      abort: (reason) => events.error(reason),
    });
  }

  get readable() {
    return this.#readable;
  }

  get writable() {
    return this.#writable;
  }

  get lastEventId() {
    return this.#decoding.lastEventId;
  }
}
