/** What waits for who iterates: an async iterator that is put into from elsewhere. */
export class Queue {
  #items = [];
  #asked = [];
  #ended = false;
  #error;
  #onTaken;
  #onLeft;

  constructor({ onTaken, onLeft } = {}) {
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
    else this.#items.push(value);
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

  #last() {
    const error = this.#error;
    this.#error = undefined;
    return error ? Promise.reject(error) : Promise.resolve({ done: true, value: undefined });
  }
}
