import { SseError } from './errors.js';
import { bytesOf, checkSignal } from './events.js';
import {
  CLOSE, CONNECT, DEADLINE, DELAY, ENDED, FAILED, Follower, NOTHING, OPENED, TIME_PASSED, UNSENDABLE, WAITING, now,
} from './follower.js';
import { CLOSED, CONNECTING, OPEN, likeEventSource, resolve } from './like-event-source.js';
import { Queue } from './queue.js';

/** Longer than this no timer of a host runs; it is set again then. */
const FAR = 2 ** 31 - 1;

/** As many events wait for who iterates before no more is read from the connection. */
const WAITING_EVENTS = 256;

/** What `fetch` can ask for. Another attempt at anything else would end the same. */
const SCHEMES = /^(https?|blob|data):/;

/** What happened to a connection, by the machine's numbers. */
const INTERRUPTIONS = [
  ['ended', 'the server ended the stream'],
  ['failed', 'the connection failed'],
  ['no-answer', 'the server did not answer in time'],
  ['silent', 'nothing came for too long'],
  ['status', 'the server answered'],
];

/** Why it is over, likewise. */
const CLOSINGS = [
  ['closed', 'closed'],
  ['unsendable', 'the request cannot be sent'],
  ['no-content', 'the server answered 204: there is nothing more to come'],
  ['status', 'the server answered'],
  ['content-type', 'the server’s answer is not an event stream'],
  ['redirect', 'the server redirects, but not to a URL: it answered'],
  ['redirect', 'the server redirects without end'],
  ['attempts', 'no attempts are left'],
  ['over', ''],
];
const NO_CONTENT = 2;
const ATTEMPTS = 7;
const OVER = 8;

/** Why an {@link EventSource} has no connection. */
export class EventSourceErrorEvent extends Event {
  constructor({ code, message, status, delay, cause }) {
    super('error');
    Object.assign(this, { code, message, status, delay, cause });
  }
}

/** Follows an event stream as browsers do, over `fetch`. */
export class EventSource extends EventTarget {
  #url;
  #withCredentials;
  #request;
  #fetch;
  #follower;
  #liveness;
  #readyState = CONNECTING;
  /** Ends the request under way, if there is one; what an earlier one still says is not listened to. */
  #connection;
  #origin = '';
  /** What the host said of the connection that failed. */
  #cause;
  #timer;
  #readers = new Set();
  /** Goes on reading, once those who iterate have taken what waits. */
  #resume;
  #ending = {};
  #unlisten;

  constructor(url, options = {}) {
    super();
    const {
      withCredentials = false, headers, method = 'GET', body, fetch = globalThis.fetch, signal, retry = {}, timeout, liveness, reconnect,
      lastEventId, remember, maxLine, maxEvent, onLost, onComment, onRetry,
    } = options ?? {};
    this.#url = resolve(url);
    this.#withCredentials = Boolean(withCredentials);
    this.#request = { method, headers: new Headers(headers), body };
    // Without, it is `same-origin`; Workers have no such thing, and refuse to hear of it.
    if (withCredentials) this.#request.credentials = 'include';
    this.#fetch = fetch;
    this.#liveness = liveness;
    checkSignal(signal);
    if (typeof fetch !== 'function') throw new SseError('invalid-option', 'the option fetch must be a function', 'fetch');
    const policy = Object.fromEntries(Object.entries(retry).map(([name, value]) => [`retry.${name}`, value]));
    const numbers = { ...policy, timeout, liveness, reconnect, remember };
    const report = { lost: onLost, comment: onComment, retry: onRetry };
    this.#follower = new Follower({ ...numbers, maxLine, maxEvent, lastEventId }, report);
    if (signal?.aborted) {
      this.close();
    } else if (signal) {
      const close = () => this.close();
      signal.addEventListener('abort', close, { once: true });
      this.#unlisten = () => signal.removeEventListener('abort', close);
    }
    // Whoever constructs it adds listeners first.
    queueMicrotask(() => this.#drive());
  }

  get url() {
    return this.#url;
  }

  get withCredentials() {
    return this.#withCredentials;
  }

  get readyState() {
    return this.#readyState;
  }

  get lastEventId() {
    return this.#follower.lastEventId;
  }

  close() {
    if (this.#readyState === CLOSED) return;
    this.#follower.tell(now(), CLOSE);
    this.#end();
  }

  [Symbol.asyncIterator]() {
    const queue = new Queue({ onTaken: () => this.#resume?.(), onLeft: (left) => this.#readers.delete(left) });
    if (this.#readyState === CLOSED) queue.end(this.#ending.error);
    else this.#readers.add(queue);
    return queue;
  }

  get [Symbol.toStringTag]() {
    return 'EventSource';
  }

  /** Does what the machine says, until there is nothing to do but to wait. */
  #drive() {
    while (this.#readyState !== CLOSED) {
      const output = this.#follower.poll();
      const what = output & 15;
      if (what === NOTHING) return this.#arm();
      if (what === CONNECT) this.#connect();
      else if (what === OPENED) this.#open();
      else if (what === WAITING) this.#interrupt(output);
      else this.#close(output);
    }
  }

  #tell(what) {
    if (this.#readyState === CLOSED) return;
    this.#follower.tell(now(), what);
    this.#drive();
  }

  #arm(atLeast = 1) {
    clearTimeout(this.#timer);
    const deadline = this.#follower.time(DEADLINE);
    // Who does not read cannot tell silence from what is not read.
    if (deadline < 0 || this.#resume) return;
    const wait = Math.max(atLeast, Math.ceil(deadline - now()));
    this.#timer = setTimeout(() => this.#tell(TIME_PASSED), Math.min(wait, FAR));
  }

  #connect() {
    this.#drop();
    this.#cause = undefined;
    const connection = new AbortController();
    this.#connection = connection;
    this.#follow(connection).catch((error) => {
      if (connection !== this.#connection) return;
      this.#cause = error;
      this.#tell(FAILED);
    });
  }

  /** One connection, from the request to the end of its body. */
  async #follow(connection) {
    let init;
    try {
      init = this.#init(connection.signal);
    } catch (error) {
      this.#cause = error;
      queueMicrotask(() => this.#tell(UNSENDABLE));
      return;
    }
    const response = await this.#fetch.call(globalThis, this.#url, init);
    if (connection === this.#connection) this.#respond(response);
    if (connection !== this.#connection || this.#readyState !== OPEN) {
      await response.body?.cancel();
      return;
    }
    if (response.body) await this.#read(response.body.getReader(), connection);
    if (connection === this.#connection) this.#tell(ENDED);
  }

  #init(signal) {
    if (!SCHEMES.test(this.#url)) throw new TypeError(`an event stream cannot be asked for at ${this.#url}`);
    const { body, ...request } = this.#request;
    const headers = new Headers(request.headers);
    if (!headers.has('accept')) headers.set('accept', 'text/event-stream');
    if (this.lastEventId !== '') headers.set('last-event-id', inBytes(this.lastEventId));
    // `no-store` sends Cache-Control: no-cache, which as a header of ours other origins would have to allow.
    const init = { ...request, headers, signal, cache: 'no-store', redirect: 'follow' };
    if (body === undefined) return init;
    init.body = typeof body === 'function' ? body() : body;
    return init.body instanceof ReadableStream ? { ...init, duplex: 'half' } : init;
  }

  #respond(response) {
    this.#origin = new URL(response.url || this.#url).origin;
    const retryAfter = response.headers.get('retry-after') ?? '';
    // The machine reads the form in seconds; a date takes a calendar.
    const until = /[a-z]/i.test(retryAfter) ? Math.max(0, Date.parse(retryAfter) - Date.now()) : NaN;
    const contentType = response.headers.get('content-type') ?? '';
    this.#follower.respond(now(), response.status, contentType, retryAfter, Number.isNaN(until) ? -1 : until);
    this.#drive();
  }

  async #read(reader, connection) {
    // Also where a fetch that was given does not look at the signal.
    connection.signal.addEventListener('abort', () => reader.cancel().catch(() => {}), { once: true });
    for (;;) {
      const { done, value } = await reader.read();
      if (done || connection !== this.#connection) return;
      for (const event of this.#follower.decode(now(), bytesOf(value))) {
        this.#dispatch(event);
        if (connection !== this.#connection) return;
      }
      this.#drive();
      while (this.#readyState === OPEN && [...this.#readers].some((queue) => queue.waiting >= WAITING_EVENTS)) await this.#pause();
    }
  }

  async #pause() {
    clearTimeout(this.#timer);
    await new Promise((resume) => { this.#resume = resume; });
    this.#resume = undefined;
    if (this.#readyState === OPEN) this.#arm(this.#liveness);
  }

  #dispatch(event) {
    for (const queue of this.#readers) queue.put(event);
    const { type, data, lastEventId } = event;
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId, origin: this.#origin }));
  }

  #open() {
    this.#readyState = OPEN;
    this.dispatchEvent(new Event('open'));
  }

  #interrupt(output) {
    this.#drop();
    this.#readyState = CONNECTING;
    const delay = this.#follower.time(DELAY);
    this.dispatchEvent(new EventSourceErrorEvent({ ...told(INTERRUPTIONS, output >>> 8, output), delay, cause: this.#cause }));
  }

  #close(output) {
    const kind = output >>> 4 & 15;
    const last = told(INTERRUPTIONS, output >>> 8, output);
    const why = kind === OVER ? last : told(CLOSINGS, kind, output);
    if (kind === ATTEMPTS) why.message += `: ${last.message}`;
    const event = new EventSourceErrorEvent({ ...why, cause: this.#cause });
    const isWanted = kind === NO_CONTENT || (kind === OVER && why.code === 'ended');
    this.#end(isWanted ? undefined : Object.assign(new SseError(why.code, why.message), { status: why.status, cause: this.#cause }));
    this.dispatchEvent(event);
  }

  #end(error) {
    this.#readyState = CLOSED;
    this.#ending = { error };
    clearTimeout(this.#timer);
    this.#unlisten?.();
    this.#drop();
    this.#follower.free();
    for (const queue of this.#readers) queue.end(error);
    this.#readers.clear();
    this.#resume?.();
  }

  #drop() {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.abort();
  }
}

likeEventSource(EventSource);

function told(table, kind, output) {
  const [code, message] = table[kind & 15];
  const status = output >>> 16 || undefined;
  return { code, message: status ? `${message} ${status}` : message, status };
}

/** Text as the bytes of its UTF-8, one character each: what headers are made of. */
function inBytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}
