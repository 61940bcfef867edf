import type { SseError } from './errors.js';
import type { DecodeLimits, DecodeReports, SseEvent } from './events.js';
import type { LikeEventSource } from './like-event-source.js';

/** When and how often to try again. */
export interface RetryPolicy {
  /** The reconnection time until the stream sets another one, in ms. Default 3000. */
  first?: number;
  /** The shortest time between two attempts, whatever the stream sets, in ms. Default 50. */
  shortest?: number;
  /** Up to where the reconnection time is doubled, attempt after attempt that fails, in ms. Default 30,000. */
  ceiling?: number;
  /** What the server may ask for at most, by `retry` or `Retry-After`, in ms. Default one hour. */
  longest?: number;
  /** By how much a wait is lengthened at most, at random, as a fraction of it; never shortened. Default 0.5. */
  jitter?: number;
  /** After how many failed attempts in a row to give up. Default never. */
  attempts?: number;
  /** Whether 429 and 5xx are tried again, not sooner than their `Retry-After`. Default false, as the standard. */
  statuses?: boolean;
}

/** What {@link EventSource} takes beyond the standard's `withCredentials`. */
export interface EventSourceOptions extends DecodeLimits, DecodeReports {
  /** Whether cookies and the like go to other origins. Default false. */
  withCredentials?: boolean;
  /** Headers of every request. To another origin, each may need its permission. */
  headers?: HeadersInit;
  /** Default GET. */
  method?: string;
  /** The body of every request, or what makes it anew for each; a stream can be sent only once. */
  body?: BodyInit | (() => BodyInit);
  /** When and how often to try again. */
  retry?: RetryPolicy;
  /** Whether to connect again when an open stream ends or breaks. Default true; false for one answer that is streamed. */
  reconnect?: boolean;
  /** How long an answer may take, from the request to its head, in ms. Default for ever. */
  timeout?: number;
  /** After how long without a byte, comments included, an open stream counts as dead, in ms. Default never. */
  liveness?: number;
  /** Where to begin: sent as `Last-Event-ID` from the first request on. Default nowhere. */
  lastEventId?: string;
  /** As many past ids are remembered: an event that repeats one is not given again. Default 0. */
  remember?: number;
  /** Called with URL and init instead of the global `fetch`. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Closes it. */
  signal?: AbortSignal;
  /** An event over the limits was lost, `line-too-long` or `event-too-long`; the stream goes on behind it. */
  onLost?(error: SseError): void;
}

/** Why there is no connection. With `readyState` CONNECTING the next attempt comes by itself; with CLOSED none does. */
export declare class EventSourceErrorEvent extends Event {
  constructor(why: { code: string; message: string; status?: number; delay?: number; cause?: unknown });
  /**
   * For programs. The next attempt comes after `ended`, `failed`, `no-answer`, `silent`, `status` (429, 5xx). It is over with `no-content`
   * (204), `status`, `content-type`, `redirect`, `unsendable`, `attempts`.
   */
  readonly code: string;
  /** For people. */
  readonly message: string;
  /** The status of the answer, where that is the reason. */
  readonly status?: number;
  /** After how many milliseconds the next attempt comes. */
  readonly delay?: number;
  /** What `fetch` or the body threw. */
  readonly cause?: unknown;
}

/**
 * Follows an event stream as browsers do (WHATWG HTML, section 9.2), over `fetch`: on every host, with headers, any method, and a policy for
 * what goes wrong. Without options it behaves as the standard says. Which answer opens, ends or repeats it, and when, is decided by the engine
 * in WebAssembly.
 *
 * ```js
 * const source = new EventSource('/events', { headers: { authorization: `Bearer ${token}` }, liveness: 45_000 });
 * source.addEventListener('price', ({ data }) => show(JSON.parse(data)));
 *
 * for await (const { type, data } of source) console.log(type, data); // or so; leaving the loop leaves it open
 * ```
 *
 * Events of any type are `MessageEvent`s with `data`, `lastEventId` and `origin`. While 256 events wait for who iterates, nothing is read from
 * the connection. Redirects are followed by `fetch`. From a page to another origin, `Last-Event-ID` may have to be allowed there
 * (`Access-Control-Allow-Headers`), which a browser's own does without for most ids.
 */
export declare class EventSource extends LikeEventSource {
  /**
   * @throws {DOMException} `SyntaxError`: the URL is none.
   * @throws {SseError} `invalid-option`, or `invalid-field` for a last event id that cannot be one.
   */
  constructor(url: string | URL, options?: EventSourceOptions);

  /** Whether cookies and the like go to other origins. */
  readonly withCredentials: boolean;

  /**
   * Events of every type from now on, across connections. It ends with {@link close} and with 204, and throws an {@link SseError} with the
   * code of the error event when it is over for another reason.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<SseEvent>;
}
