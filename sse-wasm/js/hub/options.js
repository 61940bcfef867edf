// From options of a hub to those of the engine, in the order of `src/config.rs`.
import { SseError } from '../errors.js';

const LIMITS = [
  'connections', 'clients', 'issuedIds', 'connectionsPerClient', 'groups', 'topics', 'topicsPerClient', 'subscriptions', 'tasksPerClient',
  'tasks', 'detailBytes', 'nameBytes', 'topicBytes', 'frameBytes', 'logBytes', 'logEntries',
];

/** What history may take at most: it is taken at the start, from a memory that all hubs of a process share. */
const MOST_LOG_BYTES = 2 ** 30;

/** In milliseconds. */
const TIMES = ['heartbeat', 'writeStall', 'dormantAfter', 'sweepEvery', 'issuedIdTtl', 'retry'];

/** Those that cannot be never. */
const ALWAYS = ['dormantAfter', 'sweepEvery', 'issuedIdTtl'];

const CHOICES = {
  age: ['activity', 'registration'],
  overrun: ['close', 'skip'],
  idForm: ['secure', 'compatible'],
  heartbeatComment: ['heartbeat', 'keep-alive'],
  eventIds: ['numbered', 'given'],
};

const is = (type) => (value) => typeof value === type;
const STRING = [is('string'), 'a string'];
const OBJECT = [isObject, 'an object'];
const AMOUNT = [(value) => typeof value === 'number' && value >= 0, 'a number, at least 0'];
const YES_OR_NO = [is('boolean'), 'true or false'];
const FUNCTION = [is('function'), 'a function'];

/** The options that are not the engine's, and what each must be. */
const OTHERS = {
  prefix: STRING,
  auth: OBJECT,
  tasks: OBJECT,
  runningTasks: AMOUNT,
  limits: OBJECT,
  listenersChanged: [(value) => value === null || typeof value === 'string', 'a string, or null'],
  payloads: [(value) => ['named', 'legacy'].includes(value), 'named or legacy'],
  endOnDisconnect: YES_OR_NO,
  maxBody: AMOUNT,
  requestTimeout: AMOUNT,
  hibernate: YES_OR_NO,
  onConnect: FUNCTION,
  onDisconnect: FUNCTION,
  onCaughtUp: FUNCTION,
  onGap: FUNCTION,
  onExpire: FUNCTION,
};

/** The numbers that the engine is made with. All options are looked at. */
export function engineOptions(options) {
  if (!isObject(options)) invalid('options', 'an object');
  checkNames(options, [...TIMES, ...Object.keys(CHOICES), ...Object.keys(OTHERS)]);
  for (const [name, [fits, mustBe]] of Object.entries(OTHERS)) {
    if (options[name] !== undefined && !fits(options[name])) invalid(name, mustBe);
  }
  const { limits = {}, tasks = {} } = options;
  checkNames(limits, LIMITS);
  for (const [name, work] of Object.entries(tasks)) {
    if (work !== 'worker' && typeof work !== 'function') invalid(`tasks.${name}`, 'a function or worker');
  }
  if (limits.logBytes > MOST_LOG_BYTES) invalid('logBytes', `at most ${MOST_LOG_BYTES}`);
  return [
    ...LIMITS.map((name) => limit(name, limits[name])),
    ...TIMES.map((name) => time(name, options[name])),
    ...Object.entries(CHOICES).map(([name, choices]) => choose(name, choices, options[name])),
  ];
}

function limit(name, value) {
  if (value === undefined) return NaN;
  const isOne = Number.isInteger(value) && value >= 0 && value < 2 ** 32;
  return isOne ? value : invalid(name, 'a whole number, at most 4,294,967,295');
}

function time(name, value) {
  if (value === undefined) return NaN;
  if (!Number.isFinite(value)) invalid(name, 'a number of milliseconds; a negative one means never');
  return value < 0 && ALWAYS.includes(name) ? invalid(name, 'at least 0 ms') : value;
}

/** Which of several choices it is; none is NaN. */
export function choose(name, choices, value) {
  if (value === undefined) return NaN;
  return choices.includes(value) ? choices.indexOf(value) : invalid(name, choices.join(' or '));
}

function checkNames(options, names) {
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) throw new SseError('invalid-option', `there is no option ${name}; see HubOptions`, name);
  }
}

function isObject(value) {
  return typeof value === 'object' && value !== null;
}

function invalid(name, mustBe) {
  throw new SseError('invalid-option', `the option ${name} must be ${mustBe}`, name);
}
