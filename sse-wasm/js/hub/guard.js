// Who may do what: the token, and the guards against strangers' web pages, as in sse-hub.
//
//                 host guard   site guard               token   CORS
//   stream        yes          unless * is configured           * when configured, else the listed origins
//   command       yes          yes                              the listed origins
//   privileged    yes          yes                      yes     the listed origins
import { SseError } from '../errors.js';

const METHODS = 'GET, HEAD, POST, PUT, DELETE, OPTIONS';
/** How long a browser may remember a preflight, in seconds. */
const PREFLIGHT = '600';

export class Guard {
  #token;
  #open;
  #origins;
  #hosts;

  constructor({ token, open = false, origins = ['*'], hosts } = {}) {
    if (token !== undefined && !/^[!-~]{16,256}$/.test(token)) {
      throw new SseError('invalid-option', 'auth.token must be 16 to 256 visible ASCII characters, as openssl rand -hex 32 gives', 'token');
    }
    for (const [name, list] of Object.entries({ origins, hosts })) {
      const isList = Array.isArray(list) && list.every((value) => typeof value === 'string');
      if (list !== undefined && !isList) throw new SseError('invalid-option', `auth.${name} must be an array of strings`, name);
    }
    this.#token = token;
    this.#open = open;
    this.#origins = new Set(origins);
    this.#hosts = hosts && new Set(hosts.map((host) => host.toLowerCase()));
  }

  /** `null` when the request may pass, else why not. */
  refusal(access, request) {
    const presented = bearer(request);
    if (this.#matches(presented)) return null;
    if (this.#hosts && !this.#isHostOurs(request)) {
      return refuse(403, 'this hub does not answer to that Host; name the host in auth.hosts', 'Host');
    }
    const guarded = access !== 'stream' || !this.#origins.has('*');
    if (guarded && !this.#isSiteOurs(request)) {
      return refuse(403, 'a page of another origin may not do this; name its origin in cors_origins, or send the token', 'Origin');
    }
    if (access !== 'privileged' || (this.#open && this.#token === undefined)) return null;
    if (this.#token === undefined) {
      return refuse(403, 'this hub has no token, so nobody may do this over HTTP; set auth.token', 'Authorization');
    }
    if (presented === null) {
      const words = 'this needs the hub\'s token; send it as Authorization: Bearer TOKEN';
      return { ...refuse(401, words, 'Authorization'), challenge: 'Bearer realm="sse-hub"' };
    }
    const words = 'that is not the hub\'s token; see SSE_HUB_TOKEN or token_file';
    return { ...refuse(401, words, 'Authorization'), challenge: 'Bearer realm="sse-hub", error="invalid_token"' };
  }

  /** Whether the request comes from a page of this origin or of a listed one, from no page at all, or with the token. */
  isOurs(request) {
    return this.#matches(bearer(request)) || this.#isSiteOurs(request);
  }

  /** The CORS headers that the answer to a request is due. */
  headers(access, request) {
    if (access === 'stream' && this.#origins.has('*')) return { 'access-control-allow-origin': '*' };
    const origin = request.header('origin');
    if (!this.#lists(origin)) return { vary: 'origin' };
    return { vary: 'origin', 'access-control-allow-origin': origin, 'access-control-expose-headers': 'retry-after' };
  }

  /** The answer to OPTIONS. A page of another origin is told nothing that lets its browser go on. */
  preflight(access, request) {
    const headers = { allow: METHODS, ...this.headers(access, request) };
    if (headers['access-control-allow-origin']) {
      headers['access-control-allow-methods'] = METHODS;
      headers['access-control-max-age'] = PREFLIGHT;
      headers.vary = [headers.vary, 'access-control-request-headers'].filter(Boolean).join(', ');
      const wanted = request.header('access-control-request-headers');
      if (wanted) headers['access-control-allow-headers'] = wanted;
    }
    return { status: 204, headers, body: null };
  }

  #matches(presented) {
    return this.#token !== undefined && presented !== null && equal(presented, this.#token);
  }

  #lists(origin) {
    return origin !== null && origin !== '*' && this.#origins.has(origin);
  }

  #isHostOurs(request) {
    const host = request.header('host') ?? request.host;
    return host === null || this.#hosts.has(host.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, ''));
  }

  #isSiteOurs(request) {
    const origin = request.header('origin');
    if (this.#lists(origin)) return true;
    const site = request.header('sec-fetch-site');
    if (site !== null) return site === 'same-origin' || site === 'none';
    if (origin === null) return true;
    const [, from] = origin.split('://');
    return from !== undefined && from.toLowerCase() === (request.header('host') ?? request.host ?? '').toLowerCase();
  }
}

/** For who is behind another guard, which says in a header whether a request is the hub's own site's. */
export class Admitted {
  refusal() {
    return null;
  }

  isOurs(request) {
    return request.header(OURS) !== 'no';
  }

  headers() {
    return {};
  }

  preflight() {
    return { status: 204, headers: { allow: METHODS }, body: null };
  }
}

/** The header that a guard in front sets to `no` for requests of another site's pages. */
export const OURS = 'x-sse-hub-ours';

function refuse(status, error, field) {
  return { status, error, field };
}

function bearer(request) {
  const match = /^bearer +(\S+) *$/i.exec(request.header('authorization') ?? '');
  return match && match[1];
}

/** Takes the same time for every presented text of one length. */
function equal(presented, secret) {
  let different = presented.length ^ secret.length;
  for (let at = 0; at < presented.length; at++) different |= presented.charCodeAt(at) ^ secret.charCodeAt(at % secret.length);
  return different === 0;
}
