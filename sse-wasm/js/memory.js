// How what a module is asked gets into its memory: records of numbers of eight bytes, and texts with their length in front, as
// `src/record.rs` reads them.

/** The length of a text that is not there, twice. */
const NONE = 0xffffffff;

const utf8 = new TextEncoder();

/** The memory of one module, by views of it that nobody keeps. */
export class Memory {
  bytes = new Uint8Array(0);
  #view;
  #module;

  /** `module` is what an instance of it exports. */
  constructor(module) {
    this.#module = module;
  }

  /** Puts values where the module looks for what it is asked: numbers, texts, bytes, lists of these, and nothing. */
  put(values) {
    const at = this.#module.input(room(values)) >>> 0;
    this.look();
    this.#put(values, at);
  }

  // What grows the memory leaves the views of it empty.
  look() {
    if (this.bytes.length > 0) return;
    const { buffer } = this.#module.memory;
    this.bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
  }

  /** The number at an address. */
  number(at) {
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }

  #put(values, at) {
    const view = this.#view;
    for (const value of values) {
      let bytes = 0;
      if (typeof value === 'string') bytes = utf8.encodeInto(value, this.bytes.subarray(at + 8)).written;
      else if (value instanceof Uint8Array) this.bytes.set(value, at + 8, (bytes = value.length));
      if (typeof value === 'number') {
        view.setFloat64(at, value, true);
      } else {
        // Where a text is looked for, nothing is none; where a number is, it is none, too.
        view.setUint32(at, value == null ? NONE : Array.isArray(value) ? value.length : bytes, true);
        view.setUint32(at + 4, value == null ? NONE : 0, true);
      }
      at += 8 + bytes;
      if (Array.isArray(value)) at = this.#put(value, at);
    }
    return at;
  }
}

/** The most that values take: three bytes for a unit of UTF-16. */
function room(values) {
  let bytes = 0;
  for (const value of values) {
    bytes += 8;
    if (typeof value === 'string') bytes += 3 * value.length;
    else if (value instanceof Uint8Array) bytes += value.length;
    else if (Array.isArray(value)) bytes += room(value);
  }
  return bytes;
}
