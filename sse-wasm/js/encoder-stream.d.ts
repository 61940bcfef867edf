/** An event to encode; what is left out does not appear. */
export interface SseEventInit {
  /** Its type; `message` is what it is without one. An event with a type and no data gets empty data, or no client would dispatch it. */
  event?: string;
  /** Its data: text as it is, of which each line becomes a line; anything else as JSON. */
  data?: unknown;
  /** Its id; empty resets what clients resume from. */
  id?: string;
  /** The reconnection time in milliseconds. */
  retry?: number;
  /** A comment, each line of its own. */
  comment?: string;
}

/**
 * Events to bytes, for `pipeThrough`; a string is the data of an event.
 *
 * ```js
 * return new Response(events.pipeThrough(new SseEncoderStream()), { headers: { 'content-type': 'text/event-stream' } });
 * ```
 *
 * The stream errs with an {@link SseError} `invalid-field`: a type or an id with a line break, an id with NUL, a time that is none.
 */
export declare class SseEncoderStream extends TransformStream<SseEventInit | string, Uint8Array> {
  constructor();
}

/**
 * The bytes of one event.
 *
 * @throws {SseError} `invalid-field`, with the field to blame.
 */
export declare function encodeEvent(event: SseEventInit | string): Uint8Array;
