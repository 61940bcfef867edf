/// <reference lib="esnext.disposable" />
import type { EventSourceErrorEvent } from './event-source.js';
import type { SseEvent } from './events.js';

/** What events of a name are, besides those that streams name. */
export interface EventSourceEventMap {
  open: Event;
  message: MessageEvent<string>;
  error: EventSourceErrorEvent;
}

/** What everything that looks like a browser's EventSource has in common: a type, no class to be had. */
export declare abstract class LikeEventSource extends EventTarget implements AsyncIterable<SseEvent> {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSED: 2;
  readonly CONNECTING: 0;
  readonly OPEN: 1;
  readonly CLOSED: 2;
  /** The URL it was made with, resolved. */
  readonly url: string;
  /** CONNECTING until an answer came and after it ended, OPEN, or CLOSED for good. */
  readonly readyState: 0 | 1 | 2;

  /** What a reconnection would ask to go on behind; empty when there is none. */
  readonly lastEventId: string;

  /** A connection is there, for the first time or again. */
  onopen: ((this: this, event: Event) => void) | null;
  /** An event without a name came. */
  onmessage: ((this: this, event: MessageEvent<string>) => void) | null;
  /** There is no connection: what happened, and whether another attempt comes. */
  onerror: ((this: this, event: EventSourceErrorEvent) => void) | null;

  addEventListener<T extends keyof EventSourceEventMap>(
    type: T, listener: ((this: this, event: EventSourceEventMap[T]) => void) | null, options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string, listener: ((this: this, event: MessageEvent<string>) => void) | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;

  /** Ends it for this program. No event comes any more. */
  close(): void;
  /** Events of every type from now on. */
  [Symbol.asyncIterator](): AsyncIterableIterator<SseEvent>;
  /** {@link close}. */
  [Symbol.dispose](): void;
  /** {@link close}. */
  [Symbol.asyncDispose](): Promise<void>;
}
