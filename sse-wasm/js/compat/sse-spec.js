// System S: the SSEService of node-sse-specification.
//
// Every connection is a client of its own, which the engine forgets with it. The engine decides bytes and times; here are arguments,
// answers to requests that are refused, and events.
import { EventEmitter } from 'node:events';

import { SseError } from '../errors.js';
import { ApiError, failure } from '../hub/answer.js';
import { EngineHub } from '../hub/hub.js';
import { openNode, send } from '../hub/node.js';

const HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' };
/** As many connections as the engine can tell apart: what no limit means. */
const UNLIMITED = 2 ** 21;

/** One open connection, to send to. */
export class SSEID {}

export class SSEService extends EventEmitter {
  #hub;
  /** The connections that may be sent to. Those that were unregistered go on until they have everything. */
  #connections = new Map();
  #strictAccept;
  #refusal;
  #isFull;
  #closed = null;

  constructor(options = {}) {
    super();
    const { heartbeatInterval = 15, maxNbConnections = -1, limitStatus = 503, retryAfter = 5, strictAccept = false } = options;
    for (const [name, value] of Object.entries({ heartbeatInterval, maxNbConnections, limitStatus, retryAfter })) {
      if (!Number.isFinite(value)) throw new SseError('invalid-option', `the option ${name} must be a number`, name);
    }
    const connections = maxNbConnections < 0 ? UNLIMITED : maxNbConnections;
    this.#hub = new EngineHub({
      heartbeat: heartbeatInterval * 1000,
      writeStall: options.writeStall,
      eventIds: 'given',
      retry: -1,
      listenersChanged: null,
      // The engine has room for one at least.
      limits: { ...options.limits, connections: connections || 1, clients: connections || 1 },
      onDisconnect: (told) => this.#gone(told),
    });
    this.#isFull = connections === 0;
    this.#strictAccept = strictAccept;
    this.#refusal = { status: limitStatus, headers: limitStatus === 204 ? {} : { 'retry-after': String(retryAfter) } };
    // Applications pass it on as a handler: app.get('/sse', service.register).
    this.register = this.register.bind(this);
  }

  register(request, response) {
    if (this.#closed) return this.#refuse(response, 204, new SseError('closed', 'the service is closed'));
    if (!accepts(request.headers.accept, this.#strictAccept)) {
      const words = 'this is a stream of events: the request must say Accept: text/event-stream';
      return this.#refuse(response, 400, new SseError('not-acceptable', words, 'Accept'));
    }
    const sseId = new SSEID();
    const locals = (response.locals ??= {});
    const lastEventId = request.headers['last-event-id'];
    const gone = withResolvers();
    try {
      if (this.#isFull) throw new SseError('full', 'the limit connections is reached; raise it or try again later');
      const registration = { name: 'sse', greeting: 'silent', passing: true, metadata: { sseId, locals, gone } };
      this.#connections.set(sseId, openNode(this.#hub, registration, response, HEADERS));
    } catch (error) {
      if (response.headersSent) return this.#tellError(error);
      const { status, headers } = error.code === 'full' ? this.#refusal : { status: 500 };
      return this.#refuse(response, status, error, headers);
    }
    locals.sse = lastEventId === undefined ? { id: sseId } : { id: sseId, lastEventId };
    this.emit('connection', sseId, locals);
  }

  send(what, ...rest) {
    const isOptions = typeof what === 'object' && what !== null && !Array.isArray(what);
    const { data, event, id, retry, comment } = isOptions ? what : { data: what };
    this.#publish(
      {
        // Zero and false are data; nothing is not.
        data: data === null || data === '' ? undefined : data,
        event: event ? String(event) : undefined,
        id: id ? String(id) : undefined,
        retry: retry || undefined,
        comment: comment ? String(comment) : undefined,
      },
      rest,
    );
  }

  sendData(data, ...rest) {
    this.send({ data }, ...rest);
  }

  sendEvent(event, data, ...rest) {
    const [id, ...more] = isCallbackAlone(rest) ? [undefined, ...rest] : rest;
    if (id instanceof SSEID) throw invalidTarget('the third argument of sendEvent is the id of the event, the fourth the target');
    this.send({ event, data, id }, ...more);
  }

  sendComment(comment, ...rest) {
    this.send({ comment }, ...rest);
  }

  sendRetry(retry, ...rest) {
    this.send({ retry }, ...rest);
  }

  resetLastEventId(callback) {
    this.#publish({ id: '' }, callback ? [callback] : []);
  }

  unRegister(...rest) {
    const { target, callback } = argumentsOf(rest);
    settle(callback, () => this.#finish(this.#select(target)));
  }

  close(callback) {
    this.#closed ??= this.#finish(this.#hub.connections()).then(() => this.#hub.free());
    settle(callback, () => this.#closed);
  }

  #publish(event, rest) {
    const { target, callback } = argumentsOf(rest);
    settle(callback, () => {
      if (event.retry !== undefined && !(Number.isInteger(event.retry) && event.retry >= 0 && event.retry < 2 ** 32)) {
        throw new SseError('invalid-field', 'retry must be a whole number of milliseconds below 2^32', 'retry');
      }
      const connections = this.#select(target);
      if (this.#closed || connections?.length === 0) return;
      this.#hub.publish(connections ? { connections } : 'all', event);
    });
  }

  /** The connections that a target means; `null` for all. */
  #select(target) {
    if (target === undefined || target === null) return null;
    if (target instanceof SSEID) return [this.#connections.get(target)].filter(Boolean);
    if (typeof target === 'function') return [...this.#connections.values()].filter(({ metadata }) => target(metadata.locals));
    throw invalidTarget('a target is an SSEID, or a function that says of the locals of a connection whether it is one');
  }

  /** Ends connections, each with what was sent to it; fulfilled when all are gone. */
  async #finish(connections) {
    const ending = connections ?? [...this.#connections.values()];
    for (const connection of ending) {
      this.#connections.delete(connection.metadata.sseId);
      this.#hub.finish(connection);
    }
    await Promise.all(ending.map(({ metadata }) => metadata.gone.promise));
  }

  #gone({ connection, reason }) {
    const { sseId, locals, gone } = connection.metadata;
    const wasOpen = this.#connections.delete(sseId);
    gone.resolve();
    // A listener that throws is not in the hub's way.
    if (wasOpen && reason === null) queueMicrotask(() => this.emit('clientClose', sseId, locals));
  }

  #refuse(response, status, error, headers = {}) {
    const said = new ApiError(status, error.message, error.field || undefined, headers);
    send(response, status === 204 ? { status, headers, body: null } : failure(said));
    this.#tellError(error);
  }

  /** Without a listener it would be thrown, and any request could end the process. */
  #tellError(error) {
    if (this.listenerCount('error') > 0) this.emit('error', error);
  }
}

/** Whether an Accept header names the media type. Wildcards do not. */
function accepts(header = '', strict) {
  if (strict) return header === 'text/event-stream';
  return header.split(',').some((range) => {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return type === 'text/event-stream' && !parameters.some((parameter) => /^q\s*=\s*0(\.0*)?$/.test(parameter));
  });
}

/** `[target[, callback]]`, of which a function alone is the callback. */
function argumentsOf(rest) {
  const [target, callback] = isCallbackAlone(rest) ? [null, ...rest] : rest;
  return { target, callback };
}

function isCallbackAlone(rest) {
  return rest.length === 1 && typeof rest[0] === 'function';
}

/** Does something now, and calls back once it is done, or with what went wrong. Without a callback, that is thrown. */
function settle(callback, work) {
  if (typeof callback !== 'function') return void work();
  // What the callback throws is the application's: nobody may take it for a rejection.
  const call = (error) => queueMicrotask(() => (error === undefined ? callback() : callback(error)));
  try {
    Promise.resolve(work()).then(() => call(), call);
  } catch (error) {
    call(error);
  }
}

function invalidTarget(words) {
  return new SseError('invalid-target', words, 'target');
}

function withResolvers() {
  let resolve;
  const promise = new Promise((resolves) => (resolve = resolves));
  return { promise, resolve };
}
