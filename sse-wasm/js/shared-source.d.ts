import type { EventSourceOptions } from './event-source.js';
import type { SseEvent } from './events.js';
import type { LikeEventSource } from './like-event-source.js';

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
 * To use as an {@link EventSource}. The tab that holds a Web Lock has the connection and tells the others by `BroadcastChannel`. When it
 * closes, crashes or is frozen, the next one resumes behind the last event that it was told; what that repeats is known by id and given once (the
 * last 1024 ids). A tab that was frozen, or left and come back to (bfcache), is given what it missed, over a connection of its own until it
 * has caught up. So nothing is lost where the server resumes by `Last-Event-ID`. A tab that joins is told state and last id. An end for
 * good (204, or an answer that is not tried again) closes it in every tab.
 *
 * Needs Web Locks and `BroadcastChannel`: pages of secure origins, in every current browser.
 */
export declare class SharedSource extends LikeEventSource {
  /**
   * @throws {DOMException} `SyntaxError`: the URL is none.
   * @throws {SseError} `unsupported`: the host has no Web Locks or no `BroadcastChannel`.
   */
  constructor(url: string | URL, options?: SharedSourceOptions);

  /** Whether this tab has the connection. If it closes it, another one takes over. */
  readonly isLeader: boolean;

  /** As {@link EventSource}'s; who lets more than 1024 events wait is told so by an error, `too-slow`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<SseEvent>;
}
