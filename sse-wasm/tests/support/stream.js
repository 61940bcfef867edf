// A stream of events as bytes on the wire, frame by frame.

import http from 'node:http';

/** How long anything may take, in milliseconds, before a test fails. */
export const PATIENCE = 15_000;

/**
 * As fetch, on a connection of its own. workerd and node:http close one that is idle for five seconds; a test that is not given the
 * processor for so long would send its next request into one that is being closed.
 */
export function request(url, { headers, ...init } = {}) {
  return fetch(url, { ...init, headers: { ...headers, connection: 'close' } });
}

/** Opens a stream; `headers` go with the request. It must be answered with 200. */
export async function open(url, headers = {}) {
  const abort = new AbortController();
  const response = await request(url, { headers, signal: abort.signal });
  if (response.status !== 200) throw new Error(`GET ${url} → ${response.status} ${await response.text()}`);
  return new Stream(response, abort);
}

export class Stream {
  #reader;
  #abort;
  #text = '';
  #decoder = new TextDecoder();
  #ended = false;

  constructor(response, abort) {
    this.response = response;
    this.#reader = response.body.getReader();
    this.#abort = abort;
  }

  /** The next frame that is no comment; `null` at the end of the stream. */
  async next() {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const frame = await this.frame();
      if (!frame?.startsWith(':')) return frame;
      if (Date.now() > deadline) throw new Error(`nothing but heartbeats for ${PATIENCE} ms`);
    }
  }

  /** The next frame, with its blank line; `null` at the end of the stream. */
  async frame() {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end >= 0) {
        const frame = this.#text.slice(0, end + 2);
        this.#text = this.#text.slice(end + 2);
        return frame;
      }
      if (this.#ended) return null;
      const { value, done } = await within(this.#reader.read(), `a frame; so far there is ${JSON.stringify(this.#text)}`);
      if (done) this.#ended = true;
      else this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  /** The next frame that is no greeting, heartbeat or word about who came. */
  async event() {
    for (;;) {
      const frame = await this.next();
      if (frame === null || !/^(event:connected\n|retry:\d+\n(event:connected|data:"registered\^|id:))/.test(frame)) return frame;
    }
  }

  /** Goes away without a word. */
  close() {
    this.#abort.abort();
    this.#reader.cancel().catch(() => {});
  }
}

/** What `promise` gives, unless it takes too long. */
export function within(promise, what, patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${patience} ms for ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits until `holds()` is true. */
export async function until(holds, what) {
  const deadline = Date.now() + PATIENCE;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE} ms until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The id in a frame. */
export function idOf(frame) {
  return /^id:(.*)$/m.exec(frame)[1];
}

/** A request on a connection of its own: one whose body may be refused before it is read. */
export function askAlone(url, { method, headers, body }) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode, text })).on('error', reject);
    });
    request.on('error', (error) => (request.res ? undefined : reject(error)));
    request.end(body);
  });
}
