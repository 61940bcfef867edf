// The engine in wasm. What it is asked goes by number, and `src/hub/verb.rs` says with what.
import { wasm } from '#hub';

import { SseError } from './errors.js';
import { Memory } from './memory.js';

const [
  MAKE, FREE, ENCODE, POLL_OUTPUT, POLL_TIMEOUT, HANDLE_TIMEOUT, TRANSMIT, CHUNK, HANDLE_DISCONNECT, FINISH, IS_CAUGHT_UP,
  EVENT_ID, LAST_EVENT_ID, USAGE, DRAIN, SWEEP, ALLOCATE_ID, NEW_ID, REGISTER, IS_REGISTERED, UNREGISTER, CLEAR, LISTEN, UNLISTEN,
  CLIENTS, STREAMS, PREPARE, PUBLISH, FIRST_UNKNOWN, DISCARD, NOTIFY, HAS_LISTENERS, NOTIFY_AD_HOC, CHECK_TASK, SUBMIT, PROGRESS,
  COMPLETE, TASKS_OF, KEEP, HAS_CHANGES, TAKE_CLEARED, TAKE_CLIENTS, CLIENT_RECORD, AGES_SINCE, TAKE_FRAMES, KEPT_UNTIL, EVICTED,
  RESTORE_CLIENT, RESTORE_POSITION, RESTORE_FRAMES, ORDINAL, RESTORE_STREAM, RESTORED, RESTORE_ID,
] = Array(54).keys();

/** Whom an event can be for, in the order of `src/hub/publish.rs`. */
const KINDS = ['all', 'topic', 'group', 'name', 'client', 'streams'];

/** What `pollOutput` tells. */
const CLOSE = 2;
const GAP = 3;

const memory = new Memory(wasm);
const { __stack_pointer: stack } = wasm;
const top = stack.value;
const utf8 = new TextDecoder();

/** A hub without I/O. Times are milliseconds, streams are numbers. */
export class Hub {
  #hub;
  /** What was spoken of last: a stream, why, whether it was its client's last one, a client or id, whether it was known before. */
  said = {};

  /** `options` are numbers in the order of `src/config.rs`, of which NaN is the default. */
  constructor(options, epoch, entropy) {
    this.#hub = ask(0, MAKE, 0, 0, [epoch, entropy, ...options]);
  }

  free() {
    this.#ask(FREE);
  }

  /** What to do next: 1 write to a stream, 2 end it, 3 it has a gap, 4 a client expired, 5 an id was not used in time; 0 nothing. */
  pollOutput() {
    const output = this.#ask(POLL_OUTPUT);
    if (output === 0) return output;
    const answer = new Answer();
    const said = {};
    if (output <= GAP) said.conn = answer.number();
    if (output === CLOSE || output === GAP) said.reason = answer.text();
    if (output === CLOSE) said.last = answer.number() === 1;
    if (output > GAP) said.id = answer.text();
    this.said = said;
    return output;
  }

  pollTimeout() {
    return this.#ask(POLL_TIMEOUT);
  }

  handleTimeout(now) {
    this.#ask(HANDLE_TIMEOUT, now);
  }

  transmit(now, conn) {
    return this.#ask(TRANSMIT, now, conn);
  }

  chunk() {
    this.#ask(CHUNK);
    return new Answer().bytes();
  }

  handleDisconnect(now, conn) {
    return this.#ask(HANDLE_DISCONNECT, now, conn);
  }

  finish(now, conn) {
    return this.#ask(FINISH, now, conn) === 1;
  }

  isCaughtUp(conn) {
    return this.#ask(IS_CAUGHT_UP, 0, conn) === 1;
  }

  eventId(number) {
    return this.#text(EVENT_ID, 0, number);
  }

  lastEventId() {
    return this.#text(LAST_EVENT_ID);
  }

  usage() {
    this.#ask(USAGE);
    return new Answer().list(8, (answer) => answer.number());
  }

  drain(now, leastRetry, mostRetry) {
    this.#ask(DRAIN, now, 0, [leastRetry, mostRetry]);
  }

  sweep(now) {
    this.#ask(SWEEP, now);
  }

  // ---- who receives

  allocateId(now, group, name, entropy) {
    return this.#text(ALLOCATE_ID, now, 0, [group, name, entropy]);
  }

  newId(name, entropy) {
    return this.#text(NEW_ID, 0, 0, [name, entropy]);
  }

  register(now, group, id, topics, lastEventId, how) {
    const conn = this.#ask(REGISTER, now, 0, [group, id, lastEventId, how, topics]);
    const answer = new Answer();
    this.said = { conn, reason: answer.text(), returning: answer.number() === 1 };
    return conn;
  }

  isRegistered(group, id) {
    return this.#ask(IS_REGISTERED, 0, 0, [group, id]) === 1;
  }

  unregister(now, group, id, endStreams) {
    return this.#ask(UNREGISTER, now, Number(endStreams), [group, id]) === 1;
  }

  clear(now, endStreams) {
    this.#ask(CLEAR, now, Number(endStreams));
  }

  listen(now, group, id, topic) {
    return this.#ask(LISTEN, now, 0, [group, id, topic]) === 1;
  }

  unlisten(now, group, id, topic) {
    return this.#ask(UNLISTEN, now, 0, [group, id, topic]) === 1;
  }

  /** The registered clients, in the order in which they came. */
  clients() {
    const count = this.#ask(CLIENTS);
    const clients = new Answer().list(count, (answer) => {
      const [group, id, name] = answer.list(3, () => answer.text());
      const [ordinal, registered, streams] = answer.list(3, () => answer.number());
      return [ordinal, { group, id, name, registered, streams, topics: answer.list(answer.number(), () => answer.text()) }];
    });
    return clients.sort(([a], [b]) => a - b).map(([, client]) => client);
  }

  streams(group, id) {
    const count = this.#ask(STREAMS, 0, 0, [group, id]);
    return new Answer().list(count, (answer) => answer.number());
  }

  // ---- what they receive

  /** Of `kind` it is said what `name` is: see `targetOf`. With `conns`, it is for the one stream, or for the clients of several. */
  prepare(kind, name, group, conns, event, data, id, retry, comment) {
    const to = KINDS.indexOf(conns ? 'streams' : kind);
    this.#ask(PREPARE, 0, 0, [to, name, group, [...(conns ?? [])], event, data, id, retry, comment]);
  }

  publish(now) {
    return this.#ask(PUBLISH, now);
  }

  firstUnknown() {
    return this.#ask(FIRST_UNKNOWN);
  }

  discard() {
    this.#ask(DISCARD);
  }

  notify(now, key, names, bare, everybody) {
    return this.#ask(NOTIFY, now, Number(bare), [Number(everybody), key, names]);
  }

  hasListeners(topic) {
    return this.#ask(HAS_LISTENERS, 0, 0, [topic]) === 1;
  }

  notifyAdHoc(now, group, id, bare) {
    return this.#ask(NOTIFY_AD_HOC, now, Number(bare), [group, id]);
  }

  // ---- tasks

  checkTask(task) {
    this.#ask(CHECK_TASK, 0, 0, [task]);
  }

  submit(now, group, id, task) {
    this.#ask(SUBMIT, now, 0, [group, id, task]);
  }

  progress(now, group, id, task, json) {
    this.#ask(PROGRESS, now, 0, [group, id, task, json]);
  }

  complete(now, group, id, task, failed, detail) {
    this.#ask(COMPLETE, now, Number(failed), [group, id, task, detail]);
  }

  notifyCompletions(now, group, id, task) {
    this.#ask(COMPLETE, now, 2, [group, id, task, undefined]);
  }

  /** Name, status and detail of each, one after the other. */
  tasksOf(group, id) {
    return this.#texts(3 * this.#ask(TASKS_OF, 0, 0, [group, id]));
  }

  // ---- what outlives it

  keep(withPassing) {
    this.#ask(KEEP, 0, Number(withPassing));
  }

  hasChanges() {
    return this.#ask(HAS_CHANGES) === 1;
  }

  takeCleared() {
    return this.#ask(TAKE_CLEARED) === 1;
  }

  takeClients() {
    return this.#texts(this.#ask(TAKE_CLIENTS));
  }

  clientRecord(group, id) {
    return this.#ask(CLIENT_RECORD, 0, 0, [group, id]) === 1 ? new Answer().rest() : undefined;
  }

  agesSince(group, id) {
    return this.#ask(AGES_SINCE, 0, 0, [group, id]);
  }

  takeFrames() {
    return this.#ask(TAKE_FRAMES) === 1 ? new Answer().rest() : undefined;
  }

  keptUntil() {
    return this.#ask(KEPT_UNTIL);
  }

  evicted() {
    return this.#ask(EVICTED);
  }

  restoreId(issued, group, id) {
    this.#ask(RESTORE_ID, issued, 0, [group, id]);
  }

  restoreClient(now, record) {
    this.#ask(RESTORE_CLIENT, now, 0, [record]);
  }

  restorePosition(evicted, last) {
    this.#ask(RESTORE_POSITION, 0, 0, [evicted, last]);
  }

  restoreFrames(record) {
    this.#ask(RESTORE_FRAMES, 0, 0, [record]);
  }

  ordinal(group, id) {
    return this.#ask(ORDINAL, 0, 0, [group, id]);
  }

  restoreStream(now, group, id, ordinal, isManager) {
    return this.#ask(RESTORE_STREAM, now, Number(isManager), [group, id, ordinal]);
  }

  restored(now) {
    this.#ask(RESTORED, now);
  }

  #ask(verb, now, number, values) {
    return ask(this.#hub, verb, now, number, values);
  }

  #text(verb, now, number, values) {
    this.#ask(verb, now, number, values);
    return new Answer().text();
  }

  #texts(count) {
    return new Answer().list(count, (answer) => answer.text());
  }
}

/** The bytes of one event, of which parts that are undefined are left out. */
export function encode(event, data, id, retry, comment) {
  ask(0, ENCODE, 0, 0, [event, data, id, retry, comment]);
  return new Answer().bytes();
}

/** What all hubs together take. */
export function memoryBytes() {
  return wasm.memory.buffer.byteLength;
}

function ask(hub, verb, now = 0, number = 0, values) {
  try {
    if (values) memory.put(values);
    const result = wasm.call(hub, verb, now, number);
    if (!Number.isNaN(result)) return result;
  } catch (trap) {
    // What it left on the stack would stay there, in the way of all other hubs.
    stack.value = top;
    throw trap;
  }
  throw failure(new Answer());
}

/** What the last call answered, read from its beginning. Each text is a copy. */
class Answer {
  #begin = wasm.answer() >>> 0;
  #at = this.#begin;

  constructor() {
    memory.look();
  }

  number() {
    return memory.number((this.#at += 8) - 8);
  }

  bytes() {
    const length = this.number();
    return memory.bytes.slice(this.#at, (this.#at += length));
  }

  text() {
    const length = this.number();
    return utf8.decode(memory.bytes.subarray(this.#at, (this.#at += length)));
  }

  rest() {
    return memory.bytes.slice(this.#at, this.#begin + (wasm.answered() >>> 0));
  }

  list(count, read) {
    return Array.from({ length: count }, () => read(this));
  }
}

/** Codes and messages, in the order of `What` in `src/error.rs`. */
const FAILURES = [
  ['unknown-client', () => 'no client is registered under this id; register first'],
  ['unknown-stream', () => 'the stream is closed'],
  ['invalid-field', (field, at) => `${field}: a line break at byte ${at} cannot stand in this field`],
  ['invalid-field', (field, at) => `${field}: a NUL at byte ${at} cannot stand in this field`],
  ['invalid-name', (field) => `the ${field} must not be empty`],
  ['invalid-name', (field, at, code) => `the ${field}: the character '${shown(code)}' at byte ${at} cannot stand in a name`],
  ['too-long', (field, limit) => `the ${field} is longer than ${limit} bytes`],
  ['too-large', (_, limit) => `the event is longer than ${limit} bytes as a frame`],
  ['invalid-option', (field, _, __, mustBe) => `the limit ${field} must be ${mustBe}`],
  ['full', (_, __, ___, limit) => `the limit ${limit} is reached; raise it or try again later`],
  ['no-entropy', () => 'the host gave no entropy'],
  ['shutting-down', () => 'the hub is shutting down; try again later'],
  ['unknown-task', () => 'there is no such task'],
  ['task-pending', () => 'the task is pending'],
  ['task-ended', () => 'the task has ended'],
  ['broken-record', () => 'the engine cannot read this'],
];

function failure(answer) {
  const [what, index, number, character] = answer.list(4, () => answer.number());
  const [field, text] = answer.list(2, () => answer.text());
  const [code, message] = FAILURES[what];
  const error = new SseError(code, message(field, number, character, text), field);
  return index === NO_INDEX ? error : Object.assign(error, { index });
}

const NO_INDEX = 0xffffffff;

/** A character so that it can be seen. */
function shown(code) {
  const character = String.fromCodePoint(code);
  if ("'\\".includes(character)) return `\\${character}`;
  return /^[ \p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(character) ? character : `\\u{${code.toString(16)}}`;
}
