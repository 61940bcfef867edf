import { ApiError, failure } from '../hub/answer.js';
import { Guard, OURS } from '../hub/guard.js';
import { choose } from '../hub/options.js';
import { Routes, checkPrefix, turnedAway } from '../hub/routes.js';
import { joined, tooLarge } from '../hub/web.js';
import { responseFrom } from './socket.js';

/**
 * A Worker in front of hub objects: it guards, finds the object that a request is for, and forwards. The object owns the engine
 * and every stream: what a plain Worker writes for another request is lost. In front of objects that hibernate it holds the
 * streams, and has a WebSocket to the object for each.
 */
export function createWorker(options = {}) {
  const { prefix = '/sse/', auth, binding = 'SSE_HUB', shardBy = 'none', maxBody = 1 << 20, hibernate = false } = options;
  checkPrefix(prefix);
  choose('shardBy', ['none', 'group', 'topic'], shardBy);
  // The environment, and so the guard, is the same from one request to the next.
  let made = { env: undefined, guard: undefined };
  const guardFor = (env) => {
    if (made.env !== env) made = { env, guard: new Guard(typeof auth === 'function' ? auth(env) : auth) };
    return made.guard;
  };
  return {
    async fetch(request, env) {
      const url = new URL(request.url);
      const asked = {
        method: request.method,
        path: url.pathname,
        host: url.host,
        header: (name) => request.headers.get(name),
      };
      const found = Routes.find(prefix, asked.path);
      const guard = guardFor(env);
      const turned = turnedAway(found, asked, guard);
      const cors = found ? guard.headers(found.access, asked) : {};
      if (turned) return respond({ ...turned, headers: { ...turned.headers, ...(request.method === 'OPTIONS' ? {} : cors) } });
      try {
        const headers = new Headers(request.headers);
        headers.set(OURS, guard.isOurs(asked) ? 'yes' : 'no');
        if (hibernate && found.access === 'stream' && request.method === 'GET') headers.set('upgrade', 'websocket');
        else headers.delete('upgrade');
        const { name, body } = await shardOf(shardBy, found, url, request, maxBody);
        const namespace = env[binding];
        if (!namespace) throw new Error(`there is no Durable Object binding ${binding}: name it in wrangler.jsonc`);
        const stub = namespace.get(namespace.idFromName(name));
        const target = `${url.origin}/${url.pathname.slice(prefix.length)}${url.search}`;
        const init = { method: request.method, headers, body, signal: request.signal };
        const response = await stub.fetch(target, init);
        const answer = response.webSocket ? responseFrom(response, request.signal) : new Response(response.body, response);
        for (const [header, value] of Object.entries(cors)) answer.headers.set(header, value);
        return answer;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        const refusal = failure(error);
        return respond({ ...refusal, headers: { ...refusal.headers, ...cors } });
      }
    },
  };
}

/** The object that a request without a group or a topic is for. */
const DEFAULT = 'hub';

/** Which object a request is for, by name, and the body to forward. */
async function shardOf(shardBy, found, url, request, maxBody) {
  const { parts } = found;
  if (shardBy === 'none') return { name: DEFAULT, body: request.body };
  if (parts[0] !== 'publish') {
    const asked = parts[0] === 'notify' && shardBy === 'topic' ? [decodeURIComponent(parts[1])] : url.searchParams.getAll(shardBy);
    return { name: nameOf(shardBy, asked, shardBy), body: request.body };
  }
  if (Number(request.headers.get('content-length') ?? 0) > maxBody) throw tooLarge();
  const body = request.body ? await joined(request.body, maxBody) : new Uint8Array();
  return { name: nameOf(shardBy, targets(body).map((to) => to?.[shardBy]), 'to'), body };
}

function nameOf(shardBy, values, field) {
  const names = new Set(values.map((value) => (typeof value === 'string' && value !== '' ? `${shardBy}:${value}` : DEFAULT)));
  if (names.size > 1) {
    throw new ApiError(400, `each ${shardBy} has an object of its own: one request can be for one ${shardBy}`, field);
  }
  return [...names][0] ?? DEFAULT;
}

/** Whom the events of a body are for; what is wrong with it, the object says. */
function targets(body) {
  try {
    const value = JSON.parse(new TextDecoder().decode(body));
    return (Array.isArray(value) ? value : [value]).map((event) => event?.to);
  } catch {
    return [];
  }
}

function respond({ status, headers, body }) {
  return new Response(body, { status, headers });
}
