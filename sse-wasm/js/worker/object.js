import { DurableObject } from 'cloudflare:workers';

import { Hub } from '../hub.js';
import { ApiError } from '../hub/answer.js';
import { Admitted } from '../hub/guard.js';
import { webHost } from '../hub/hub.js';
import { SocketOutlet, openSocket, wantsSocket } from './socket.js';
import { Store } from './storage.js';

/** How long an engine that nobody needs is kept, in milliseconds. */
const LINGER = 1000;
/** How much too early an alarm comes at most, in milliseconds, with room to spare. */
const EARLY = 50;
/** What an engine of an object is made with, where nothing else is said: an object shares 128 MB with others. */
const LIMITS = { connections: 10_000, clients: 20_000, topics: 20_000, logBytes: 1 << 20, logEntries: 16_384 };

/**
 * A hub in a Durable Object, with everything in its storage: it may be evicted, killed and started anew at any time.
 *
 * The engine exists while it is needed. It is restored from storage for the first request, and freed when the last stream is
 * gone, or when the Worker holds those that are left: all objects of a class share one memory.
 */
export class SseHubObject extends DurableObject {
  /** Options of the hub, for classes that extend this one. */
  static options = {};

  #store;
  #options;
  #hub = null;
  #requests = 0;
  #alarmAt = null;
  /** While this instance sleeps: when something is due. */
  #sleepsUntil = null;
  #lingering;
  /** By socket, the streams that the Worker holds. */
  #outlets = new Map();

  constructor(context, environment) {
    super(context, environment);
    this.#store = new Store(context.storage);
  }

  /** The hub, restored if need be. Hold it no longer than a call takes. */
  get hub() {
    if (!this.#hub) {
      this.#sleepsUntil = null;
      const options = this.#chosen;
      const limits = { ...LIMITS, ...options.limits };
      // To streams that the Worker holds it sends heartbeats itself: they would wake the object.
      const heartbeat = options.hibernate ? -1 : options.heartbeat;
      this.#hub = new Hub({ ...options, prefix: '/', limits, heartbeat }, this.#host(), new Admitted());
    }
    return this.#hub;
  }

  /** Whether the engine is in memory now. */
  get isAwake() {
    return this.#hub !== null;
  }

  /** Options of the hub, for classes that need `this.env` to tell them. */
  options() {
    return this.constructor.options;
  }

  async fetch(request) {
    this.#requests += 1;
    try {
      const { hub } = this;
      if (!this.#chosen.hibernate) return await hub.handle(request);
      return await hub.handle(request, (registration, head) => this.#open(hub, request, registration, head));
    } catch (error) {
      this.#broken(error);
      return new Response('{"error":"the hub broke down and starts anew; try again"}', {
        status: 503,
        headers: { 'content-type': 'application/json', 'retry-after': '1' },
      });
    } finally {
      this.#requests -= 1;
      this.#linger();
    }
  }

  /** It may come early and twice: the engine knows what is due. */
  async alarm() {
    // Set before it fell asleep, and for nothing.
    if (this.#sleepsUntil > Date.now() + EARLY) return this.#setAlarm(this.#sleepsUntil);
    this.#alarmAt = null;
    this.hub.wake();
  }

  // ---- what the runtime tells of sockets that the Worker has the other ends of

  async webSocketMessage(socket, message) {
    this.#heard(socket, (outlet) => outlet.heard(message));
  }

  async webSocketClose(socket) {
    this.#heard(socket, (outlet) => outlet.left());
    this.#outlets.delete(socket);
  }

  async webSocketError(socket) {
    return this.webSocketClose(socket);
  }

  // ---- for other Workers, by RPC

  async publish(to, event) {
    return this.hub.publish(to, event);
  }

  async publishAll(publications) {
    return this.hub.publishAll(publications);
  }

  async notify(key, options) {
    return this.hub.notify(key, options);
  }

  async progress(client, task, progress) {
    this.hub.progress(client, task, progress);
  }

  async complete(client, task, result) {
    this.hub.complete(client, task, result);
  }

  async fail(client, task, reason) {
    this.hub.fail(client, task, reason);
  }

  async clients() {
    return this.hub.clients();
  }

  async usage() {
    return this.hub.usage;
  }

  get #chosen() {
    return (this.#options ??= this.options());
  }

  #host() {
    return {
      ...webHost,
      epoch: () => this.#store.epoch(new DataView(webHost.entropy(4).buffer).getUint32(0)),
      restore: (engine, hub) => this.#restore(engine, hub),
      idIssued: (now, group, id) => this.#store.keepId(now, group, id),
      idLapsed: () => this.#store.forgetId(),
      flush: (engine) => this.#store.flush(engine),
      broken: (error) => this.#broken(error),
      settled: () => this.#linger(),
      wakeAt: (at) => this.#wakeAt(at),
    };
  }

  #restore(engine, hub) {
    const now = Date.now();
    this.#store.restore(engine, now, this.#chosen.hibernate === true);
    this.#outlets.clear();
    for (const socket of this.ctx.getWebSockets()) this.#outlets.set(socket, SocketOutlet.reopen(hub, socket));
    engine.restored(now);
  }

  /** Opens a stream that the Worker holds. */
  #open(hub, request, registration, head) {
    if (!wantsSocket(request)) {
      throw new ApiError(426, 'this object hibernates: its streams are for a Worker made by createWorker({ hibernate: true })');
    }
    const { outlet, response, socket } = openSocket(this.ctx, hub, registration, head, this.#chosen);
    this.#outlets.set(socket, outlet);
    return response;
  }

  #heard(socket, tell) {
    try {
      // A socket that woke the object is known once the hub is restored.
      const outlet = this.hub && this.#outlets.get(socket);
      if (outlet) tell(outlet);
    } catch (error) {
      this.#broken(error);
    } finally {
      this.#linger();
    }
  }

  /** An alarm that is set already wakes the engine early; then it is set anew. */
  #wakeAt(at) {
    if (at < 0 || (this.#alarmAt !== null && this.#alarmAt <= at)) return;
    this.#setAlarm(Math.max(at, Date.now() + 1));
  }

  #setAlarm(at) {
    this.#alarmAt = at < Infinity ? at : null;
    if (at < Infinity) this.ctx.storage.setAlarm(at);
    else this.ctx.storage.deleteAlarm();
  }

  #linger() {
    clearTimeout(this.#lingering);
    this.#lingering = setTimeout(() => {
      if (this.#requests === 0 && this.#hub && this.#isIdle()) this.#sleep();
    }, LINGER);
  }

  /** Whether nobody needs the engine: no function is at work, and no stream hangs on it that the next engine cannot go on with. */
  #isIdle() {
    return !this.#hub.isAtWork && this.#hub.connections().every(({ outlet }) => outlet.isKept);
  }

  /** Gives the engine's memory back until there is a request, or something is due. */
  #sleep() {
    const at = this.#hub.dueAt;
    this.#hub.release();
    this.#hub = null;
    this.#sleepsUntil = at < 0 ? Infinity : at;
    this.#setAlarm(this.#sleepsUntil);
  }

  /** A trap leaves an engine that cannot be used, or freed. What it knew is in storage. */
  #broken(error) {
    console.error('the engine broke down and is built anew', error);
    const hub = this.#hub;
    this.#hub = null;
    try {
      hub?.free();
    } catch {
      // Its memory is lost with it.
    }
  }
}
