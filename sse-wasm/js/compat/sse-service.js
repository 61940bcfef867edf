// System G: npm `sse-service`, its functions under their names.
//
// The engine has the groups, the clients and their streams. Kept here is what belongs to JavaScript: responses, metadata, and the
// callbacks of writes that have not happened yet.
import { SseError } from '../errors.js';
import { EngineHub } from '../hub/hub.js';
import { openNode } from '../hub/node.js';

const DEFAULT_GROUP = 'defaultSSEGroup';
const HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' };
/** What belongs to another body, or to a connection. */
const NOT_PASSED_ON = ['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'proxy-connection'];
/** Writes of one connection that may wait for their callback. */
const PENDING = 65_536;

/** A service of its own. The functions below are those of one that all who import them share. */
export function createService(options = {}) {
  const hub = new EngineHub({
    heartbeat: options.keepAlive ?? 20_000,
    heartbeatComment: 'keep-alive',
    writeStall: options.writeStall,
    eventIds: 'given',
    retry: -1,
    listenersChanged: null,
    limits: { connectionsPerClient: 1024, nameBytes: 1024, frameBytes: 1 << 20, ...options.limits },
    onCaughtUp: ({ connection }) => written(connection),
    onDisconnect: ({ connection }) => gone(connection),
  });
  /** By name of the group, then by id: who has a connection. */
  const groups = new Map();
  const byResponse = new WeakMap();

  function connectSSE({ req, res, originalResHeaders = {}, meta = {}, clientId, onDisconnectCb, groupName = DEFAULT_GROUP }) {
    const id = clientId || crypto.randomUUID();
    const metadata = { response: res, group: String(groupName), id: String(id), onDisconnectCb, pending: [] };
    const registration = { client: keyOf(groupName, id), greeting: 'none', passing: true, metadata };
    byResponse.set(res, openNode(hub, registration, res, headersFrom(originalResHeaders)));
    const group = groups.get(metadata.group) ?? new Map();
    const client = group.get(metadata.id) ?? { connections: [], meta, clientId: id };
    groups.set(metadata.group, group.set(metadata.id, client));
    client.connections = [...client.connections, res];
    return { client, currConnection: res };
  }

  function gone({ metadata: { response, group: groupName, id, onDisconnectCb, pending } }) {
    byResponse.delete(response);
    const group = groups.get(groupName);
    const client = group.get(id);
    client.connections = client.connections.filter((connection) => connection !== response);
    if (client.connections.length === 0) group.delete(id);
    if (group.size === 0) groups.delete(groupName);
    // What a callback throws is the application's.
    for (const callback of pending) queueMicrotask(() => callback(closed()));
    if (onDisconnectCb) queueMicrotask(() => onDisconnectCb());
  }

  function written({ metadata }) {
    for (const callback of metadata.pending.splice(0)) queueMicrotask(() => callback());
  }

  const sendSSEToClient = curried(2, (clientId, msg, eventType = 'message', groupName = DEFAULT_GROUP, sseMsgId = undefined) => {
    if (getClientObj(clientId, groupName)) hub.publish({ client: keyOf(groupName, clientId) }, eventFrom(msg, eventType, sseMsgId));
  });

  function sendSSEToAll(msg, eventType, groupName = DEFAULT_GROUP, sseMsgId = undefined) {
    if (groups.has(String(groupName))) hub.publish({ group: nameOf(groupName) }, eventFrom(msg, eventType, sseMsgId));
  }

  function sendSSEToConnection(response, msg, eventType, sseMsgId, onWriteCb) {
    const event = eventFrom(msg, eventType, sseMsgId);
    const connection = byResponse.get(response);
    if (!connection) {
      if (onWriteCb) queueMicrotask(() => onWriteCb(closed()));
      return;
    }
    hub.publish({ connections: [connection] }, event);
    if (!onWriteCb) return;
    const { pending } = connection.metadata;
    pending.push(onWriteCb);
    if (pending.length <= PENDING) return;
    const oldest = pending.shift();
    queueMicrotask(() => oldest(new SseError('full', `${PENDING} writes wait for this connection already`)));
  }

  function getClientObj(clientId, groupName = DEFAULT_GROUP) {
    return groups.get(String(groupName))?.get(String(clientId));
  }

  function getAllClientObjs(groupName = DEFAULT_GROUP) {
    return [...(groups.get(String(groupName))?.values() ?? [])];
  }

  const setClientMetadata = curried(2, (clientId, meta, groupName = DEFAULT_GROUP) => {
    const client = getClientObj(clientId, groupName);
    if (client) client.meta = meta;
    return client;
  });

  return { connectSSE, sendSSEToClient, sendSSEToAll, sendSSEToConnection, getClientObj, getAllClientObjs, setClientMetadata };
}

let shared;
const service = () => (shared ??= createService());

export const connectSSE = (parameters) => service().connectSSE(parameters);
export const sendSSEToClient = (...rest) => service().sendSSEToClient(...rest);
export const sendSSEToAll = (...rest) => service().sendSSEToAll(...rest);
export const sendSSEToConnection = (...rest) => service().sendSSEToConnection(...rest);
export const getClientObj = (...rest) => service().getClientObj(...rest);
export const getAllClientObjs = (...rest) => service().getAllClientObjs(...rest);
export const setClientMetadata = (...rest) => service().setClientMetadata(...rest);

/** The headers of the framework's response, whatever their case, and those of a stream, which win. */
function headersFrom(original) {
  const headers = {};
  for (const [name, value] of Object.entries(original)) {
    const lower = name.toLowerCase();
    if (value !== undefined && !lower.startsWith(':') && !NOT_PASSED_ON.includes(lower)) headers[lower] = value;
  }
  return { ...headers, ...HEADERS };
}

function eventFrom(msg, eventType, sseMsgId) {
  return { data: msg, event: eventType ? String(eventType) : undefined, id: sseMsgId ? String(sseMsgId) : undefined };
}

function keyOf(groupName, clientId) {
  return { group: nameOf(groupName), id: nameOf(clientId) };
}

/** Any text as a name that the engine takes: what it does not take is escaped. */
function nameOf(text) {
  return encodeURIComponent(String(text).toWellFormed()).replaceAll('~', '%7E').replaceAll('%', '~');
}

/** With fewer arguments, a function that takes the rest; with promises among them, a promise of the result. */
function curried(arity, operation) {
  return function take(...given) {
    if (given.length < arity) return (...more) => take(...given, ...more);
    if (given.some((argument) => argument instanceof Promise)) return Promise.all(given).then((all) => operation(...all));
    return operation(...given);
  };
}

function closed() {
  return new SseError('closed', 'the connection is closed');
}
