import { EngineHub } from './hub/hub.js';
import { handleNode, openNode } from './hub/node.js';
import { Routes } from './hub/routes.js';
import { streamOf } from './hub/streams.js';
import { handleWeb } from './hub/web.js';

/** A hub for hosts that serve requests. */
export class Hub extends EngineHub {
  #routes;
  #limits;

  /** `host` and `guard` are for homes other than a process of one's own: see worker/object.js. */
  constructor(options = {}, host, guard) {
    super(options, host);
    this.#routes = new Routes(this, options, guard);
    this.#limits = { maxBody: options.maxBody ?? 1 << 20, requestTimeout: options.requestTimeout ?? 30_000 };
  }

  get prefix() {
    return this.#routes.prefix;
  }

  /** `respond` makes the response with a stream, of its registration and head. */
  handle(request, respond = (registration, head) => new Response(streamOf(this, registration, request.signal), head)) {
    return handleWeb(this.#routes, request, this.#limits, respond);
  }

  node(request, response, next) {
    return handleNode(this, this.#routes, request, response, next, this.#limits);
  }

  stream(registration = {}, { signal } = {}) {
    return streamOf(this, registration, signal);
  }

  openOn(response, registration, headers) {
    return openNode(this, registration, response, headers);
  }
}

export function createHub(options) {
  return new Hub(options);
}
