import { SseError } from './errors.js';
import { EventSource, EventSourceErrorEvent } from './event-source.js';
import { CLOSED, CONNECTING, OPEN, likeEventSource, resolve } from './like-event-source.js';
import { Queue } from './queue.js';

/** As many ids are remembered, to know an event that two leaders tell of. */
const REMEMBERED = 1024;

/** As many events wait for who iterates. */
const WAITING = 1024;

/**
 * One connection for all tabs of an origin. The tab that holds the lock has the connection and tells the others, over a BroadcastChannel,
 * what happens; when it goes, the browser gives the lock to the next, which resumes behind the last event that it was told.
 *
 *   leader → all     state { readyState, lastEventId, recent }   event { own, … }   open   error { … }
 *   joiner → leader  hello
 */
export class SharedSource extends EventTarget {
  #url;
  #options;
  #channel;
  #readyState = CONNECTING;
  #lastEventId;
  /** Events are taken from when it is known what came before them. */
  #joined = false;
  #leading;
  #replay;
  #recent = [];
  /** By id, under which leader it was seen. */
  #seen = new Map();
  #leaving = new AbortController();
  #readers = new Set();

  constructor(url, options = {}) {
    super();
    const { name, replay = 0, lastEventId = '', signal, ...others } = options;
    if (!globalThis.navigator?.locks || typeof BroadcastChannel !== 'function') {
      throw new SseError('unsupported', 'SharedSource needs Web Locks and BroadcastChannel, which browsers have on secure origins');
    }
    this.#url = resolve(url);
    this.#options = others;
    this.#replay = replay;
    this.#lastEventId = lastEventId;
    const shared = `sse:${name ?? this.#url}`;
    this.#channel = new BroadcastChannel(shared);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#channel.postMessage({ kind: 'hello' });
    navigator.locks.request(shared, { signal: this.#leaving.signal }, () => this.#lead()).catch(() => {});
    if (signal?.aborted) this.close();
    else signal?.addEventListener('abort', () => this.close(), { once: true });
  }

  get url() {
    return this.#url;
  }

  get readyState() {
    return this.#readyState;
  }

  get lastEventId() {
    return this.#lastEventId;
  }

  get isLeader() {
    return this.#leading !== undefined;
  }

  close() {
    if (this.#readyState === CLOSED) return;
    this.#end();
  }

  [Symbol.asyncIterator]() {
    const queue = new Queue({ limit: WAITING, onLeft: (left) => this.#readers.delete(left) });
    if (this.#readyState === CLOSED) queue.end();
    else this.#readers.add(queue);
    return queue;
  }

  /** Has the connection until it is closed; holds the lock as long. */
  #lead() {
    if (this.#readyState === CLOSED) return undefined;
    const term = crypto.randomUUID();
    const source = new EventSource(this.#url, { ...this.#options, lastEventId: this.#lastEventId });
    const leading = { term, source };
    this.#leading = leading;
    this.#joined = true;
    let previous = this.#lastEventId;
    const tell = (message) => {
      if (this.#leading !== leading) return;
      this.#channel.postMessage(message);
      this.#take(message);
    };
    this.#follow(source, (event) => {
      // An event that only inherits its id is no second one of that id.
      const own = event.lastEventId !== previous;
      previous = event.lastEventId;
      tell({ kind: 'event', term, own, event });
    });
    source.onopen = () => tell({ kind: 'open' });
    source.onerror = ({ code, message, status, delay }) => tell({ kind: 'error', readyState: source.readyState, code, message, status, delay });
    // Those who waited for an answer in the meantime.
    this.#channel.postMessage(this.#state());
    return new Promise((release) => { leading.release = release; });
  }

  /** Every event of whatever type: only iteration gives them all. */
  async #follow(source, onEvent) {
    const { origin } = new URL(this.#url);
    try {
      for await (const event of source) onEvent({ ...event, origin });
    } catch {
      // Told by its error event.
    }
  }

  #state() {
    const { readyState } = this.#leading.source;
    return { kind: 'state', readyState, lastEventId: this.#lastEventId, recent: this.#recent, term: this.#leading.term };
  }

  /** A message of another tab. */
  #hear(message) {
    if (this.#readyState === CLOSED) return;
    if (message.kind === 'hello') {
      if (this.#leading) this.#channel.postMessage(this.#state());
    } else if (message.kind === 'state') {
      this.#join(message);
    } else if (this.#joined) {
      this.#take(message);
    }
  }

  #join({ readyState, lastEventId, recent, term }) {
    if (this.#joined) return;
    this.#joined = true;
    if (readyState === OPEN) this.#open();
    const { length } = recent;
    for (const message of recent.slice(Math.max(0, length - this.#replay), length)) this.#take({ ...message, term });
    this.#lastEventId = lastEventId;
  }

  #take(message) {
    if (this.#readyState === CLOSED) return;
    if (message.kind === 'open') this.#open();
    else if (message.kind === 'error') this.#fail(message);
    else this.#dispatch(message);
  }

  #dispatch(message) {
    const { own, term, event } = message;
    if (own && this.#wasSeen(event.lastEventId, term)) return;
    this.#lastEventId = event.lastEventId;
    if (this.#replay > 0) {
      this.#recent.push(message);
      if (this.#recent.length > this.#replay) this.#recent.shift();
    }
    const { type, data, lastEventId, origin } = event;
    for (const queue of this.#readers) queue.put({ type, data, lastEventId });
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId, origin }));
  }

  /** Whether another leader told of an event of this id before: a new one resumes behind what it was told, which may be less. */
  #wasSeen(id, term) {
    if (id === '') return false;
    const before = this.#seen.get(id);
    if (before !== undefined && before !== term) return true;
    this.#seen.delete(id);
    this.#seen.set(id, term);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value);
    return false;
  }

  #open() {
    this.#readyState = OPEN;
    this.dispatchEvent(new Event('open'));
  }

  #fail({ readyState, ...why }) {
    this.#readyState = readyState;
    if (readyState === CLOSED) this.#end(Object.assign(new SseError(why.code, why.message), { status: why.status }));
    this.dispatchEvent(new EventSourceErrorEvent(why));
  }

  #end(error) {
    this.#readyState = CLOSED;
    const leading = this.#leading;
    this.#leading = undefined;
    leading?.source.close();
    this.#channel.close();
    this.#leaving.abort();
    // Another tab begins where this one ends.
    leading?.release?.();
    for (const queue of this.#readers) queue.end(error?.code === 'no-content' ? undefined : error);
    this.#readers.clear();
  }
}

likeEventSource(SharedSource);
