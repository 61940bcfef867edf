import { SseError } from './errors.js';
import { EventSource } from './event-source.js';
import { Queue } from './queue.js';

/** By `readyState`. */
const STATES = ['Connecting', 'Open', 'Closed'];

/** As many calls wait for a registration, and as many messages for who iterates. */
const WAITING = 1024;

/** A client of the hub under an id of its own: keys it listens to, tasks it waits for. */
export class ServerEventClient {
  #id;
  #base;
  #callbacks;
  #options;
  #source;
  #registered = false;
  /** Calls that wait for the registration. */
  #calls = [];
  #keys = new Set();
  #tasks = new Set();
  #readers = new Set();
  #closed;

  static async create(name, base, callbacks = {}, options = {}) {
    const { prefix = '/sse/', ...others } = typeof options === 'string' ? { prefix: options } : options;
    if (!/^\/(.*\/)?$/.test(prefix)) throw new SseError('invalid-option', 'prefix: it must begin and end with /', 'prefix');
    if (typeof base !== 'string') throw new SseError('invalid-option', 'base: the address of the hub is expected, as a string', 'base');
    const client = new ServerEventClient(`${base.replace(/\/$/, '')}${prefix}`, callbacks, others);
    const response = await client.#ask('GET', `make-id/${encodeURIComponent(name)}`);
    client.#id = (await response.text()).trim();
    client.#open();
    return client;
  }

  /** @private Use {@link ServerEventClient.create}. */
  constructor(base, callbacks, options) {
    this.#base = base;
    this.#callbacks = callbacks;
    this.#options = options;
  }

  get id() {
    return this.#id;
  }

  get readyState() {
    return this.#source.readyState;
  }

  get keys() {
    return [...this.#keys];
  }

  get pendingTasks() {
    return [...this.#tasks];
  }

  async listen(key) {
    await this.#whenRegistered((id) => this.#ask('PUT', `listen/${id}/${encodeURIComponent(key)}`));
    this.#keys.add(key);
  }

  async submitTask(task, parameters) {
    const body = parameters === undefined ? undefined : JSON.stringify(parameters);
    const isNew = !this.#tasks.has(task);
    // Before the call: its end may be told before the call is answered.
    this.#tasks.add(task);
    try {
      await this.#whenRegistered((id) => this.#ask('PUT', `submit-task/${id}/${encodeURIComponent(task)}`, body));
    } catch (error) {
      if (isNew) this.#tasks.delete(task);
      throw error;
    }
  }

  async disconnect() {
    if (this.#closed) return true;
    this.#end(new SseError('closed', 'the client was disconnected'));
    let wasTold = true;
    try {
      await this.#ask('GET', `disconnect-registrant/${encodeURIComponent(this.#id)}`);
    } catch {
      wasTold = false;
    }
    this.#callbacks.sseClosed?.();
    return wasTold;
  }

  notifications(key) {
    return this.#queue((message) => message.kind === 'notify' && (key === undefined || message.key === key));
  }

  completions(task) {
    return this.#queue((message) => message.kind === 'completed' && (task === undefined || message.task === task));
  }

  [Symbol.asyncIterator]() {
    return this.#queue(() => true);
  }

  #open() {
    const { fetch, headers, withCredentials, signal, ...others } = this.#options;
    const url = `${this.#base}register-listener/${encodeURIComponent(this.#id)}`;
    const lastEventId = this.#source?.lastEventId;
    const retry = { first: 1000, statuses: true, ...others.retry };
    const source = new EventSource(url, { fetch, headers, withCredentials, signal, lastEventId, ...others, retry });
    this.#source = source;
    source.onopen = () => this.#callbacks.sseOpened?.(source.readyState, STATES[source.readyState]);
    source.onerror = (event) => this.#interrupted(event);
    source.onmessage = ({ data }) => this.#take(data);
    source.addEventListener('gap', ({ data }) => this.#tell({ kind: 'gap', data }));
  }

  #interrupted(event) {
    this.#registered = false;
    const { readyState } = this.#source;
    if (readyState === EventSource.CLOSED) this.#end(Object.assign(new SseError(event.code, event.message), { status: event.status }));
    this.#callbacks.sseError?.(readyState, STATES[readyState], event);
  }

  #take(data) {
    const message = parse(data);
    const { sseRegistered, sseNotify, sseTaskCompleted, sseCompleted } = this.#callbacks;
    if (message.kind === 'registered') {
      this.#registeredAgain();
      sseRegistered?.(this.#id);
    } else if (message.kind === 'notify') {
      sseNotify?.(message.key);
    } else if (message.kind === 'completed') {
      this.#tasks.delete(message.task);
      sseTaskCompleted?.(message.task);
      sseCompleted?.(message.task);
    }
    this.#tell(message);
  }

  #tell(message) {
    for (const [queue, wants] of this.#readers) if (wants(message)) queue.put(message);
  }

  /** The hub knows the id; whether it still knows the keys it does not say. */
  async #registeredAgain() {
    const source = this.#source;
    try {
      for (const key of this.#keys) await this.#ask('PUT', `listen/${encodeURIComponent(this.#id)}/${encodeURIComponent(key)}`);
    } catch (error) {
      // The next registration restores them, if this one is over by now. Who left on purpose has none.
      if (!this.#closed) this.#callbacks.sseError?.(source.readyState, STATES[source.readyState], error);
    }
    if (this.#closed || source !== this.#source || source.readyState !== EventSource.OPEN) return;
    this.#registered = true;
    for (const call of this.#calls.splice(0)) call.resolve();
  }

  /** Makes a call once the client is registered. A hub that does not know the id, because it lost or dropped it, is given it again. */
  async #whenRegistered(call) {
    const id = encodeURIComponent(this.#id);
    await this.#registration();
    try {
      return await call(id);
    } catch (error) {
      if (error.status !== 404 || this.#closed || (await this.#isKnown(id))) throw error;
      this.#registered = false;
      this.#source.close();
      this.#open();
      await this.#registration();
      return call(id);
    }
  }

  /** Whether 404 was about something else than the id. */
  #isKnown(id) {
    return this.#ask('GET', `tasks/${id}`).then(() => true, () => false);
  }

  #registration() {
    if (this.#closed) return Promise.reject(this.#closed);
    if (this.#registered) return Promise.resolve();
    if (this.#calls.length >= WAITING) {
      return Promise.reject(new SseError('full', `${WAITING} calls wait for a connection already; wait for some of them`));
    }
    return new Promise((resolve, reject) => { this.#calls.push({ resolve, reject }); });
  }

  #queue(wants) {
    const entry = [new Queue({ limit: WAITING, onLeft: () => this.#readers.delete(entry) }), wants];
    if (this.#closed) entry[0].end();
    else this.#readers.add(entry);
    return entry[0];
  }

  #end(error) {
    if (this.#closed) return;
    this.#closed = error;
    this.#source.close();
    for (const call of this.#calls.splice(0)) call.reject(error);
    for (const [queue] of this.#readers) queue.end(error.code === 'closed' ? undefined : error);
    this.#readers.clear();
  }

  async #ask(method, path, body) {
    const { fetch = globalThis.fetch, headers, withCredentials } = this.#options;
    const sent = new Headers(headers);
    if (body !== undefined) sent.set('content-type', 'application/json');
    const credentials = withCredentials ? { credentials: 'include' } : {};
    let response;
    try {
      response = await fetch.call(globalThis, this.#base + path, { method, body, headers: sent, ...credentials });
    } catch (cause) {
      throw Object.assign(new SseError('failed', `${method} ${route(path)}: the hub could not be reached`), { cause });
    }
    if (response.ok) return response;
    const { status } = response;
    throw Object.assign(new SseError('status', `${method} ${route(path)}: ${await said(response)}`), { status });
  }
}

if (Symbol.asyncDispose) {
  ServerEventClient.prototype[Symbol.asyncDispose] = async function () {
    await this.disconnect();
  };
}

/** What a frame of system M says: a JSON string of `kind^payload`. */
function parse(data) {
  let text = data;
  try {
    text = JSON.parse(data);
  } catch {
    // A plain text, from an application of its own.
  }
  const [, kind, payload] = /^([a-z]+)\^(.*)$/s.exec(text) ?? [];
  if (kind === 'registered') return { kind, id: payload };
  if (kind === 'notify') return { kind, key: payload };
  if (kind === 'completed') return completed(payload) ?? { kind: 'message', data };
  return { kind: 'message', data };
}

function completed(payload) {
  try {
    const { taskid: task, id, timestamp } = JSON.parse(payload);
    return { kind: 'completed', task, id, timestamp };
  } catch {
    return undefined;
  }
}

/** The reason in an answer of the hub. */
async function said(response) {
  const text = (await response.text()).slice(0, 500);
  try {
    return JSON.parse(text).error;
  } catch {
    return `the hub answered ${response.status} ${text}`;
  }
}

/** A path without the id in it, which is nobody else's business. */
function route(path) {
  return path.split('/', 1)[0];
}
