/**
 * System M: a drop-in for npm `@aphorica/server-event-mgr`. Change one import:
 *
 * ```js
 * const ServerEventMgr = require('sse-wasm/compat/server-event-mgr'); // was: '@aphorica/server-event-mgr'
 * app.use(ServerEventMgr.createRouter());
 * ```
 *
 * The README lists where it differs from the original, on purpose.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Middleware for Express, and a handler for node:http. What it does not serve goes to `next`. */
export type Router = (request: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void) => Promise<void>;

/** What a manager of its own is made with. Times are milliseconds; a negative one means never. */
export interface ManagerOptions {
  /**
   * Who does the tasks that clients submit: a function for each name, whose result completes the task and whose error fails it, or
   * `'worker'` for one that `notifyCompletions` completes. With this the router also answers `PUT submit-task/:id/:task`,
   * `PUT` and `DELETE listen/:id/:key` and `GET tasks/:id`; without it, the application does, as with the original.
   */
  tasks?: Record<string, 'worker' | ((task: TaskCall) => unknown)>;
  /** Origins whose pages may ask the routes; `['*']` by default, with which any page may read streams and none of another origin the rest. */
  origins?: string[];
  /** `true` gives frames ids, tells clients when to come back, and continues a stream after the `Last-Event-ID`. Default `false`. */
  resume?: boolean;
  /** Whether `disconnect-registrant` and `clear-registrants` end the streams. Default `false`: the original client would come back. */
  endOnDisconnect?: boolean;
  /** `secure` by default: 130 random bits. `compatible` has 40, for networks where everyone may know everyone's id. */
  idForm?: 'secure' | 'compatible';
  /** `activity` by default: a client with a live stream is not swept. `registration`, as the original: an hour after it registered. */
  age?: 'activity' | 'registration';
  /** `legacy` sends `"listeners-changed"` and `"ad-hoc"` bare. */
  payloads?: 'legacy';
  /** After how long without a frame a stream gets a comment. Default 15,000. */
  heartbeat?: number;
  /** After how long a peer that takes nothing is given up. Default 30,000. */
  writeStall?: number;
  /** The age at which a sweep drops an id. Default 3,600,000; exactly this age stays. */
  dormantAfter?: number;
  /** The time between two sweeps. Default 240,000. */
  sweepEvery?: number;
  /** Limits of the engine by name, such as `connections`, `clients`, `topicsPerClient`, `logBytes`. */
  limits?: Record<string, number>;
  /** Bytes of a request's body. Default 1 MiB. */
  maxBody?: number;
  /** How long a request's body may take. Default 30,000. */
  requestTimeout?: number;
}

/** A task to do. */
export interface TaskCall {
  client: { group: string; id: string };
  task: string;
  /** The request's body as JSON; `null` when it was empty. */
  params: unknown;
}

/** What the original's module is. Errors are `SseError`s with a `code`. */
export interface ServerEventManager {
  /** Where the router's routes are: `/sse/`, or what `createRouter` was given last. */
  readonly prefix: string;
  /**
   * The routes below `prefix`, which starts and ends with `/`.
   * @throws `invalid-option` when the prefix cannot be one.
   */
  createRouter(prefix?: string): Router;
  /**
   * A new id for `name`, unique over all that are issued and registered. It is a capability: never log it.
   * @throws `invalid-name` when the name holds what an id cannot: anything but visible ASCII, or one of `/ ? # % ^ " \`.
   */
  getUniqueID(name: string): string;
  /**
   * Opens a stream on `response` for `id`, registered before the head leaves. Keys and tasks of an id that is known are kept, its stream is
   * replaced.
   * @throws `invalid-name`, or `full` at a limit; the response is untouched then.
   */
  registerListener(id: string, response: ServerResponse): void;
  /** Gives up an id, known or not. Its stream stays open, silent, unless `endOnDisconnect`. */
  unregisterListener(id: string): void;
  /** Gives up all ids. No sweep happens until the next registration. */
  unregisterAllListeners(): void;
  /** Whether `id` is registered. */
  isRegistered(id: string): boolean;
  /**
   * `id` listens to `listenKey`; once is enough.
   * @throws `unknown-client`.
   */
  addListenKey(id: string, listenKey: string): void;
  /** `{"ID":{"listenKeys":["k"],"registered-ts":1795217212226}}`, in the order ids first registered. */
  getListenersJSON(): string;
  /** One frame to each id that listens to `listenKey`; with `usernames`, only to ids of these. O(ids it is for). */
  notifyListeners(listenKey: string, usernames?: string[]): void;
  /** Tells every id of the user name of `id` that `taskid` completed. Resolves to `true`; rejects when a name cannot be one. */
  notifyCompletions(id: string, taskid: string): Promise<true>;
  /** Whether everyone is told `listeners-changed` when ids come or go, sweeps included. Off at first. */
  setNotifyListenersChanged(flag: boolean): void;
  /** Tells everyone `listeners-changed` now. */
  notifyListenersChanged(): void;
  /** The key whose listeners are told when ids come or go; empty for none. */
  listenersChangedKey: string;
  /**
   * Sends the frame of `trigger-adhoc` to `id`.
   * @throws `unknown-client`.
   */
  triggerAdHocResponse(id: string): void;
  /** Sweeps now. */
  triggerCleanup(): void;
  /** Whether diagnostics go to the console. Ids are shortened in them. */
  setVerbose(flag: boolean): void;
  /** Ends all streams and refuses registrations from now on. */
  close(): void;
}

/** A manager of its own, with its own ids and streams. */
export declare function createManager(options?: ManagerOptions): ServerEventManager;

/** One manager that all who import it share. */
declare const manager: ServerEventManager;
export default manager;

export declare const createRouter: ServerEventManager['createRouter'];
export declare const getUniqueID: ServerEventManager['getUniqueID'];
export declare const registerListener: ServerEventManager['registerListener'];
export declare const unregisterListener: ServerEventManager['unregisterListener'];
export declare const unregisterAllListeners: ServerEventManager['unregisterAllListeners'];
export declare const isRegistered: ServerEventManager['isRegistered'];
export declare const addListenKey: ServerEventManager['addListenKey'];
export declare const getListenersJSON: ServerEventManager['getListenersJSON'];
export declare const notifyListeners: ServerEventManager['notifyListeners'];
export declare const notifyCompletions: ServerEventManager['notifyCompletions'];
export declare const setNotifyListenersChanged: ServerEventManager['setNotifyListenersChanged'];
export declare const notifyListenersChanged: ServerEventManager['notifyListenersChanged'];
export declare const triggerAdHocResponse: ServerEventManager['triggerAdHocResponse'];
export declare const triggerCleanup: ServerEventManager['triggerCleanup'];
export declare const setVerbose: ServerEventManager['setVerbose'];
