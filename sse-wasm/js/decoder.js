// Bytes to events, as WHATWG HTML has it in sections 9.2.5 and 9.2.6. This is in JavaScript because here it is smaller and faster than in
// wasm: strings have to be made on this side in any case. Tests hold it to the decoder of `sse-proto`, byte for byte.
//
// Lines are read as text of one character for each byte, so that places, lengths and limits are those of the bytes. Values that are not
// ASCII are decoded as UTF-8 one by one: line ends and field names are ASCII, so it makes no difference to decoding the stream first.
import { SseError } from './errors.js';

const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** How many bytes a line and an event may have: the default, and the most that can be asked for. */
const LIMIT = 16 << 20;
const MOST = (1 << 28) - 1;

/** The longest reconnection time that is told. */
const LONGEST = 2 ** 32 - 1;

/** So much room for an unfinished line is kept for the next one. */
const ROOM = 64 << 10;

/** The highest bit of each of four bytes. */
const HIGH_BITS = 0x80808080 | 0;

const NOT_OF_IT = -1;

const { Buffer } = globalThis;
const latin1 = new TextDecoder('latin1');
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Decodes one event stream, or several one after the other. */
export class Decoder {
  /** While there is one, garbage collection leaves the host the shape of decoders, and with it the code it compiled for them. */
  static #example = new Decoder({});

  lastEventId;
  #maxLine;
  #maxEvent;
  #isNew;
  /** The unfinished line: so many bytes at the front of the room. */
  #room = new Uint8Array(0);
  #kept = 0;
  /** Nothing of the stream has come but what may be the beginning of a byte order mark. */
  #atStart = true;
  /** The last byte was a CR: an LF that follows belongs to it. */
  #afterCr = false;
  /** An event was lost: everything up to the next blank line is passed over. */
  #passing = false;
  /** The line that is passed over has begun. */
  #inLine = false;
  // The unfinished event.
  #data;
  #size = 0;
  #type = '';
  #id;

  /** `isNew` says of an event's own id whether the event is wanted. */
  constructor({ maxLine, maxEvent, lastEventId = '' }, isNew = () => true) {
    this.#maxLine = limit('maxLine', maxLine);
    this.#maxEvent = limit('maxEvent', maxEvent);
    this.#isNew = isNew;
    this.lastEventId = String(lastEventId);
    if (/[\0\r\n]/.test(this.lastEventId)) {
      throw new SseError('invalid-field', 'lastEventId: a line break or NUL cannot stand in this field', 'lastEventId');
    }
  }

  /** Makes ready for another stream: drops the unfinished event, keeps the last event id. */
  restart() {
    this.#kept = 0;
    this.#atStart = true;
    this.#afterCr = this.#passing = this.#inLine = false;
    this.#clear();
  }

  /** The events that a chunk completed. Anything else goes to the `report`, where it is wanted. */
  decode(chunk, report) {
    const events = [];
    if (this.#atStart) chunk = this.#begin(chunk);
    let begin = 0;
    if (this.#afterCr && chunk.length > 0) {
      if (chunk[0] === LF) begin = 1;
      this.#afterCr = false;
    }
    // Whole lines are decoded; what is behind them waits for the end of its line.
    let end = chunk.length;
    while (end > begin && chunk[end - 1] !== LF && chunk[end - 1] !== CR) end -= 1;
    if (end > begin) {
      this.#afterCr = end === chunk.length && chunk[end - 1] === CR;
      if (this.#kept === 0) {
        this.#lines(chunk, begin, end, events, report);
      } else {
        this.#keep(chunk, begin, end);
        const kept = this.#kept;
        this.#kept = 0;
        this.#lines(this.#room, 0, kept, events, report);
        if (this.#room.length > ROOM) this.#room = new Uint8Array(0);
      }
    }
    const rest = chunk.length - end;
    if (rest === 0) return events;
    if (this.#passing) this.#inLine = true;
    else if (this.#kept + rest > this.#maxLine) this.#lose(events, report, LINE_TOO_LONG, true);
    else this.#keep(chunk, end, chunk.length);
    return events;
  }

  /** What to decode of the first bytes: nothing, as long as they may be a byte order mark. */
  #begin(chunk) {
    this.#keep(chunk, 0, chunk.length);
    const all = this.#room.slice(0, this.#kept);
    const differs = BYTE_ORDER_MARK.findIndex((byte, at) => byte !== all[at]);
    if (differs === all.length) return all.subarray(differs);
    this.#atStart = false;
    this.#kept = 0;
    return differs < 0 ? all.subarray(BYTE_ORDER_MARK.length) : all;
  }

  /** Whole lines, one after the other. */
  #lines(bytes, from, to, events, report) {
    const text = Buffer ? Buffer.prototype.latin1Slice.call(bytes, from, to) : latin1.decode(bytes.subarray(from, to));
    const words = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >>> 2);
    let wide = -1;
    const value = (begin, end) => {
      if (wide < begin) wide = nextWide(bytes, words, from + begin, to) - from;
      if (wide >= end) return text.slice(begin, end);
      return Buffer ? Buffer.prototype.utf8Slice.call(bytes, from + begin, from + end) : utf8.decode(bytes.subarray(from + begin, from + end));
    };
    let lf = -1;
    let cr = -1;
    for (let at = 0, next = 0; at < text.length; at = next) {
      let end = at;
      const first = text.charCodeAt(at);
      if (first !== LF && first !== CR) {
        if (lf < at) lf = find(text, '\n', at);
        if (cr < at) cr = find(text, '\r', at);
        end = Math.min(lf, cr);
      }
      next = end + 1;
      if (text.charCodeAt(end) === CR && text.charCodeAt(next) === LF) next += 1;
      if (this.#passing) {
        this.#passing = end > at || this.#inLine;
        this.#inLine = false;
      } else if (end === at) {
        this.#dispatch(events);
      } else if (end - at > this.#maxLine) {
        this.#lose(events, report, LINE_TOO_LONG);
      } else {
        let begin;
        if ((begin = valueAt(text, 'data', at, end)) !== NOT_OF_IT) {
          const first = this.#data === undefined;
          this.#size += end - begin + (first ? 0 : 1);
          if (this.#size > this.#maxEvent) this.#lose(events, report, EVENT_TOO_LONG);
          else this.#data = first ? value(begin, end) : `${this.#data}\n${value(begin, end)}`;
        } else if ((begin = valueAt(text, 'event', at, end)) !== NOT_OF_IT) {
          this.#type = value(begin, end);
        } else if ((begin = valueAt(text, 'id', at, end)) !== NOT_OF_IT) {
          const id = value(begin, end);
          if (!id.includes('\0')) this.#id = id;
        } else if ((begin = valueAt(text, '', at, end)) !== NOT_OF_IT) {
          report?.comment?.(value(begin, end));
        } else if ((begin = valueAt(text, 'retry', at, end)) !== NOT_OF_IT) {
          const digits = text.slice(begin, end);
          if (/^\d+$/.test(digits)) report?.retry?.(Math.min(Number(digits), LONGEST));
        }
      }
    }
  }

  /** A blank line. */
  #dispatch(events) {
    const isWanted = this.#data === undefined || !this.#id || this.#isNew(this.#id);
    if (isWanted) {
      this.lastEventId = this.#id ?? this.lastEventId;
      if (this.#data !== undefined) events.push({ type: this.#type || 'message', data: this.#data, lastEventId: this.lastEventId });
    }
    this.#clear();
  }

  #lose(events, report, why, inLine = false) {
    this.#clear();
    this.#kept = 0;
    this.#passing = true;
    this.#inLine = inLine;
    report?.lost?.(new SseError(...why), events);
  }

  #clear() {
    this.#data = undefined;
    this.#size = 0;
    this.#type = '';
    this.#id = undefined;
  }

  #keep(chunk, begin, end) {
    const needed = this.#kept + end - begin;
    if (needed > this.#room.length) {
      const room = new Uint8Array(Math.max(2 * needed, 256));
      room.set(this.#room.subarray(0, this.#kept));
      this.#room = room;
    }
    this.#room.set(begin === 0 && end === chunk.length ? chunk : chunk.subarray(begin, end), this.#kept);
    this.#kept = needed;
  }
}

const LINE_TOO_LONG = ['line-too-long', 'the peer sent a line longer than maxLine'];
const EVENT_TOO_LONG = ['event-too-long', 'the peer sent an event longer than maxEvent'];

/** Where the value begins in a line that is not blank, if the line is of this field; a comment is of the field without a name. */
function valueAt(text, field, at, end) {
  if (!text.startsWith(field, at)) return NOT_OF_IT;
  const colon = at + field.length;
  if (colon === end) return end;
  if (text.charCodeAt(colon) !== COLON) return NOT_OF_IT;
  return text.charCodeAt(colon + 1) === SPACE ? colon + 2 : colon + 1;
}

/** Where the next byte is that is not ASCII. */
function nextWide(bytes, words, at, end) {
  const { byteOffset } = bytes;
  while (at < end && (at + byteOffset) % 4 !== 0 && bytes[at] < 128) at += 1;
  if ((at + byteOffset) % 4 === 0) {
    let word = (at + byteOffset) / 4;
    const last = Math.floor((end + byteOffset) / 4);
    while (word < last && (words[word] & HIGH_BITS) === 0) word += 1;
    at = word * 4 - byteOffset;
  }
  while (at < end && bytes[at] < 128) at += 1;
  return at;
}

function find(text, what, from) {
  const at = text.indexOf(what, from);
  return at < 0 ? text.length : at;
}

function limit(name, value = LIMIT) {
  if (typeof value === 'number' && value >= 0 && value <= MOST) return value;
  throw new SseError('invalid-option', `the option ${name} must be a number of bytes from 0 to ${MOST}`, name);
}
