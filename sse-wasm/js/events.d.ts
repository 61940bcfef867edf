/** An event as a client dispatches it. */
export interface SseEvent {
  /** `message` when the stream gave none. */
  type: string;
  /** Its data lines, joined by LF. */
  data: string;
  /** The last event id, of this event or of an earlier one; empty when there is none. */
  lastEventId: string;
}

/** How much a decoder is willing to hold. */
export interface EventsOptions {
  /** The longest line in bytes. Default 16 MiB. */
  maxLine?: number;
  /** The most data of one event in bytes. Default 16 MiB. */
  maxEvent?: number;
}

/**
 * The events of a response, or of anything that gives bytes, one after the other. Leaving the loop cancels the response.
 *
 * ```js
 * for await (const { type, data } of events(await fetch(url))) console.log(type, data);
 * ```
 */
export declare function events(
  response: Response | AsyncIterable<Uint8Array>,
  options?: EventsOptions,
): AsyncGenerator<SseEvent, void, void>;
