// The machine in wasm, and how what it says is read. Nothing that leaves here is a view of its memory.
import * as wasm from '#decoder';

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

/** What `time` is asked for. */
export const DELAY = 0;
export const DEADLINE = 1;

const NEVER = -1;

/** The options of a machine, in the order of `Source::new` in `src/source.rs`, with the defaults of the standard. */
const DEFAULTS = {
  maxLine: 16 << 20,
  maxEvent: 16 << 20,
  retry: 3000,
  shortestWait: 50,
  ceiling: 30_000,
  longestWait: 3_600_000,
  jitter: 0.5,
  answerTimeout: NEVER,
  liveness: NEVER,
  attempts: NEVER,
  statuses: false,
  reconnect: true,
  remember: 0,
};

/** The longest line or event that can be asked for. */
const MAX_TEXT = (1 << 28) - 1;

const PIECE = 16 << 10;
const HEADER = 5;

const EVENT = 0;
const TYPE = 1;
const ID = 2;
const COMMENT = 3;
const RETRY = 4;
const WIDE = 8;
const LENGTH_SHIFT = 4;

const LOST = [
  ['line-too-long', 'the peer sent a line longer than the limit maxLine'],
  ['event-too-long', 'the peer sent an event with more data than the limit maxEvent'],
  ['buffer-full', 'the event does not fit the decoder’s memory'],
];

const memory = new Memory(wasm);
let words = new Uint32Array(0);
let buffer;

// A Buffer reads what is known to be ASCII or UTF-16 without looking at it. Elsewhere a TextDecoder is as fast.
const hasBuffer = typeof globalThis.Buffer === 'function' && typeof globalThis.Buffer.prototype.latin1Slice === 'function';
const utf8 = new TextDecoder();
const utf16 = new TextDecoder('utf-16le', { ignoreBOM: true });

/** A stream being followed. What a chunk completed goes to a list; type and id of one event hold until there are others. */
export class Follower {
  #source;
  #type = 'message';
  #id = '';

  constructor(options) {
    const { lastEventId = '' } = options;
    const numbers = Object.entries(DEFAULTS).map(([name, value]) => numberOf(name, options[name] ?? value));
    const entropy = crypto.getRandomValues(new Uint32Array(2));
    memory.put([...numbers, now(), entropy[0] * 2 ** 21 + (entropy[1] >>> 11)]);
    this.#source = wasm.make();
    memory.put([String(lastEventId)]);
    if (!wasm.resume(this.#source)) {
      this.free();
      throw new SseError('invalid-field', 'lastEventId: a line break or NUL cannot be part of it', 'lastEventId');
    }
    this.#id = String(lastEventId);
  }

  get lastEventId() {
    return this.#id;
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
    memory.put([contentType, retryAfter]);
    wasm.respond(this.#source, at, status, until);
  }

  /** Something happened. */
  tell(at, what) {
    wasm.tell(this.#source, at, what);
  }

  /** Decodes a chunk that came at this time: events to `events`, anything else to the `report`, where it is wanted. */
  decode(at, chunk, events, report) {
    for (let begin = 0; begin < chunk.length; begin += PIECE) {
      const piece = chunk.length <= PIECE ? chunk : chunk.subarray(begin, begin + PIECE);
      const input = wasm.input(piece.length);
      view();
      memory.bytes.set(piece, input);
      this.#read(wasm.feed(this.#source, at, piece.length), events, report);
    }
  }

  #read(address, events, report) {
    view();
    let word = address >>> 2;
    const end = word + words[word];
    const ascii = asciiAt(words[word + 1], words[word + 2]);
    const wide = wideAt(words[word + 3], words[word + 4]);
    let asciiStart = 0;
    let wideStart = 0;
    let type = this.#type;
    let id = this.#id;
    for (word += HEADER; word < end; word++) {
      const item = words[word];
      const kind = item & 7;
      const length = item >>> LENGTH_SHIFT;
      if (kind >= RETRY) {
        if (kind === RETRY) {
          word += 1;
          report?.retry?.(words[word]);
        } else {
          report?.lost?.(new SseError(...LOST[length]), events);
        }
        continue;
      }
      let text;
      if (item & WIDE) text = wide.slice(wideStart, (wideStart += length));
      else text = ascii.slice(asciiStart, (asciiStart += length));
      if (kind === EVENT) events.push({ type, data: text, lastEventId: id });
      else if (kind === TYPE) type = text;
      else if (kind === ID) id = text;
      else if (kind === COMMENT) report?.comment?.(text);
    }
    this.#type = type;
    this.#id = id;
  }

  free() {
    if (this.#source !== undefined) wasm.free(this.#source);
    this.#source = undefined;
  }
}

/** Milliseconds that only go forward. */
export function now() {
  return performance.now();
}

/** The bytes of a chunk, of whatever kind it is. */
export function bytesOf(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return new TextEncoder().encode(chunk);
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new SseError('invalid-chunk', 'the source gave something that is neither bytes nor text');
}

function numberOf(name, value) {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value !== 'number' || Number.isNaN(value)) throw new SseError('invalid-option', `the option ${name} must be a number`, name);
  if (name.startsWith('max') && !(value >= 0 && value <= MAX_TEXT)) {
    throw new SseError('invalid-option', `the option ${name} must be between 0 and ${MAX_TEXT} bytes`, name);
  }
  if (value === Infinity) return NEVER;
  return name === 'jitter' ? value * 100 : value;
}

// What grows wasm memory leaves the views of it empty.
function view() {
  if (words.length !== 0) return;
  memory.look();
  words = new Uint32Array(wasm.memory.buffer);
  if (hasBuffer) buffer = globalThis.Buffer.from(wasm.memory.buffer);
}

function asciiAt(at, length) {
  if (length === 0) return '';
  return hasBuffer ? buffer.latin1Slice(at, at + length) : utf8.decode(memory.bytes.subarray(at, at + length));
}

function wideAt(at, length) {
  if (length === 0) return '';
  return hasBuffer ? buffer.ucs2Slice(at, at + 2 * length) : utf16.decode(memory.bytes.subarray(at, at + 2 * length));
}
