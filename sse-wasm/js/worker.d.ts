import { DurableObject } from 'cloudflare:workers';

import type { Auth, ClientInfo, ClientRef, Hub, HubEvent, HubOptions, Target, Usage } from './hub.js';

export { SseError } from './errors.js';
export type * from './hub.js';

/** What a hub in a Durable Object is made with. `prefix` and `auth` are the Worker's. */
export interface ObjectOptions extends Omit<HubOptions, 'prefix' | 'auth'> {
  /**
   * The object may be evicted from memory while streams are open, and costs nothing while nothing happens: the Worker, which is made
   * with the same option, holds the streams. Of each, the object keeps a hibernatable WebSocket. Events go through one more
   * pair of hands, and an event after some seconds of silence wakes the object, which reads its storage first: for streams with an
   * event now and then. Clients without a name are rows in storage, too, one written when they come and one when they go.
   *
   * A stream whose peer took nothing for so long that its object was evicted ends, so that its client comes back and resumes.
   * Streams that are opened otherwise, by {@link Hub.stream}, get no heartbeats and keep the object in memory. Default false.
   */
  hibernate?: boolean;
}

/**
 * A hub in a Durable Object: use it as it is, or extend it. It needs SQLite storage (`new_sqlite_classes`) and the compatibility flag
 * `enable_request_signal`.
 *
 * Clients, topics, tasks and the history are in its storage, and written there before anything of them is sent: eviction, a reset
 * or a crash loses nothing that a `Last-Event-ID` could ask for. Whoever has the binding may do everything: guard in front of it,
 * as {@link createWorker} does. Objects may share one memory; the engine's is given back one second after it was needed last.
 */
export declare class SseHubObject<Env = unknown> extends DurableObject<Env> {
  /** Options of the hub. */
  static options: ObjectOptions;
  /** The same, for classes that need `this.env` to tell them. Asked once. */
  options(): ObjectOptions;
  /** The hub, restored from storage if need be. Do not hold it: it is freed when the last stream is gone. */
  readonly hub: Hub;
  /** Whether the engine is in memory now. */
  readonly isAwake: boolean;

  /** Answers a request that a Worker let pass: the paths are those of the routes, without a prefix. */
  fetch(request: Request): Promise<Response>;
  /** What is due is done. It may be called early, and twice. */
  alarm(): Promise<void>;
  /** The Worker's end of a stream speaks, by the runtime. */
  webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void>;
  /** The Worker's end of a stream is gone. */
  webSocketClose(socket: WebSocket): Promise<void>;
  /** It is gone without a word. */
  webSocketError(socket: WebSocket): Promise<void>;

  // By RPC, from other Workers:

  /** {@link Hub.publish}. */
  publish(to: Target, event: HubEvent): Promise<string>;
  /** {@link Hub.publishAll}. */
  publishAll(publications: readonly { to: Target; event: HubEvent }[]): Promise<string[]>;
  /** {@link Hub.notify}. */
  notify(key: string, options?: { names?: readonly string[] }): Promise<string>;
  /** {@link Hub.progress}. */
  progress(client: ClientRef, task: string, progress: unknown): Promise<void>;
  /** {@link Hub.complete}. */
  complete(client: ClientRef, task: string, result?: unknown): Promise<void>;
  /** {@link Hub.fail}. */
  fail(client: ClientRef, task: string, reason?: string): Promise<void>;
  /** {@link Hub.clients}. */
  clients(): Promise<ClientInfo[]>;
  /** {@link Hub.usage}. */
  usage(): Promise<Usage>;
}

/** What a Worker in front of hub objects is made with. */
export interface WorkerOptions<Env = any> {
  /** What every route begins with. Default `/sse/`. */
  prefix?: string;
  /** Who may do what, or a function that tells it from the environment, where secrets are. */
  auth?: Auth | ((env: Env) => Auth);
  /** The name of the Durable Object binding. Default `SSE_HUB`. */
  binding?: string;
  /**
   * One object for everything, or one for each group or topic that a request names: `group` and `topic` of `events`, `to` of `publish`, the key
   * of `notify`. What names none goes to the object `hub`, and so do system M's routes; `to: "all"` and user names reach the clients of that
   * object only. A request that is for several is refused. Default `none`.
   */
  shardBy?: 'none' | 'group' | 'topic';
  /** Bytes of a body that is read to find its object. Default 1 MiB. */
  maxBody?: number;
  /** The objects are made with {@link ObjectOptions.hibernate}: this Worker holds their streams. Default false. */
  hibernate?: boolean;
}

/** A Worker's default export: guards, finds the object, forwards. */
export declare function createWorker<Env = any>(options?: WorkerOptions<Env>): {
  fetch(request: Request, env: Env): Promise<Response>;
};
