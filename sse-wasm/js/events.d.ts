/// <reference lib="esnext.disposable" />
/** An event as a client dispatches it. */
export interface SseEvent {
  /** `message` when the stream gave none. */
  type: string;
  /** Its data lines, joined by LF. */
  data: string;
  /** The last event id, of this event or of an earlier one; empty when there is none. */
  lastEventId: string;
}

/** How much a decoder is willing to hold, in bytes as they are sent; at most 2²⁸ − 1. */
export interface DecodeLimits {
  /** The longest line. Default 16 MiB. */
  maxLine?: number;
  /** The most data of one event. Default 16 MiB. */
  maxEvent?: number;
}

/** What is told beside events, as soon as it is decoded: possibly before events of the same chunk are taken. */
export interface DecodeReports {
  /** A comment, often a keep-alive, without its colon and one space. */
  onComment?(comment: string): void;
  /** The stream set the reconnection time, in milliseconds; more than 2³² − 1 counts as that. */
  onRetry?(millis: number): void;
}

/** How a stream is decoded. */
export interface DecodeOptions extends DecodeLimits, DecodeReports {
  /** What events without an id of their own carry until there is one. Default none. */
  lastEventId?: string;
}

/** How {@link events} reads. */
export interface EventsOptions extends DecodeOptions {
  /** Ends it: the source is cancelled, and who waits is told the signal's reason. */
  signal?: AbortSignal;
}

/** Bytes, or text, in pieces. */
export type SseSource = Response | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | ArrayBuffer | ArrayBufferView | string>;

/** What {@link events} gives. It reads when it is asked, one chunk at a time. */
export interface SseEvents extends AsyncIterableIterator<SseEvent> {
  next(): Promise<IteratorResult<SseEvent, undefined>>;
  return(value?: unknown): Promise<IteratorResult<SseEvent, any>>;
  throw(error?: unknown): Promise<IteratorResult<SseEvent, any>>;
  [Symbol.asyncIterator](): SseEvents;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The events of a response, one after the other. Leaving the loop cancels the response; an event that is not whole at the end is dropped.
 *
 * ```js
 * const response = await fetch(url, { method: 'POST', body });
 * for await (const { type, data } of events(response)) console.log(type, data);
 * ```
 *
 * The data of an event that is kept for long keeps the text of its chunk, 16 KiB at most, as parts of a string do.
 *
 * @throws {SseError} While iterating: `line-too-long` or `event-too-long` behind the events before it, `invalid-chunk` for what is neither
 * bytes nor text. At once: `invalid-source`, `invalid-option`, `invalid-field` (the last event id).
 */
export declare function events(source: SseSource, options?: EventsOptions): SseEvents;
