// The client's machine in wasm, with the decoder beside it.
import { wasm } from '#client';

import { Decoder } from './decoder.js';
import { SseError } from './errors.js';
import { Memory } from './memory.js';

/** What `poll` tells, in its lowest four bits. */
export const NOTHING = 0;
export const CONNECT = 1;
export const OPENED = 2;
export const WAITING = 3;

/** What `tell` is told. */
export const TIME_PASSED = 0;
export const ENDED = 1;
export const FAILED = 2;
export const UNSENDABLE = 3;
export const CLOSE = 4;
const HEARD = 5;
const RETRY = 6;

/** What `time` is asked for. */
export const DELAY = 0;
export const DEADLINE = 1;

const NEVER = -1;

/** The options of a machine, in the order of `Source::new` in `src/client.rs`, with the defaults of the standard. */
const DEFAULTS = {
  'retry.first': 3000,
  'retry.shortest': 50,
  'retry.ceiling': 30_000,
  'retry.longest': 3_600_000,
  'retry.jitter': 0.5,
  timeout: NEVER,
  liveness: NEVER,
  'retry.attempts': NEVER,
  'retry.statuses': false,
  reconnect: true,
  remember: 0,
};

const memory = new Memory(wasm);

/** A stream being followed over its connections. What it says beside events goes to the `report`, where it is wanted. */
export class Follower {
  #source;
  #decoder;
  #report;

  constructor(options, report) {
    const numbers = Object.entries(DEFAULTS).map(([name, value]) => numberOf(name, options[name] ?? value));
    this.#decoder = new Decoder(options, options.remember ? (id) => this.#isNew(id) : undefined);
    this.#report = { ...report, retry: (millis) => this.#retry(millis, report) };
    const entropy = crypto.getRandomValues(new Uint32Array(2));
    memory.put([...numbers, now(), entropy[0] * 2 ** 21 + (entropy[1] >>> 11)]);
    this.#source = wasm.make();
  }

  get lastEventId() {
    return this.#decoder.lastEventId;
  }

  /** What to do now, as `Source::poll` puts it into a number. */
  poll() {
    return wasm.poll(this.#source);
  }

  /** How long to wait, or until when; negative for never. */
  time(which) {
    return wasm.time(this.#source, which);
  }

  /** The answer has begun. `until` is how many milliseconds off a date in `Retry-After` is; negative for no date. */
  respond(at, status, contentType, retryAfter, until) {
    this.#decoder.restart();
    memory.put([contentType, retryAfter]);
    wasm.respond(this.#source, at, status, until);
  }

  /** Something happened. */
  tell(at, what) {
    wasm.tell(this.#source, at, what, 0);
  }

  /** The events that a chunk completed, which came at this time. */
  decode(at, chunk) {
    if (chunk.length > 0) this.tell(at, HEARD);
    return this.#decoder.decode(chunk, this.#report);
  }

  free() {
    if (this.#source !== undefined) wasm.free(this.#source);
    this.#source = undefined;
  }

  #isNew(id) {
    memory.put([id]);
    return wasm.is_new(this.#source) === 1;
  }

  #retry(millis, report) {
    wasm.tell(this.#source, 0, RETRY, millis);
    report.retry?.(millis);
  }
}

/** Milliseconds that only go forward. */
export function now() {
  return performance.now();
}

function numberOf(name, value) {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value !== 'number' || Number.isNaN(value)) throw new SseError('invalid-option', `the option ${name} must be a number`, name);
  if (value === Infinity) return NEVER;
  return name === 'jitter' ? value * 100 : value;
}
