// Requests of node:http, their answers as bytes on the wire. Nothing here is moved by a clock that a test mocks.
import { once } from 'node:events';
import http from 'node:http';

import { PATIENCE } from './stream.js';

const { setTimeout: later, clearTimeout: forget } = globalThis;

/** Opens a stream, or whatever the answer is, and reads on. */
export async function wire(url, { method = 'GET', headers = {} } = {}) {
  const request = http.request(url, { method, headers: { connection: 'keep-alive', ...headers }, agent: false });
  request.end();
  const [response] = await soon(once(request, 'response'), `an answer to ${method} ${url}`);
  return new Wire(request, response);
}

/** A whole answer. */
export async function ask(url, options) {
  const { response, end } = await wire(url, options);
  const text = await end();
  return { status: response.statusCode, type: response.headers['content-type'], headers: response.headers, text };
}

class Wire {
  /** All that came. */
  text = '';
  ended = false;
  #taken = 0;
  #changed = () => {};

  constructor(request, response) {
    this.request = request;
    this.response = response;
    response.setEncoding('utf8').on('data', (text) => {
      this.text += text;
      this.#changed();
    });
    response.on('error', () => {});
    response.once('close', () => {
      this.ended = true;
      this.#changed();
    });
    this.end = this.end.bind(this);
  }

  /** The next frame, with its blank line. A blank line alone is one. `null` at the end. */
  async frame() {
    const at = () => (this.text[this.#taken] === '\n' ? this.#taken : this.text.indexOf('\n\n', this.#taken) + 1);
    await this.until(() => at() > this.#taken || this.text[this.#taken] === '\n' || this.ended, 'a frame');
    const from = this.#taken;
    if (this.text[from] !== '\n' && at() <= from) return null;
    this.#taken = at() + 1;
    return this.text.slice(from, this.#taken);
  }

  /** As many bytes as `expected` has: what is read is `expected`, or what came instead. */
  async read(length) {
    await this.until(() => this.text.length >= this.#taken + length || this.ended, `${length} bytes`);
    const from = this.#taken;
    this.#taken = Math.min(from + length, this.text.length);
    return this.text.slice(from, this.#taken);
  }

  /** Everything, once the answer has ended. */
  async end() {
    await this.until(() => this.ended, 'the end');
    return this.text;
  }

  async until(holds, what) {
    while (!holds()) {
      await soon(new Promise((resolve) => (this.#changed = resolve)), () => `${what}; so far there is ${JSON.stringify(this.text)}`);
    }
  }

  close() {
    this.request.destroy();
  }
}

/** What `promise` gives, unless it takes too long. */
export function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    const words = () => `waited ${PATIENCE} ms for ${typeof what === 'function' ? what() : what}`;
    timer = later(() => reject(new Error(words())), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => forget(timer));
}

/** Waits until `holds()` is true. */
export async function until(holds, what) {
  const deadline = performance.now() + PATIENCE;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${PATIENCE} ms until ${what}`);
    await new Promise((resolve) => later(resolve, 5));
  }
}
