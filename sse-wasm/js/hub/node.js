// The routes for Node's requests and responses: node:http, Express, Fastify's raw objects, and HTTP/2 by its compatibility API.
import { SseError } from '../errors.js';
import { joined, tooLarge, within } from './web.js';

/** Answers a Node request; what is none of the routes' goes to `next`, if there is one. */
export async function handleNode(hub, routes, request, response, next, limits, target = request.originalUrl ?? request.url) {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  if (next && !routes.owns(path, request.method)) return next();
  const answer = await routes.answer({
    method: request.method,
    path,
    query: mark < 0 ? '' : target.slice(mark),
    host: request.headers[':authority'] ?? null,
    header: (name) => headerOf(request, name),
    body: () => within(limits, readNode(request, limits.maxBody)),
  });
  if (!answer.stream) return send(response, answer);
  try {
    openNode(hub, answer.stream, response, answer.headers);
  } catch (error) {
    const refusal = answer.refused(error);
    const headers = { ...answer.headers, ...refusal.headers };
    for (const name of ['x-accel-buffering', 'cache-control']) delete headers[name];
    send(response, { ...refusal, headers });
  }
}

/** Opens a stream on a response. The client is registered before the head leaves. */
export function openNode(hub, registration, response, headers) {
  if (typeof response?.writeHead !== 'function') throw new SseError('invalid-response', 'the response must be one of node:http or http2');
  const connection = hub.open(registration, {
    write(chunk, connection) {
      connection.wants = response.write(chunk);
    },
    end(reason) {
      if (reason === 'stalled' || reason === 'broken') return destroy(response);
      response.end();
      // A peer that takes nothing would keep a response that has ended for ever.
      const patience = setTimeout(() => destroy(response), hub.writeStall);
      patience.unref();
      response.once('close', () => clearTimeout(patience));
    },
  });
  response.once('close', () => hub.left(connection));
  response.on('error', () => hub.left(connection));
  response.on('drain', () => {
    connection.wants = true;
    hub.fill(connection);
  });
  try {
    response.writeHead(200, headers);
  } catch (error) {
    // The head was written by someone else, or a header cannot be one.
    hub.left(connection);
    throw error;
  }
  response.flushHeaders?.();
  connection.wants = true;
  hub.fill(connection);
  return connection;
}

function destroy(response) {
  (response.stream ?? response).destroy();
}

export function send(response, { status, headers, body }) {
  response.writeHead(status, headers);
  response.end(body ?? undefined);
}

function headerOf(request, name) {
  if (name === 'host' && request.headers.host === undefined) return request.headers[':authority'] ?? null;
  const value = request.headers[name];
  return value === undefined ? null : String(value);
}

async function readNode(request, limit) {
  // A body parser was here before.
  if (request.body !== undefined && request.readableEnded) {
    const { body } = request;
    if (body instanceof Uint8Array) return body;
    const isEmpty = request.headers['content-length'] === '0' || request.headers['content-type'] === undefined;
    return new TextEncoder().encode(typeof body === 'string' ? body : isEmpty ? '' : JSON.stringify(body));
  }
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge();
  try {
    return await joined(request.iterator?.({ destroyOnReturn: false }) ?? request, limit);
  } catch (error) {
    // The rest is in the way of the next request on the connection.
    request.resume?.();
    throw error;
  }
}
