// From options of a hub to those of the engine, in the order of `src/config.rs`.
import { SseError } from '../errors.js';

const LIMITS = [
  'connections', 'clients', 'issuedIds', 'connectionsPerClient', 'groups', 'topics', 'topicsPerClient', 'subscriptions', 'tasksPerClient',
  'tasks', 'detailBytes', 'nameBytes', 'topicBytes', 'frameBytes', 'logBytes', 'logEntries',
];

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

/** The numbers that the engine is made with. */
export function engineOptions(options) {
  const { limits = {} } = options;
  for (const name of Object.keys(limits)) {
    if (!LIMITS.includes(name)) throw new SseError('invalid-option', `there is no option ${name}; see HubOptions`, name);
  }
  return [
    ...LIMITS.map((name) => limit(name, limits[name])),
    ...TIMES.map((name) => time(name, options[name])),
    ...Object.entries(CHOICES).map(([name, choices]) => choice(name, choices, options[name])),
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

function choice(name, choices, value) {
  if (value === undefined) return NaN;
  return choices.includes(value) ? choices.indexOf(value) : invalid(name, choices.join(' or '));
}

function invalid(name, mustBe) {
  throw new SseError('invalid-option', `the option ${name} must be ${mustBe}`, name);
}
