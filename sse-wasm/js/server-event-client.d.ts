/// <reference lib="esnext.disposable" />
import type { EventSourceErrorEvent, EventSourceOptions } from './event-source.js';
import type { SseError } from './errors.js';

/** What is called, under the names of the original. */
export interface ServerEventCallbacks {
  /** The stream is open, for the first time or again: `1, 'Open'`. */
  sseOpened?(readyState: number, state: string): void;
  /** The hub acknowledged the id, for the first time or again. */
  sseRegistered?(id: string): void;
  /** Something happened under a key that was listened to. */
  sseNotify?(key: string): void;
  /** A task is done. */
  sseTaskCompleted?(task: string): void;
  /** The same, as the theory page of the original calls it. */
  sseCompleted?(task: string): void;
  /** The stream broke (`0, 'Connecting'`: it comes again by itself), ended for good (`2, 'Closed'`), or keys could not be restored. */
  sseError?(readyState: number, state: string, error: EventSourceErrorEvent | SseError): void;
  /** {@link ServerEventClient.disconnect} is through. */
  sseClosed?(): void;
}

/** Where and how the hub is reached. */
export interface ServerEventClientOptions extends Omit<EventSourceOptions, 'method' | 'body' | 'lastEventId' | 'reconnect'> {
  /** What its routes begin with. Default `/sse/`. */
  prefix?: string;
}

/** What the hub says to a client. */
export type ServerEventMessage =
  | { kind: 'registered'; id: string }
  | { kind: 'notify'; key: string }
  | { kind: 'completed'; task: string; id: string; timestamp: number }
  /** Messages were missed, and the hub cannot give them any more; its own words. */
  | { kind: 'gap'; data: string }
  /** Anything else, such as an application's own event. */
  | { kind: 'message'; data: string };

/**
 * A client of the hub (system M) under an id of its own: the keys it listens to and the tasks it waits for share one stream. Takes the place of
 * `@aphorica/server-event-client`.
 *
 * ```js
 * const client = await ServerEventClient.create('bob', 'https://hub.example', { sseNotify: (key) => refresh(key) });
 * await client.listen('clock-tick');
 * await client.submitTask('report');
 * for await (const { task } of client.completions('report')) break;
 * await client.disconnect();
 * ```
 *
 * Calls wait until the hub has acknowledged the id, 1024 of them at most. After a reconnection, to the same hub or to one that was restarted,
 * keys are listened to again. What the hub keeps (tasks under way, what was missed) it delivers then.
 */
export declare class ServerEventClient implements AsyncIterable<ServerEventMessage> {
  private constructor();

  /**
   * Asks the hub for an id and begins to follow its stream.
   *
   * @param name The user name: its tasks' ends are told to all ids of that name.
   * @param base Where the hub is, without the prefix.
   * @param options Or the prefix alone.
   * @throws {SseError} `failed`: the hub could not be reached; `status`: it refused, with its reason; `invalid-option`.
   */
  static create(
    name: string, base: string, callbacks?: ServerEventCallbacks, options?: ServerEventClientOptions | string,
  ): Promise<ServerEventClient>;

  /** A capability: who has it can act for this client. */
  readonly id: string;
  /** Of its stream, as an EventSource's. */
  readonly readyState: 0 | 1 | 2;
  /** Listened to, in the order of the calls. */
  readonly keys: string[];
  /** Submitted, and not completed as far as is known. */
  readonly pendingTasks: string[];

  /** @throws {SseError} `status` with the hub's reason, `failed`, `full` (too many calls wait), `closed`. */
  listen(key: string): Promise<void>;
  /**
   * @param parameters For whoever does the task, as JSON.
   * @throws {SseError} as {@link listen}; `status` with 404 when there is no such task.
   */
  submitTask(task: string, parameters?: unknown): Promise<void>;
  /** Gives up the id, closes the stream, ends the iterations. False when the hub could not be told; then its sweep ends the id. */
  disconnect(): Promise<boolean>;

  /** Notifications from now on, all or of one key. */
  notifications(key?: string): AsyncIterableIterator<Extract<ServerEventMessage, { kind: 'notify' }>>;
  /** Completions from now on, all or of one task. */
  completions(task?: string): AsyncIterableIterator<Extract<ServerEventMessage, { kind: 'completed' }>>;
  /** Everything from now on. Who lets more than 1024 messages wait is told so by an error, `too-slow`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ServerEventMessage>;
  /** {@link disconnect}. */
  [Symbol.asyncDispose](): Promise<void>;
}
