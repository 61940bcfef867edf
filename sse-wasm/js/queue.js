import { SseError } from './errors.js';

/**
 * What waits for who iterates: an async iterator that is put into from elsewhere. With a `limit`, who lets more than that wait is told so
 * by an error.
 */
export class Queue {
  #items = [];
  #asked = [];
  #ended = false;
  #error;
  #limit;
  #onTaken;
  #onLeft;

  constructor({ limit = Infinity, onTaken, onLeft } = {}) {
    this.#limit = limit;
    this.#onTaken = onTaken;
    this.#onLeft = onLeft;
  }

  /** How many wait. */
  get waiting() {
    return this.#items.length;
  }

  put(value) {
    if (this.#ended) return;
    const asked = this.#asked.shift();
    if (asked) asked.resolve({ done: false, value });
    else if (this.#items.length < this.#limit) this.#items.push(value);
    else this.#overrun();
  }

  /** Nothing more comes; what waits is still to be had, and then the error, if there is one. */
  end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const asked of this.#asked.splice(0)) this.#last().then(asked.resolve, asked.reject);
  }

  next() {
    if (this.#items.length > 0) {
      const value = this.#items.shift();
      this.#onTaken?.();
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended) return this.#last();
    return new Promise((resolve, reject) => { this.#asked.push({ resolve, reject }); });
  }

  return(value) {
    this.#items.length = 0;
    this.end();
    this.#error = undefined;
    this.#onLeft?.(this);
    this.#onTaken?.();
    return Promise.resolve({ done: true, value });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  #overrun() {
    this.end(new SseError('too-slow', `more than ${this.#limit} messages wait to be taken`));
    this.#onLeft?.(this);
  }

  #last() {
    const error = this.#error;
    this.#error = undefined;
    return error ? Promise.reject(error) : Promise.resolve({ done: true, value: undefined });
  }
}
