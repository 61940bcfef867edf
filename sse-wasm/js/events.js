import { Decoder } from './decoder.js';
import { SseError } from './errors.js';

/** The events of a response, one after the other. */
export function events(source, options = {}) {
  return new Events(readerOf(source), options);
}

class Events {
  #reader;
  #decoding;
  #ready = [];
  #taken = 0;
  #last = Promise.resolve();
  #signal;
  #aborted;

  constructor(reader, options) {
    this.#reader = reader;
    this.#decoding = new Decoding(options);
    const { signal } = options;
    if (!signal) return;
    checkSignal(signal);
    this.#signal = signal;
    this.#aborted = () => this.#end(signal.reason).catch(() => {});
    if (signal.aborted) this.#aborted();
    else signal.addEventListener('abort', this.#aborted, { once: true });
  }

  next() {
    const ready = this.#ready;
    if (this.#taken < ready.length) return Promise.resolve({ done: false, value: ready[this.#taken++] });
    // Those who do not wait for an answer before they ask again are served in order.
    const next = this.#last.then(() => this.#next());
    this.#last = next.catch(() => {});
    return next;
  }

  async return(value) {
    await this.#end();
    return { done: true, value };
  }

  async throw(error) {
    await this.#end(error);
    throw error;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async #next() {
    while (this.#taken === this.#ready.length) {
      this.#signal?.throwIfAborted();
      if (!this.#reader) return { done: true, value: undefined };
      const lost = this.#decoding.error;
      if (lost) {
        await this.#end(lost);
        throw lost;
      }
      const { done, value } = await this.#read();
      this.#signal?.throwIfAborted();
      if (!this.#reader || done) {
        this.#leave();
        return { done: true, value: undefined };
      }
      this.#taken = 0;
      this.#ready = this.#decoding.decode(value);
    }
    return { done: false, value: this.#ready[this.#taken++] };
  }

  async #read() {
    try {
      return await this.#reader.read();
    } catch (error) {
      this.#leave();
      throw this.#signal?.aborted ? this.#signal.reason : error;
    }
  }

  async #end(reason) {
    const reader = this.#reader;
    this.#leave();
    await reader?.cancel(reason);
  }

  #leave() {
    this.#reader = undefined;
    this.#ready = [];
    this.#taken = 0;
    this.#signal?.removeEventListener('abort', this.#aborted);
  }
}

// A `for await` that is left asks for it.
const { asyncDispose } = Symbol;
if (asyncDispose) {
  Events.prototype[asyncDispose] = async function () {
    await this.return();
  };
}

/** Decodes one stream that is open from the beginning. The first event over the limits is its last. */
export class Decoding {
  /** Why it is over; what was decoded before is still to be had. */
  error;
  #cut;
  #decoder;
  #report;

  constructor(options = {}) {
    this.#decoder = new Decoder(options);
    this.#report = {
      comment: options.onComment,
      retry: options.onRetry,
      lost: (error, found) => {
        this.error ??= error;
        this.#cut ??= found.length;
      },
    };
  }

  get lastEventId() {
    return this.#decoder.lastEventId;
  }

  /** The events that a chunk completed. */
  decode(chunk) {
    if (this.error) return [];
    const found = this.#decoder.decode(bytesOf(chunk), this.#report);
    if (this.error) found.length = this.#cut;
    return found;
  }
}

export function checkSignal(signal) {
  if (!signal || typeof signal.addEventListener === 'function') return;
  throw new SseError('invalid-option', 'the option signal must be an AbortSignal', 'signal');
}

/** The bytes of a chunk, of whatever kind it is. */
export function bytesOf(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return new TextEncoder().encode(chunk);
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new SseError('invalid-chunk', 'the source gave something that is neither bytes nor text');
}

function readerOf(source) {
  const body = source?.body === undefined ? source : source.body;
  if (body === null && source !== null) return { read: async () => ({ done: true }), cancel: async () => {} };
  if (typeof body?.getReader === 'function') return body.getReader();
  const iterator = body?.[Symbol.asyncIterator]?.();
  if (!iterator) throw new SseError('invalid-source', 'events() takes a Response, a ReadableStream or an async iterable of bytes');
  return { read: () => iterator.next(), cancel: async () => { await iterator.return?.(); } };
}
