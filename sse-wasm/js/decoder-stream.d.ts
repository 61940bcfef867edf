import type { DecodeOptions, SseEvent } from './events.js';

/**
 * Bytes to events, for `pipeThrough`.
 *
 * ```js
 * const stream = response.body.pipeThrough(new SseDecoderStream());
 * ```
 *
 * `events()` does the same faster: the host's streams take longer for an event than decoding it.
 *
 * The stream errs with an {@link SseError}: `line-too-long`, `event-too-long`, `invalid-chunk`.
 */
export declare class SseDecoderStream implements TransformStream<Uint8Array | ArrayBuffer | ArrayBufferView | string, SseEvent> {
  /** @throws {SseError} `invalid-option`, `invalid-field`. */
  constructor(options?: DecodeOptions);
  /** The events. What nobody reads holds up the bytes. Cancelling it cancels the source of the bytes. */
  readonly readable: ReadableStream<SseEvent>;
  /** The bytes. */
  readonly writable: WritableStream<Uint8Array | ArrayBuffer | ArrayBufferView | string>;
  /** What a reconnection would ask to go on behind; empty when there is none. */
  readonly lastEventId: string;
}
