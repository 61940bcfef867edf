// What applications pass, in the forms the engine takes; what has none is refused here, by name.
import { SseError } from '../errors.js';

const TARGETS = ['connections', 'topic', 'client', 'name', 'group'];

/** Text that names something: an id, a topic, a task. What may stand in it, the engine knows. */
export function nameOf(value, field) {
  if (typeof value === 'string') return value;
  throw new SseError('invalid-name', `the ${field} must be a string`, field);
}

/** Several of them, or `undefined`. */
export function namesOf(values, field) {
  if (values !== undefined && !Array.isArray(values)) throw new SseError('invalid-name', `${field} must be an array of strings`, field);
  return values?.map((value) => nameOf(value, field));
}

/** A client: its id, or its group and id. */
export function clientOf(client) {
  if (typeof client === 'string') return { group: '', id: client };
  const { group = '', id } = client ?? {};
  return { group: nameOf(group, 'group'), id: nameOf(id, 'id') };
}

/** `all`, one of topic, name, group and client, or some connections. */
export function targetOf(to) {
  if (to === 'all') return { kind: 'all', name: '', group: '' };
  const kinds = TARGETS.filter((kind) => to?.[kind] != null);
  const [kind] = kinds;
  if (kinds.length !== 1 && kinds.join() !== 'client,group') {
    throw new SseError('invalid-target', 'to must be "all", or have one of topic, client, name and group', 'to');
  }
  if (kind === 'connections') return { kind: '', name: '', group: '', handles: handlesOf(to.connections) };
  if (kind !== 'client') return { kind, name: nameOf(to[kind], kind), group: '' };
  const { group, id } = clientOf(to.client);
  return { kind, name: id, group: nameOf(to.group ?? group, 'group') };
}

function handlesOf(connections) {
  const handles = Array.isArray(connections) ? connections.map((connection) => connection?.handle) : [NaN];
  if (handles.every(Number.isInteger)) return Float64Array.from(handles);
  throw new SseError('invalid-target', 'to.connections must be an array of connections of this hub', 'to');
}

/** An event: text is its data, and data that is no text is sent as JSON. */
export function eventOf(event) {
  if (typeof event === 'string') return { data: event };
  if (typeof event !== 'object' || event === null) {
    throw new SseError('invalid-field', 'an event must be a string, or an object with data, event, id, retry or comment');
  }
  const { data, retry } = event;
  for (const field of ['event', 'id', 'comment']) {
    if (event[field] != null && typeof event[field] !== 'string') throw new SseError('invalid-field', `${field} must be a string`, field);
  }
  if (retry != null && !(Number.isInteger(retry) && retry >= 0 && retry < 2 ** 32)) {
    throw new SseError('invalid-field', 'retry must be a whole number of milliseconds below 2^32', 'retry');
  }
  return { ...event, data: typeof data === 'string' || data === undefined ? data : jsonOf(data, 'data') };
}

/** A value as JSON. */
export function jsonOf(value, field) {
  let json;
  let why = `it is a ${typeof value}`;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    why = error.message;
  }
  if (json === undefined) throw new SseError('invalid-field', `${field} cannot be sent as JSON: ${why}`, field);
  return json;
}
