import { SseError } from './errors.js';
import { EventSource, EventSourceErrorEvent } from './event-source.js';
import { CLOSED, CONNECTING, OPEN, likeEventSource, resolve } from './like-event-source.js';
import { Queue } from './queue.js';

/** As many ids are remembered, to know an event that two leaders tell of. */
const REMEMBERED = 1024;

/** As many events wait for who iterates, or until it is known what came before them. */
const WAITING = 1024;

/**
 * One connection for all tabs of an origin. The tab that holds the lock has the connection and tells the others, over a BroadcastChannel,
 * what happens; when it goes, the browser gives the lock to the next, which resumes behind the last event that it was told. A tab that
 * is frozen, or put aside to come back to, leaves; when it is back it goes through what it missed on a connection of its own, first.
 *
 *   leader → all     state { readyState, lastEventId, recent }   event { own, … }   open   error { … }
 *   joiner → leader  hello
 */
export class SharedSource extends EventTarget {
  #url;
  #options;
  #name;
  #channel;
  #readyState = CONNECTING;
  #lastEventId;
  /** Events are taken from when it is known what came before them. */
  #joined = false;
  #leading;
  /** What it is behind with, after it was away: its own connection, and what it was told meanwhile. */
  #behind;
  #replay;
  #recent = [];
  /** By id, under which leader it was seen. */
  #seen = new Map();
  /** Ends membership: when it closes, or goes away for a while. */
  #leaving;
  #unlisten = new AbortController();
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
    this.#name = `sse:${name ?? this.#url}`;
    this.#join();
    this.#listenToPage();
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

  #join() {
    const leaving = new AbortController();
    this.#leaving = leaving;
    this.#joined = false;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#channel.postMessage({ kind: 'hello' });
    const lead = () => (leaving.signal.aborted ? undefined : this.#lead());
    navigator.locks.request(this.#name, { signal: leaving.signal }, lead).catch(() => {});
  }

  #leave() {
    const leading = this.#leading;
    this.#leading = undefined;
    leading?.source.close();
    this.#catchUp(undefined);
    this.#channel.close();
    this.#leaving.abort();
    // Another tab begins where this one ends.
    leading?.release();
  }

  /** A page that does not run cannot tell others anything, and with a lock or a channel no browser puts it aside. */
  #listenToPage() {
    const { signal } = this.#unlisten;
    const away = () => {
      if (!this.#leaving.signal.aborted) this.#leave();
    };
    const back = () => {
      if (this.#leaving.signal.aborted) this.#join();
    };
    globalThis.document?.addEventListener('freeze', away, { signal });
    globalThis.document?.addEventListener('resume', back, { signal });
    globalThis.addEventListener?.('pagehide', ({ persisted }) => persisted && away(), { signal });
    globalThis.addEventListener?.('pageshow', back, { signal });
  }

  /** Has the connection until it leaves; holds the lock as long. */
  #lead() {
    this.#catchUp(undefined);
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
      this.#joinLate(message);
    } else if (this.#behind && message.kind === 'event') {
      this.#behind.told.push(message);
      // Without the oldest of them, only they themselves tell where to go on.
      if (this.#behind.told.length > WAITING && this.#behind.told.shift()) this.#behind.until = undefined;
    } else if (this.#joined) {
      this.#take(message);
    }
  }

  #joinLate({ readyState, lastEventId, recent, term }) {
    if (this.#joined) return;
    this.#joined = true;
    if (readyState === OPEN && this.#readyState !== OPEN) this.#open();
    if (this.#lastEventId === lastEventId) return;
    if (this.#lastEventId !== '') return this.#catchUp(lastEventId);
    const { length } = recent;
    for (const message of recent.slice(Math.max(0, length - this.#replay), length)) this.#take({ ...message, term });
    this.#lastEventId = lastEventId;
  }

  /** Goes through what was missed up to the event `until`, or to one that was told meanwhile; with `undefined` no longer. */
  #catchUp(until) {
    this.#behind?.source.close();
    this.#behind = undefined;
    if (until === undefined) return;
    const source = new EventSource(this.#url, { ...this.#options, lastEventId: this.#lastEventId });
    const behind = { source, until, told: [] };
    this.#behind = behind;
    const term = crypto.randomUUID();
    const goOn = (from) => {
      if (this.#behind !== behind) return;
      this.#catchUp(undefined);
      for (const message of behind.told.slice(from)) this.#take(message);
    };
    let previous = this.#lastEventId;
    const followed = this.#follow(source, (event) => {
      if (this.#behind !== behind) return;
      const own = event.lastEventId !== previous;
      previous = event.lastEventId;
      this.#take({ kind: 'event', term, own, event });
      const known = behind.told.findIndex((message) => message.own && message.event.lastEventId === event.lastEventId);
      if (known >= 0 || event.lastEventId === behind.until) goOn(known + 1);
    });
    followed.then(() => goOn(0));
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
    this.#unlisten.abort();
    this.#leave();
    for (const queue of this.#readers) queue.end(error?.code === 'no-content' ? undefined : error);
    this.#readers.clear();
  }
}

likeEventSource(SharedSource);
