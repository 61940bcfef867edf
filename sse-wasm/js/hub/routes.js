// The hub's routes below its prefix, those of sse-hub: from a request to an answer, or to a stream to open.
//
// A request is what all hosts have: { method, path, query, header(name), body() }. An answer is { status, headers, body }, or
// { status, headers, stream } with the registration to open, whose answer exists once the client is registered.
import { ApiError, STREAM_HEADERS, failure, json, ok, text } from './answer.js';
import { Guard } from './guard.js';
import { parseBody, parseOptional, rawElements, rawMember } from './json.js';
import { SseError } from '../errors.js';

/** Each route: its method, its path with names of parameters, what its caller must be allowed to, and what it does. */
const ROUTES = [
  ['GET', 'register-listener/:id', 'stream', registerListener],
  ['GET', 'events', 'stream', events],
  ['GET', 'make-id/:name', 'command', (hub, { name }) => text(hub.allocateId(name))],
  ['GET', 'disconnect-registrant/:id', 'command', disconnectRegistrant],
  ['PUT', 'submit-task/:id/:task', 'command', submitTask],
  ['PUT', 'listen/:id/:key', 'command', (hub, { id, key }) => done(hub.listen(id, key))],
  ['DELETE', 'listen/:id/:key', 'command', (hub, { id, key }) => done(hub.unlisten(id, key))],
  ['GET', 'tasks/:id', 'command', tasks],
  ['GET', 'list-registrants', 'privileged', (hub) => json(registrants(hub))],
  ['GET', 'clear-registrants', 'privileged', (hub, _, { options }) => done(hub.clear({ endStreams: options.endOnDisconnect }))],
  ['GET', 'trigger-cleanup', 'privileged', (hub) => done(hub.sweep())],
  ['GET', 'trigger-adhoc/:id', 'privileged', (hub, { id }) => done(hub.notifyAdHoc(id))],
  ['GET', 'trigger-ad-hoc/:id', 'privileged', (hub, { id }) => done(hub.notifyAdHoc(id))],
  ['POST', 'publish', 'privileged', publish],
  ['POST', 'notify/:key', 'privileged', (hub, { key }) => json(JSON.stringify({ id: hub.notify(key) }))],
  ['POST', 'complete/:id/:task', 'privileged', complete],
  ['POST', 'progress/:id/:task', 'privileged', progress],
].map(([method, path, access, handler]) => ({ method, parts: path.split('/'), access, handler }));

export class Routes {
  #hub;
  #options;
  #guard;
  #routes;

  /** `served` has the first parts of the paths of the routes there are, where that is not all of them. */
  constructor(hub, { prefix = '/sse/', auth, endOnDisconnect = false, resume = true } = {}, guard = new Guard(auth), served = null) {
    this.prefix = checkPrefix(prefix);
    this.#hub = hub;
    this.#options = { endOnDisconnect, resume };
    this.#guard = guard;
    this.#routes = served && ROUTES.filter(({ parts }) => served.includes(parts[0]));
  }

  /** Whether a request is answered here: one below the prefix, or where not all routes are served, one of those. */
  owns(path, method) {
    if (!this.#routes) return path.startsWith(this.prefix);
    const { matching = [] } = Routes.find(this.prefix, path, this.#routes) ?? {};
    return matching.some((route) => method === 'OPTIONS' || method === route.method || (method === 'HEAD' && route.access === 'stream'));
  }

  /** What a path and a method lead to, and what the caller must be allowed to; `null` when there is nothing. */
  static find(prefix, path, routes = ROUTES) {
    if (!path.startsWith(prefix)) return null;
    const parts = path.slice(prefix.length).split('/');
    const matching = routes.filter((route) => matches(route.parts, parts));
    return matching.length > 0 ? { parts, matching, access: matching[0].access } : null;
  }

  async answer(request) {
    const found = Routes.find(this.prefix, request.path, this.#routes ?? ROUTES);
    const answer = turnedAway(found, request, this.#guard) ?? (await this.#admitted(found, request));
    if (!found) return answer;
    return { ...answer, headers: { ...answer.headers, ...this.#guard.headers(found.access, request) } };
  }

  async #admitted({ parts, matching, access }, request) {
    const isHead = request.method === 'HEAD' && access === 'stream';
    const route = matching.find(({ method }) => method === (isHead ? 'GET' : request.method));
    if (!route) return failure(wrongMethod(matching, access));
    // The head of a stream alone: whoever asks for it registers nobody.
    if (isHead) return { status: 200, headers: STREAM_HEADERS, body: null };
    try {
      const parameters = parametersOf(route.parts, parts);
      return await route.handler(this.#hub, parameters, { request, guard: this.#guard, options: this.#options });
    } catch (error) {
      if (error instanceof SseError && error.code === 'closed' && access === 'stream') return { status: 204, headers: {}, body: null };
      return failure(ApiError.from(error));
    }
  }
}

/** What is answered to a request without carrying it out; `null` when it is to be carried out. */
export function turnedAway(found, request, guard) {
  if (!found) return failure(new ApiError(404, `there is nothing at ${request.path}; the routes are listed in the README`));
  if (request.method === 'OPTIONS') return guard.preflight(found.access, request);
  const refusal = guard.refusal(found.access, request);
  return refusal && failure(refused(refusal));
}

// ---- streams

function registerListener(hub, { id }, { request, guard, options }) {
  // Nothing is kept of an id that another site's page brings, which has no use for it.
  const passing = !guard.isOurs(request);
  const lastEventId = options.resume ? startAt(request, undefined) : undefined;
  return stream(hub, { client: id, greeting: 'registered', dialect: 'manager', replace: true, passing, lastEventId });
}

function events(hub, _, { request, guard }) {
  const { topics, client, group = '', name, lastEventId } = parseQuery(request.query);
  const passing = client === undefined && name === undefined;
  const id = client ?? hub.newId(name);
  return stream(hub, {
    client: { group, id },
    topics,
    lastEventId: startAt(request, lastEventId),
    passing: passing || !guard.isOurs(request),
  }, 'client');
}

/** `blamed` is what the id is called in the request. */
function stream(hub, registration, blamed = 'id') {
  if (!hub.isOpen) throw new SseError('closed', 'the hub is closed');
  const renamed = (error) => {
    if (error instanceof SseError && error.field === 'id') error.field = blamed;
    return failure(ApiError.from(error));
  };
  return { status: 200, headers: STREAM_HEADERS, stream: registration, refused: renamed };
}

function startAt(request, query) {
  return request.header('last-event-id') || query;
}

/** Parameters that begin with `_` are left alone: pages add such against caches. */
function parseQuery(query) {
  const parsed = { topics: [] };
  for (const [key, value] of new URLSearchParams(query)) {
    if (key === 'topic') parsed.topics.push(value);
    else if (['client', 'group', 'name', 'lastEventId'].includes(key)) {
      if (key in parsed) throw new ApiError(400, 'the parameter is given more than once', key);
      parsed[key] = value;
    } else if (!key.startsWith('_')) {
      throw new ApiError(400, 'there is no such parameter; there are topic, client, group, name and lastEventId', key);
    }
  }
  if (parsed.client !== undefined && parsed.name !== undefined) {
    throw new ApiError(400, 'give a client, or a name to make an id for, not both', 'name');
  }
  return parsed;
}

// ---- system M

function disconnectRegistrant(hub, { id }, { options }) {
  hub.unregister(id, { endStreams: options.endOnDisconnect });
  return ok();
}

/** The registered clients as system M lists them. */
export function registrants(hub) {
  // Written piece by piece: an object would not keep the order of keys that look like numbers.
  const rows = hub.clients().map(({ group, id, topics, registered }) => {
    const key = JSON.stringify(group === '' ? id : `${group}/${id}`);
    return `${key}:${JSON.stringify({ listenKeys: topics, 'registered-ts': registered })}`;
  });
  return `{${rows.join(',')}}`;
}

// ---- publishing

async function publish(hub, _, { request }) {
  const { value, text: body } = parseBody(await request.body());
  const isArray = Array.isArray(value);
  const place = (index, field) => (isArray ? `[${index}].${field}` : field);
  const raws = isArray ? rawElements(body) : [body];
  const publications = (isArray ? value : [value]).map((one, index) =>
    publication(one, raws[index], (field) => (field === '' ? (isArray ? `[${index}]` : 'body') : place(index, field))),
  );
  try {
    const ids = hub.publishAll(publications).map((id) => JSON.stringify({ id }));
    return json(isArray ? `[${ids.join(',')}]` : ids[0]);
  } catch (error) {
    if (!(error instanceof SseError)) throw error;
    const toBlame = ['invalid-name', 'too-long'].includes(error.code) && error.field !== 'id' ? `to.${error.field}` : error.field;
    const field = error.code === 'unknown-client' ? 'to.client' : toBlame;
    if (field) error.field = place(error.index ?? 0, field);
    throw error;
  }
}

const FIELDS = ['to', 'event', 'data', 'id', 'retry'];
const TARGETS = ['topic', 'client', 'name', 'group'];

function publication(value, raw, at) {
  const wrong = (field, message) => new ApiError(400, message, at(field));
  if (!isObject(value)) throw wrong('', 'invalid type: an object with "to" and "data" is expected');
  for (const key of Object.keys(value)) {
    if (!FIELDS.includes(key)) throw wrong(key, `unknown field \`${key}\`, expected one of \`${FIELDS.join('`, `')}\``);
  }
  const { to, event, id, retry } = value;
  if (to === undefined) throw wrong('to', 'missing field `to`');
  if (to !== 'all') {
    const [kind, ...more] = isObject(to) ? Object.keys(to) : [];
    if (!TARGETS.includes(kind) || more.length > 0) {
      throw wrong('to', 'to must be "all", or an object with one of topic, client, name and group');
    }
    if (typeof to[kind] !== 'string') throw wrong(`to.${kind}`, 'invalid type: a string is expected');
  }
  for (const [field, text] of [['event', event], ['id', id]]) {
    if (text != null && typeof text !== 'string') throw wrong(field, 'invalid type: a string is expected');
  }
  if (retry != null && !(Number.isInteger(retry) && retry >= 0 && retry < 2 ** 32)) {
    throw wrong('retry', 'invalid type: a whole number of milliseconds below 2^32 is expected');
  }
  // As the publisher wrote it: no key moves, no number changes.
  const data = typeof value.data === 'string' || value.data === undefined ? value.data : rawMember(raw, 'data');
  return { to, event: { event: event ?? undefined, data, id: id ?? undefined, retry: retry ?? undefined } };
}

// ---- tasks

async function submitTask(hub, { id, task }, { request }) {
  const { value = null } = parseOptional(await request.body());
  hub.submitTask(id, task, value);
  return ok();
}

async function complete(hub, { id, task }, { request }) {
  const { value = {}, text: body } = parseOptional(await request.body());
  if (!isObject(value)) throw new ApiError(400, 'invalid type: an object with status, result or reason is expected', 'body');
  for (const key of Object.keys(value)) {
    if (!['status', 'result', 'reason'].includes(key)) {
      throw new ApiError(400, `unknown field \`${key}\`, expected one of \`status\`, \`result\`, \`reason\``, key);
    }
  }
  const { status = 'completed', result, reason } = value;
  if (status !== 'completed' && status !== 'failed') {
    throw new ApiError(400, `unknown variant \`${status}\`, expected \`completed\` or \`failed\``, 'status');
  }
  if (reason != null && typeof reason !== 'string') throw new ApiError(400, 'invalid type: a string is expected', 'reason');
  if (status === 'completed' && reason != null) throw new ApiError(400, 'only a failed task has a reason', 'reason');
  if (status === 'failed' && result != null) throw new ApiError(400, 'a failed task has no result; give a reason', 'result');
  if (status === 'failed') hub.fail(id, task, reason ?? '');
  else hub.completeJson(id, task, result == null ? undefined : rawMember(body, 'result'));
  return ok();
}

async function progress(hub, { id, task }, { request }) {
  const { value, text: body } = parseOptional(await request.body());
  hub.progressJson(id, task, value === undefined ? 'null' : body.trim());
  return ok();
}

const DETAILS = { failed: 'reason', completed: 'result', submitted: 'progress', progress: 'progress' };

function tasks(hub, { id }) {
  const rows = hub.tasks(id).map(({ task, status, detail }) => {
    const rest = `"status":${JSON.stringify(status)},"task":${JSON.stringify(task)}}`;
    if (status === 'failed') return `{"reason":${JSON.stringify(detail)},${rest}`;
    return detail === '' ? `{${rest}` : `{"${DETAILS[status]}":${detail},${rest}`;
  });
  return json(`[${rows.join(',')}]`);
}

// ---- paths

const done = (_) => ok();

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function matches(route, parts) {
  return route.length === parts.length && route.every((part, at) => (part.startsWith(':') ? parts[at] !== '' : part === parts[at]));
}

function parametersOf(route, parts) {
  const pairs = route.map((part, at) => [part, parts[at]]).filter(([part]) => part.startsWith(':'));
  return Object.fromEntries(pairs.map(([part, text]) => [part.slice(1), decoded(text)]));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ApiError(400, 'the path cannot be read: it is not UTF-8 in percent encoding');
  }
}

function wrongMethod(matching, access) {
  const allow = matching.flatMap(({ method }) => (access === 'stream' ? [method, 'HEAD'] : [method])).join(',');
  return new ApiError(405, 'this route does not take this method; see the Allow header', undefined, { allow });
}

function refused({ status, error, field, challenge }) {
  return new ApiError(status, error, field, challenge ? { 'www-authenticate': challenge } : {});
}

export function checkPrefix(prefix) {
  const segments = String(prefix).split('/').slice(1, -1);
  const isPlain = segments.every((part) => /^[A-Za-z0-9._~-]+$/.test(part) && part !== '.' && part !== '..');
  if (/^\/(.*\/)?$/.test(prefix) && isPlain) return prefix;
  const words = `${JSON.stringify(prefix)} cannot be a prefix: write letters, digits, - . _ and ~ between single slashes, such as /sse/`;
  throw new SseError('invalid-option', words, 'prefix');
}
