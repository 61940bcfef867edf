/// <reference lib="esnext.disposable" />

/** A request of node:http, Express, Fastify (`raw`) or http2's compatibility API. */
export interface NodeRequest extends AsyncIterable<any> {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
}

/** The response to a {@link NodeRequest}. */
export interface NodeResponse {
  writeHead(status: number, headers?: any): unknown;
  write(chunk: Uint8Array): boolean;
  end(): unknown;
  on(event: string, listener: () => void): unknown;
}

/** A client: its id, or its id and the group that the id is unique in. An id is a capability: never log it whole. */
export type ClientRef = string | { id: string; group?: string };

/** Who an event is for. */
export type Target =
  /** Every client. */
  | 'all'
  /** Who listens to a topic. */
  | { topic: string }
  /** One client, with all its streams. */
  | { client: ClientRef; group?: string }
  /** Every client of a user name, in all groups. */
  | { name: string }
  /** Every client of a group; the default one is empty. */
  | { group: string }
  /** The clients of these streams; of a single one, that stream alone. */
  | { connections: readonly Connection[] };

/** An event; text is its data. */
export type HubEvent =
  | string
  | {
      /** Text as it is, anything else as JSON. Line breaks stay line breaks. */
      data?: unknown;
      /** Which listener the client calls; without it, the one for messages. One line. */
      event?: string;
      /** An id of the application's own, which clients resume from. Left out, the hub numbers the event. One line, no NUL. */
      id?: string;
      /** How long clients wait before they reconnect, in milliseconds. */
      retry?: number;
      /** Clients see nothing of it. */
      comment?: string;
    };

/** A wish to receive events. */
export interface Registration {
  /** Who it is for. Left out, an id is made for `name`, or for nobody. */
  client?: ClientRef;
  /** A user name to make an id for. */
  name?: string;
  /** Listened to from the start of the stream on. */
  topics?: readonly string[];
  /** A `Last-Event-ID`, or `earliest` for the oldest event there is. */
  lastEventId?: string;
  /**
   * The first frame: `event:connected`, system M's acknowledgement, nothing but a position, or
   * nothing at all. Default `connected`.
   */
  greeting?: 'connected' | 'registered' | 'none' | 'silent';
  /** How the client wants to hear of tasks: in named events, or as system M. Default `named`. */
  dialect?: 'named' | 'manager';
  /** Ends the client's other streams. */
  replace?: boolean;
  /** Forgets the client with its last stream, unless it waits for a task. */
  passing?: boolean;
  /** Whatever the application wants to find again on the {@link Connection}. */
  metadata?: unknown;
}

/** One open stream. */
export interface Connection {
  readonly id: string;
  readonly group: string;
  /** What it was registered with. */
  metadata: unknown;
}

/** Where the bytes of a stream go; see `Hub.open`. */
export interface Outlet {
  /** Takes a chunk. It is shared with other streams: do not change it, and copy it to keep it. Only called while `connection.wants`. */
  write(chunk: Uint8Array, connection: Connection & { wants: boolean }): void;
  /** Nothing follows. `stalled`: the peer took nothing for too long; cut it off. */
  end(reason: EndReason | 'ended' | 'broken'): void;
}

/** Why the hub ended a stream. */
export type EndReason = 'stalled' | 'overrun' | 'replaced' | 'expired' | 'unregistered' | 'drained';

/** Why events could not be given; clients are told in an event named `gap`. */
export type GapReason = 'evicted' | 'epoch' | 'unknown' | 'overrun';

/** One submission of a task, as its function sees it. */
export interface TaskRun {
  client: { id: string; group: string };
  task: string;
  /** The JSON that came with it; `null` when nothing did. */
  params: unknown;
  /** Tells the client how far the task is. Throws {@link SseError} when the client is gone. */
  progress(progress: unknown): void;
}

/**
 * Does a task: what it returns is the result, what it throws the reason why it failed. `'worker'`: someone outside does it and
 * reports on `complete/:id/:task`.
 */
export type Task = 'worker' | ((run: TaskRun) => unknown | Promise<unknown>);

/** Who may do what over HTTP. */
export interface Auth {
  /** What privileged routes need: 16 to 256 visible ASCII characters. Without one nobody may use them, unless `open`. */
  token?: string;
  /** Privileged routes are for everybody who gets here. For hubs that only this machine or a guard in front reaches. */
  open?: boolean;
  /** Origins whose pages may use the hub; `*` opens the streams to all pages and nothing else. Default `['*']`. */
  origins?: readonly string[];
  /** Host names that the hub answers to; default any. Name some where pages could reach it by DNS rebinding. */
  hosts?: readonly string[];
}

/** How much of everything a hub may hold. */
export interface Limits {
  /** Open streams. Default 100,000; in a Durable Object 10,000. */
  connections?: number;
  /** Clients, with a stream or without. Default 200,000; in a Durable Object 20,000. */
  clients?: number;
  /** Ids that were made and not registered. Default 10,000. */
  issuedIds?: number;
  /** Open streams of one client. Default 16. */
  connectionsPerClient?: number;
  /** Default 10,000. */
  groups?: number;
  /** Topics that someone listens to or that history has events for. Default 200,000; in a Durable Object 20,000. */
  topics?: number;
  /** Default 64. */
  topicsPerClient?: number;
  /** Topics of all clients together. Default 400,000. */
  subscriptions?: number;
  /** Default 64. */
  tasksPerClient?: number;
  /** Default 100,000. */
  tasks?: number;
  /** Bytes of progress, results and reasons that are kept with tasks, all together. Default 64 MiB. */
  detailBytes?: number;
  /** Bytes of a user name, an id, a group or a task's name. Default 128. */
  nameBytes?: number;
  /** Bytes of a topic. Default 256. */
  topicBytes?: number;
  /** Bytes of one event as it is sent. Default 256 KiB. */
  frameBytes?: number;
  /** Bytes of history, taken at the start; at most 1 GiB. Default 16 MiB; in a Durable Object 1 MiB. */
  logBytes?: number;
  /** Events of history. Default 65,536; in a Durable Object 16,384. */
  logEntries?: number;
}

/** What a hub is made with. Times are milliseconds. */
export interface HubOptions {
  /** What every route begins with. Default `/sse/`. */
  prefix?: string;
  /** Who may do what over HTTP. */
  auth?: Auth;
  /** Tasks that clients may submit, by name. */
  tasks?: Record<string, Task>;
  /** Tasks that may run at once. Default 1,024. */
  runningTasks?: number;
  /** How much it may hold of everything. */
  limits?: Limits;
  /** After how long without an event a stream gets a comment; negative: never. Default 15,000. */
  heartbeat?: number;
  /** What the comment says. Default `heartbeat`. */
  heartbeatComment?: 'heartbeat' | 'keep-alive';
  /** `given` leaves the hub's own ids out of frames: only after an event with an id of yours can a stream resume. Default `numbered`. */
  eventIds?: 'numbered' | 'given';
  /** After how long a peer that takes nothing is given up; negative: never. Default 30,000. */
  writeStall?: number;
  /** The age at which a sweep drops a client. Default one hour. */
  dormantAfter?: number;
  /** The time between two sweeps. Default 240,000. */
  sweepEvery?: number;
  /** How long an id that nobody registers stays reserved. Default ten minutes. */
  issuedIdTtl?: number;
  /** Told to clients with each greeting; negative leaves them their own. Default 1,000. */
  retry?: number;
  /** What the age counts from: the last stream's end, or the registration, as in system M. Default `activity`. */
  age?: 'activity' | 'registration';
  /** What happens to a stream that is too slow for the log: it ends, or goes on behind the gap. Default `close`. */
  overrun?: 'close' | 'skip';
  /** Ids of 130 random bits, or short ones of 40. Default `secure`. */
  idForm?: 'secure' | 'compatible';
  /** The topic that hears of clients that come and go; `null` for none. Default `listeners-changed`. */
  listenersChanged?: string | null;
  /** System M's notifications as `notify^KEY`, or as the bare key of its first version. Default `named`. */
  payloads?: 'named' | 'legacy';
  /** Whether `disconnect-registrant` and `clear-registrants` end streams. Default false: system M's client never closes its own. */
  endOnDisconnect?: boolean;
  /** Bytes of a request's body. Default 1 MiB. */
  maxBody?: number;
  /** How long a body may take. Default 30,000. */
  requestTimeout?: number;
  /** A stream was opened. */
  onConnect?(event: { connection: Connection; client: { id: string; group: string }; returning: boolean; gap: GapReason | null }): void;
  /** A stream ended; `reason` is `null` when the client left. `last`: it was the client's last one. */
  onDisconnect?(event: { connection: Connection; client: { id: string; group: string }; last: boolean; reason: EndReason | null }): void;
  /** A stream's socket took all there is for it. */
  onCaughtUp?(event: { connection: Connection }): void;
  /** A stream missed events, and is told so. */
  onGap?(event: { connection: Connection; reason: GapReason }): void;
  /** A sweep dropped a client. */
  onExpire?(event: { id: string }): void;
}

/** A client as {@link Hub.clients} tells of it. */
export interface ClientInfo {
  group: string;
  id: string;
  /** The user name: what stands before the last `_` of the id. */
  name: string;
  /** When it registered last, in milliseconds since 1970. */
  registered: number;
  /** How many streams it has. */
  streams: number;
  topics: string[];
}

/** A task as {@link Hub.tasks} tells of it. */
export interface TaskStatus {
  task: string;
  status: 'submitted' | 'progress' | 'completed' | 'failed';
  /** JSON of the last progress or the result, empty when there is none; of a failure the reason, as text. */
  detail: string;
}

/** How much there is. */
export interface Usage {
  connections: number;
  clients: number;
  issuedIds: number;
  groups: number;
  topics: number;
  tasks: number;
  logEntries: number;
  logBytes: number;
  /** The WebAssembly memory of all hubs of this process or isolate together. */
  memoryBytes: number;
}

/**
 * A hub: clients, streams, topics, tasks and one bounded history. Everything is synchronous but what reads a request. What cannot be
 * done throws {@link SseError} and changes nothing.
 */
export declare class Hub {
  /** @throws {SseError} `invalid-option`, with the option to blame. */
  constructor(options?: HubOptions);

  /** The path that the routes begin with. */
  readonly prefix: string;
  /** Whether registrations are taken. */
  readonly isOpen: boolean;
  /** The id of the newest event. */
  readonly lastEventId: string;
  /** How much there is now. */
  readonly usage: Usage;

  /**
   * Answers a web request below the prefix; anything else is a 404. A stream is written as its reader reads: what a slow one does
   * not take stays in the history, which is bounded.
   */
  handle(request: Request): Promise<Response>;
  /** Answers a request of node:http, Express, Fastify (`raw`) or http2's compatibility API. What is not below the prefix goes to `next`. */
  node(request: NodeRequest, response: NodeResponse, next?: () => void): Promise<void>;

  /** Publishes an event; its id. */
  publish(to: Target, event: HubEvent): string;
  /** Publishes events in order and under consecutive numbers, none of them if one cannot be; their ids. */
  publishAll(publications: readonly { to: Target; event: HubEvent }[]): string[];
  /** System M's `notify^KEY` to who listens to the key, if need be only of these user names; or to everybody. */
  notify(key: string, options?: { names?: readonly string[]; everybody?: boolean }): string;
  /** The one frame of system M's `trigger-adhoc`. */
  notifyAdHoc(client: ClientRef): string;

  /** Reserves an id for a user name. */
  allocateId(name: string, group?: string): string;
  /** An id that nobody else has, not reserved. */
  newId(name?: string): string;
  /** A stream as a web stream. */
  stream(registration: Registration, options?: { signal?: AbortSignal }): ReadableStream<Uint8Array>;
  /** A stream on a Node response, with these headers. The client is registered before the head leaves. */
  openOn(response: NodeResponse, registration: Registration, headers: { [name: string]: string | readonly string[] }): Connection;
  /** A stream on anything: set `connection.wants` and call {@link fill} when it takes a chunk, {@link left} when its peer is gone. */
  open(registration: Registration, outlet: Outlet): Connection & { wants: boolean };
  /** The outlet takes a chunk. */
  fill(connection: Connection): void;
  /** The peer is gone. Idempotent. */
  left(connection: Connection): void;
  /** Ends a stream. Idempotent. */
  end(connection: Connection): void;
  /** Ends a stream once it was given what was published until now; nothing that is published later is for it. */
  finish(connection: Connection): void;
  /** Who comes and goes is told under `key` from now on, as `listenersChanged` says; to everybody if need be; `null`: to nobody. */
  announce(key: string | null, options?: { everybody?: boolean }): void;

  /** Whether a client is registered, with a stream or without. */
  isRegistered(client: ClientRef): boolean;
  /** Gives up an id, its topics and tasks; true if it was registered. Its streams stay open and silent, unless they are ended. */
  unregister(client: ClientRef, options?: { endStreams?: boolean }): boolean;
  /** Gives up everybody. */
  clear(options?: { endStreams?: boolean }): void;
  /** Drops clients that are too old now. */
  sweep(): void;
  /** True unless the client listened already. */
  listen(client: ClientRef, topic: string): boolean;
  /** True if the client listened. */
  unlisten(client: ClientRef, topic: string): boolean;
  /** The registered clients in the order they first registered. */
  clients(): ClientInfo[];
  /** The open streams of a client, or all. */
  connections(client?: ClientRef): Connection[];

  /** A client submits a task; returns once it was accepted. */
  submitTask(client: ClientRef, task: string, params?: unknown): void;
  /** Tells a client how far its task is; anything that JSON can hold. */
  progress(client: ClientRef, task: string, progress: unknown): void;
  /** A task ended well: every client of the user name is told, the result only to the one that submitted it. */
  complete(client: ClientRef, task: string, result?: unknown): void;
  /** A task ended badly. */
  fail(client: ClientRef, task: string, reason?: string): void;
  /** System M's `notifyCompletions`: tells every client of the user name, whether the task was submitted or not. */
  notifyCompletions(client: ClientRef, task: string): void;
  /** What a client waits for, and what it may not have received yet. */
  tasks(client: ClientRef): TaskStatus[];

  /** Ends all streams, each after what waits for it; who registers from now on is told 204, which a browser takes for good. */
  close(): void;
  /** {@link close}. */
  [Symbol.asyncDispose](): Promise<void>;
  /** Gives the engine's memory back. Nothing can be done with the hub any more. */
  free(): void;
}

/** A hub of one's own: {@link Hub}. */
export declare function createHub(options?: HubOptions): Hub;
