// The hub: one engine, the streams that hang on it, and the time it waits for.
//
// It decides nothing about Server-Sent Events: it tells the engine what the application wants and what happened, and does what
// the engine says. Streams are outlets: see streams.js for web streams and node.js for Node's responses.
import { Hub as Engine, memoryBytes } from '../engine.js';
import { SseError } from '../errors.js';
import { choose, engineOptions } from './options.js';
import { Tasks } from './tasks.js';
import { clientOf, eventOf, jsonOf, nameOf, namesOf, targetOf } from './values.js';

/** Streams written before other work has its turn. */
const OUTPUTS = 512;
/** Comings and goings within this time are told as one, in milliseconds. */
const COALESCE = 20;
/** What setTimeout takes at most. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Bits of what the engine's `register` takes as `how`. */
const GREETINGS = ['connected', 'registered', 'none', 'silent'];
const DIALECTS = ['named', 'manager'];
const DIALECT = 4;
const REPLACE = 8;
const PASSING = 16;

const WRITE = 1;
const CLOSE = 2;
const GAP = 3;
const EXPIRED = 4;
const UNUSED = 5;

const NEW_CHUNK = 2;

/** One open stream, as the hub and its outlet share it. */
class Connection {
  constructor(handle, client, outlet, metadata) {
    this.handle = handle;
    this.group = client.group;
    this.id = client.id;
    this.outlet = outlet;
    this.metadata = metadata;
    /** The outlet takes more: it says so itself, by setting this and calling {@link EngineHub.fill}. */
    this.wants = false;
  }
}

export class EngineHub {
  /** The engine, until it is freed. */
  #live;
  #connections = new Map();
  #tasks;
  #host;
  #callbacks;
  #announced;
  #bare;
  #chunk = null;
  #timer;
  #dueAt = -1;
  #scheduled = false;
  #changed = false;
  #quiet = false;
  #closed = false;

  /**
   * `host` brings what the engine lacks: time and entropy, and for Durable Objects a timer, storage, and streams that are open
   * already.
   */
  constructor(options = {}, host = webHost) {
    const numbers = engineOptions(options);
    this.#host = host;
    /** After how long a peer that takes nothing is given up, in milliseconds. */
    this.writeStall = options.writeStall ?? 30_000;
    this.#callbacks = options;
    this.announce(options.listenersChanged === undefined ? 'listeners-changed' : options.listenersChanged);
    this.#bare = options.payloads === 'legacy';
    this.#tasks = new Tasks(this, options.tasks ?? {}, options.runningTasks ?? 1024);
    this.#live = makeEngine(numbers, host);
    if (!host.restore) return;
    host.restore(this.#live, this);
    // Who wakes a hub only to look at it leaves what is due to it.
    this.#turn();
  }

  /** Whether registrations are taken. */
  get isOpen() {
    return !this.#closed;
  }

  get lastEventId() {
    return this.#engine.lastEventId();
  }

  get usage() {
    const [connections, clients, issuedIds, groups, topics, tasks, logEntries, logBytes] = this.#engine.usage();
    // The memory is that of all hubs that share it: those of one process or isolate.
    return { connections, clients, issuedIds, groups, topics, tasks, logEntries, logBytes, memoryBytes: memoryBytes() };
  }

  // ---- who receives

  allocateId(name, group = '') {
    this.#checkOpen();
    return this.#verb((engine, now) => {
      const { issuedIds } = this.usage;
      const id = engine.allocateId(now, nameOf(group, 'group'), nameOf(name, 'name'), this.#host.entropy(32));
      if (this.usage.issuedIds === issuedIds) this.#host.idLapsed?.();
      this.#host.idIssued?.(now, group, id);
      return id;
    });
  }

  newId(name) {
    return this.#engine.newId(name == null ? undefined : nameOf(name, 'name'), this.#host.entropy(64));
  }

  /** Opens a stream whose bytes go into `outlet`. The client is registered when this returns. */
  open(registration, outlet) {
    this.#checkOpen();
    if (typeof outlet?.write !== 'function' || typeof outlet.end !== 'function') {
      throw new SseError('invalid-outlet', 'an outlet must have the functions write and end');
    }
    const { name, lastEventId, greeting = 'connected', dialect = 'named' } = registration;
    const client = clientOf(registration.client ?? this.newId(name));
    const how =
      choose('greeting', GREETINGS, greeting) |
      (choose('dialect', DIALECTS, dialect) * DIALECT) |
      (registration.replace ? REPLACE : 0) |
      (registration.passing ? PASSING : 0);
    const topics = namesOf(registration.topics, 'topic') ?? [];
    const from = lastEventId == null ? undefined : nameOf(lastEventId, 'lastEventId');
    const handle = this.#verb((engine, now) => engine.register(now, client.group, client.id, topics, from, how));
    const gap = this.#engine.said.reason || null;
    const returning = this.#engine.said.returning;
    const connection = new Connection(handle, client, outlet, registration.metadata);
    this.#connections.set(handle, connection);
    if (!returning) this.#comeOrGo();
    this.#tell('onConnect', { connection, client, returning, gap });
    return connection;
  }

  /** What {@link reopen} goes on with in another hub of the same storage. */
  recordOf({ group, id }, { dialect }) {
    return { group, id, ordinal: this.#engine.ordinal(group, id), dialect };
  }

  /**
   * Opens a stream again that was caught up when the hub before this one was released. `null` when its client was given up: nothing is
   * for it any more.
   */
  reopen({ group, id, ordinal, dialect }, outlet) {
    const handle = this.#engine.restoreStream(this.#host.now(), group, id, ordinal, dialect === 'manager');
    if (handle < 0) return null;
    const connection = new Connection(handle, { group, id }, outlet);
    this.#connections.set(handle, connection);
    return connection;
  }

  isRegistered(client) {
    const { group, id } = clientOf(client);
    return this.#engine.isRegistered(group, id);
  }

  unregister(client, { endStreams = false } = {}) {
    const { group, id } = clientOf(client);
    const known = this.#verb((engine, now) => engine.unregister(now, group, id, endStreams));
    this.#comeOrGo();
    return known;
  }

  clear({ endStreams = false } = {}) {
    this.#verb((engine, now) => {
      engine.clear(now, endStreams);
      // What comes after it is not cleared with it.
      this.#host.flush?.(engine);
    });
    this.#comeOrGo();
  }

  sweep() {
    this.#verb((engine, now) => engine.sweep(now));
  }

  listen(client, topic) {
    const { group, id } = clientOf(client);
    return this.#verb((engine, now) => engine.listen(now, group, id, nameOf(topic, 'topic')));
  }

  unlisten(client, topic) {
    const { group, id } = clientOf(client);
    return this.#verb((engine, now) => engine.unlisten(now, group, id, nameOf(topic, 'topic')));
  }

  clients() {
    return this.#engine.clients();
  }

  /** The open streams of a client, or all there are. */
  connections(client) {
    if (client === undefined) return [...this.#connections.values()];
    const { group, id } = clientOf(client);
    return Array.from(this.#engine.streams(group, id), (handle) => this.#connections.get(handle));
  }

  // ---- what they receive

  publish(target, event) {
    return this.publishAll([{ to: target, event }])[0];
  }

  publishAll(publications) {
    this.#checkOpen();
    if (!Array.isArray(publications)) throw new SseError('invalid-field', 'publications must be an array of { to, event }');
    try {
      publications.forEach((one, index) => blame(index, '', () => this.#prepare(one?.to, one?.event)));
      const unknown = this.#engine.firstUnknown();
      if (unknown >= 0) {
        throw Object.assign(new SseError('unknown-client', 'no client is registered under this id; register first'), { index: unknown });
      }
    } catch (error) {
      this.#engine.discard();
      throw error;
    }
    const last = blame(undefined, 'to', () => this.#verb((engine, now) => engine.publish(now)));
    const first = last - publications.length + 1;
    return publications.map(({ event }, index) => event?.id ?? this.#engine.eventId(first + index));
  }

  /** Tells those who listen to `key`, of these only the ones with one of these user names; or everybody, whatever they listen to. */
  notify(key, { names, everybody = false } = {}) {
    const told = [nameOf(key, 'key'), namesOf(names, 'name')];
    const number = this.#verb((engine, now) => engine.notify(now, ...told, this.#bare, everybody));
    return this.#engine.eventId(number);
  }

  /** Who comes and goes is told under `key`, as {@link notify} does; under none, nobody is told. */
  announce(key, { everybody = false } = {}) {
    this.#announced = key ? { key, everybody } : null;
  }

  notifyAdHoc(client) {
    const { group, id } = clientOf(client);
    const number = this.#verb((engine, now) => engine.notifyAdHoc(now, group, id, this.#bare));
    return this.#engine.eventId(number);
  }

  // ---- tasks

  submitTask(client, task, params = null) {
    this.#engine.checkTask(nameOf(task, 'task'));
    this.#tasks.submit(clientOf(client), task, params, (submit) => this.#verb(submit));
  }

  /** `json` is sent as it is. */
  progressJson(client, task, json) {
    const { group, id } = clientOf(client);
    this.#verb((engine, now) => engine.progress(now, group, id, nameOf(task, 'task'), json));
  }

  progress(client, task, progress) {
    this.progressJson(client, task, progress === undefined ? 'null' : jsonOf(progress, 'progress'));
  }

  completeJson(client, task, json) {
    const { group, id } = clientOf(client);
    this.#verb((engine, now) => engine.complete(now, group, id, nameOf(task, 'task'), false, json));
  }

  complete(client, task, result) {
    this.completeJson(client, task, result == null ? undefined : jsonOf(result, 'result'));
  }

  fail(client, task, reason = '') {
    const { group, id } = clientOf(client);
    this.#verb((engine, now) => engine.complete(now, group, id, nameOf(task, 'task'), true, String(reason)));
  }

  notifyCompletions(client, task) {
    const { group, id } = clientOf(client);
    this.#verb((engine, now) => engine.notifyCompletions(now, group, id, nameOf(task, 'task')));
  }

  /** Each with `detail` as the JSON it came as; the reason of a failure is text. */
  tasks(client) {
    const { group, id } = clientOf(client);
    const rows = this.#engine.tasksOf(group, id);
    return Array.from({ length: rows.length / 3 }, (_, index) => {
      const [task, status, detail] = rows.slice(3 * index, 3 * index + 3);
      return { task, status, detail };
    });
  }

  // ---- the end

  /** Ends all streams, each after what waits for it, and refuses registrations from now on. */
  close() {
    this.#closed = true;
    if (this.#live) this.#verb((engine, now) => engine.drain(now, 0, 0));
  }

  async [Symbol.asyncDispose]() {
    this.close();
  }

  /**
   * Gives the engine's memory back; nothing can be done with this hub any more. Streams that are open fail, so that their clients
   * come back.
   */
  free() {
    const connections = [...this.#connections.values()];
    try {
      this.release();
    } finally {
      for (const { outlet } of connections) outlet.end('broken');
    }
  }

  /** As {@link free}, but streams stay open for another hub to {@link reopen}. */
  release() {
    const engine = this.#live;
    this.#live = null;
    this.#closed = true;
    this.#connections.clear();
    this.#host.wakeAt(-1, this.#timer, null);
    engine?.free();
  }

  // ---- streams

  /** The outlet takes more: gives it what there is. Synchronous; the outlet is asked again for each chunk. */
  fill(connection) {
    if (!this.#live) return;
    this.#host.flush?.(this.#engine);
    this.#give(connection);
    // If that was its last, it ends now: a timer keeps no process alive.
    this.#turn();
  }

  #give(connection) {
    while (connection.wants && this.#connections.has(connection.handle)) {
      const made = this.#engine.transmit(this.#host.now(), connection.handle);
      if (made === 0) break;
      if (made === NEW_CHUNK) this.#chunk = this.#engine.chunk();
      connection.wants = false;
      // All streams that have the same to say share a chunk: outlets do not change it.
      connection.outlet.write(this.#chunk, connection);
    }
    if (this.#callbacks.onCaughtUp && connection.wants && this.#engine.isCaughtUp(connection.handle)) {
      this.#tell('onCaughtUp', { connection });
    }
  }

  /** The peer is gone. Whoever finds out first says so; the others change nothing. */
  left(connection) {
    if (!this.#connections.delete(connection.handle)) return;
    const last = this.#engine.handleDisconnect(this.#host.now(), connection.handle) === 2;
    this.#gone(connection, last, null);
    this.#turn();
  }

  /** Ends a stream at once, as if its peer had left. */
  end(connection) {
    if (!this.#connections.has(connection.handle)) return;
    this.left(connection);
    connection.outlet.end('ended');
  }

  /** Ends a stream once it was given what was published until now; nothing that is published later is for it. */
  finish(connection) {
    this.#verb((engine, now) => engine.finish(now, connection.handle));
  }

  /** Whether a stream was given everything there is for it. */
  isCaughtUp(connection) {
    return this.#engine.isCaughtUp(connection.handle);
  }

  /** Whether functions do tasks now. */
  get isAtWork() {
    return this.#tasks.running > 0;
  }

  /** When {@link wake} is due; negative for never. */
  get dueAt() {
    return this.#engine.pollTimeout();
  }

  /** It is time. Early, late, or twice: the engine knows what is due. */
  wake() {
    if (!this.#live) return;
    this.#dueAt = -1;
    this.#engine.handleTimeout(this.#host.now());
    this.#turn();
  }

  // ---- between engine and outlets

  get #engine() {
    if (!this.#live) throw closed();
    return this.#live;
  }

  /** Something the application wants; what follows from it is done once the caller has finished. */
  #verb(operation) {
    try {
      return operation(this.#engine, this.#host.now());
    } finally {
      this.#turn();
    }
  }

  /** Several publications in a row leave in one chunk. */
  #turn() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#drain());
  }

  #drain() {
    this.#scheduled = false;
    if (!this.#live) return;
    try {
      this.#carryOutAll();
    } catch (error) {
      if (!this.#host.broken) throw error;
      this.#host.broken(error);
    }
  }

  #carryOutAll() {
    if (this.#changed && !this.#quiet) this.#announce();
    // What will be sent is written down first, where it is written down.
    this.#host.flush?.(this.#engine);
    for (let outputs = 0; ; outputs++) {
      if (outputs === OUTPUTS) {
        this.#scheduled = true;
        this.#host.soon(() => this.#drain());
        return;
      }
      const output = this.#engine.pollOutput();
      if (output === 0) break;
      this.#carryOut(output);
    }
    this.#host.flush?.(this.#engine);
    this.#arm();
    this.#host.settled?.();
  }

  #carryOut(output) {
    if (output === WRITE) {
      const connection = this.#connections.get(this.#engine.said.conn);
      if (connection) this.#give(connection);
    } else if (output === CLOSE) {
      const connection = this.#connections.get(this.#engine.said.conn);
      const [reason, last] = [this.#engine.said.reason, this.#engine.said.last];
      if (!connection) return;
      this.#connections.delete(connection.handle);
      connection.outlet.end(reason);
      this.#gone(connection, last, reason);
    } else if (output === GAP) {
      const connection = this.#connections.get(this.#engine.said.conn);
      if (connection) this.#tell('onGap', { connection, reason: this.#engine.said.reason });
    } else if (output === EXPIRED) {
      this.#comeOrGo();
      this.#tell('onExpire', { id: this.#engine.said.id });
    } else if (output === UNUSED) {
      this.#host.idLapsed?.();
    }
  }

  #gone(connection, last, reason) {
    const { group, id } = connection;
    if (last && !this.#engine.isRegistered(group, id)) this.#comeOrGo();
    this.#tell('onDisconnect', { connection, client: { group, id }, last, reason });
  }

  #prepare(to, event) {
    const { kind, name, group, handles } = targetOf(to);
    const { event: type, data, id, retry, comment } = eventOf(event);
    this.#engine.prepare(kind, name, group, handles, type, data, id, retry, comment);
  }

  #comeOrGo() {
    if (!this.#announced) return;
    this.#changed = true;
    this.#turn();
  }

  #announce() {
    this.#changed = false;
    this.#quiet = true;
    this.#host.later(COALESCE, () => {
      this.#quiet = false;
      if (this.#changed && this.#live) this.#turn();
    });
    const { key, everybody } = this.#announced ?? {};
    if (key && (everybody ? this.#connections.size > 0 : this.#engine.hasListeners(key))) {
      this.#engine.notify(this.#host.now(), key, undefined, this.#bare, everybody);
    }
  }

  #tell(what, told) {
    this.#callbacks[what]?.(told);
  }

  #checkOpen() {
    if (this.#closed) throw closed();
  }

  #arm() {
    const at = this.#engine.pollTimeout();
    if (at === this.#dueAt) return;
    this.#dueAt = at;
    this.#timer = this.#host.wakeAt(at, this.#timer, () => this.wake());
  }
}

/** What every host has: a clock, entropy, and timers that keep no process alive. */
export const webHost = {
  now: () => Date.now(),
  entropy: (length) => crypto.getRandomValues(new Uint8Array(length)),
  soon: (work) => setTimeout(work, 0),
  later(delay, work) {
    setTimeout(work, delay).unref?.();
  },
  /** Calls `wake` at `at`, and no longer at what `timer` stands for. A negative time is never. */
  wakeAt(at, timer, wake) {
    clearTimeout(timer);
    if (at < 0) return undefined;
    const next = setTimeout(wake, Math.min(Math.max(at - Date.now(), 0), LONGEST_TIMER));
    next.unref?.();
    return next;
  },
};

function makeEngine(numbers, host) {
  const epoch = host.epoch?.() ?? new DataView(host.entropy(4).buffer).getUint32(0);
  return new Engine(numbers, epoch, host.entropy(16));
}

function closed() {
  return new SseError('closed', 'the hub is closed');
}

/** Says which of several publications is to blame. */
function blame(index, fallback, operation) {
  try {
    return operation();
  } catch (error) {
    if (error instanceof SseError) error.index ??= index ?? 0;
    if (error instanceof SseError && index === undefined) error.field = fallback;
    throw error;
  }
}
