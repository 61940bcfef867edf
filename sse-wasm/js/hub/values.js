// What applications pass, in the forms the engine takes.
import { SseError } from '../errors.js';

/** A client: its id, or its group and id. */
export function clientOf(client) {
  if (typeof client === 'string') return { group: '', id: client };
  return { group: client.group ?? '', id: client.id };
}

/** `all`, one of topic, name, group and client, or some connections. */
export function targetOf(to) {
  if (to === 'all') return { kind: 'all', name: '', group: '' };
  if (to?.connections) {
    return { kind: '', name: '', group: '', handles: Float64Array.from(to.connections, (connection) => connection.handle) };
  }
  for (const kind of ['topic', 'client', 'name', 'group']) {
    if (kind === 'client' && to?.client !== undefined) {
      const { group, id } = clientOf(to.client);
      return { kind, name: id, group: to.group ?? group };
    }
    if (to?.[kind] !== undefined) return { kind, name: to[kind], group: '' };
  }
  throw new SseError('invalid-target', 'to must be "all", or have a topic, client, name or group', 'to');
}

/** An event: text is its data, and data that is no text is sent as JSON. */
export function eventOf(event) {
  if (typeof event === 'string') return { data: event };
  const { data } = event;
  return { ...event, data: typeof data === 'string' || data === undefined ? data : JSON.stringify(data) };
}
