import type { EventSourceErrorEvent, EventSourceOptions } from './event-source.js';
import type { SseEvent } from './events.js';

/** How a {@link SharedSource} works. All tabs that share one give the same. */
export interface SharedSourceOptions extends Omit<EventSourceOptions, 'onLost' | 'onComment' | 'onRetry'> {
  /** What tabs have to have in common to share. Default the URL; name it when options differ for the same URL. */
  name?: string;
  /** As many past events are kept for, and given to, a tab that joins late. Default 0. */
  replay?: number;
}

/**
 * One connection for all tabs of an origin: browsers make six to a host over HTTP/1.1, and a stream is one of them.
 *
 * ```js
 * const source = new SharedSource('/events');
 * source.onmessage = ({ data }) => show(data);
 * ```
 *
 * To use as an {@link EventSource}. The tab that holds a Web Lock has the connection and tells the others by `BroadcastChannel`. When it closes
 * or crashes, the next one resumes behind the last event that it was told; what that repeats is known by id and given once (the last 1024
 * ids). So nothing is lost where the server resumes by `Last-Event-ID`. A tab that joins is told state and last id. An end for good (204, or
 * an answer that is not tried again) closes it in every tab.
 *
 * Needs Web Locks and `BroadcastChannel`: pages of secure origins, in every current browser.
 */
export declare class SharedSource extends EventTarget implements AsyncIterable<SseEvent> {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;

  /**
   * @throws {DOMException} `SyntaxError`: the URL is none.
   * @throws {SseError} `unsupported`: the host has no Web Locks or no `BroadcastChannel`.
   */
  constructor(url: string | URL, options?: SharedSourceOptions);

  readonly url: string;
  /** Of the one connection. */
  readonly readyState: 0 | 1 | 2;
  readonly lastEventId: string;
  /** Whether this tab has the connection. */
  readonly isLeader: boolean;

  onopen: ((this: SharedSource, event: Event) => void) | null;
  onmessage: ((this: SharedSource, event: MessageEvent<string>) => void) | null;
  onerror: ((this: SharedSource, event: EventSourceErrorEvent) => void) | null;

  /** Leaves. If this tab has the connection, another one takes over. */
  close(): void;

  addEventListener(
    type: string, listener: ((this: SharedSource, event: MessageEvent<string>) => void) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;

  /** As {@link EventSource}'s; who lets more than 1024 events wait is told so by an error, `too-slow`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<SseEvent>;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}
