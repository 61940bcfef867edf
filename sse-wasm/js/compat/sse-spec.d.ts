/**
 * System S: `SSEService` as node-sse-specification writes it down. Change one import:
 *
 * ```js
 * import { SSEService } from 'sse-wasm/compat/sse-spec'; // was: 'sse'
 * const service = new SSEService();
 * app.get('/sse', service.register);
 * ```
 */
import type { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** One open connection, to send to. It says nothing of who is behind it. */
export declare class SSEID {
  private readonly connection: never;
}

/** What belongs to a response, as Express has it; made where there is none. */
export interface Locals {
  [name: string]: any;
  /** Set by `register`. */
  sse: { id: SSEID; lastEventId?: string };
}

/** One connection, those whose locals the function says yes to, or all. */
export type Target = SSEID | ((locals: Locals) => unknown) | null | undefined;

/** Called once it is done, or with what went wrong. Without a callback, that is thrown. */
export type Callback = (error?: Error) => void;

export interface ServiceOptions {
  /** Seconds of silence after which a connection gets the comment `heartbeat`; negative for never. Default 15. */
  heartbeatInterval?: number;
  /** Connections that may be open; negative for as many as the engine has room for, 2,097,152. Default -1. */
  maxNbConnections?: number;
  /** The status of who comes when it is full. Default 503, with `Retry-After`; 204 keeps browsers from coming back. */
  limitStatus?: number;
  /** Seconds in the `Retry-After` of who comes when it is full. Default 5. */
  retryAfter?: number;
  /** Whether `Accept` must be exactly `text/event-stream`. By default it may be a list that names it. */
  strictAccept?: boolean;
  /** Milliseconds after which a peer that takes nothing is given up. Default 30,000. */
  writeStall?: number;
  /** Limits of the engine by name, such as `frameBytes` and `logBytes`. */
  limits?: Record<string, number>;
}

/** What to send. Each part is left out when falsy, but for `data` that is 0 or false. */
export interface SendOptions {
  /** Text, or anything that JSON can hold. */
  data?: unknown;
  /** The event's name. An event that is named has data, be it empty. */
  event?: string;
  id?: string;
  /** Milliseconds. */
  retry?: number;
  comment?: string;
}

/** Why a request was not registered: `not-acceptable`, `full` or `closed`. */
export interface RegistrationError extends Error {
  code: string;
}

/**
 * All connections of a route. In all methods with a target, a function that is the only argument in its place is the callback.
 *
 * Events: `connection` once one is open; `clientClose` when the client left, not when it was ended here; `error` when a request
 * was refused, for which nobody needs to listen.
 */
export declare class SSEService extends EventEmitter {
  /** @throws `invalid-option` */
  constructor(options?: ServiceOptions);

  /** Answers a request with a stream, or refuses it. Bound: it can be passed on as a handler. */
  register(request: IncomingMessage, response: ServerResponse): void;

  /** `what` that is no object, or is an array, is the data. Callbacks are called once it is with the sockets, or waits for them. */
  send(what: SendOptions | unknown, callback?: Callback | SSEID | null): void;
  send(what: SendOptions | unknown, target: Target, callback: Callback | null | undefined): void;
  sendData(data: unknown, callback?: Callback | SSEID | null): void;
  sendData(data: unknown, target: Target, callback: Callback | null | undefined): void;
  sendEvent(event: string, data: unknown, callback?: Callback): void;
  sendEvent(event: string, data: unknown, id: string | null | undefined, callback?: Callback | SSEID | null): void;
  sendEvent(event: string, data: unknown, id: string | null | undefined, target: Target, callback: Callback | null | undefined): void;
  sendComment(comment: string, callback?: Callback | SSEID | null): void;
  sendComment(comment: string, target: Target, callback: Callback | null | undefined): void;
  /** `retry` in milliseconds. */
  sendRetry(retry: number, callback?: Callback | SSEID | null): void;
  sendRetry(retry: number, target: Target, callback: Callback | null | undefined): void;

  /** All clients forget their last event id. */
  resetLastEventId(callback?: Callback): void;

  /** Ends connections, each after what was sent to it; nothing that is sent later is for them. */
  unRegister(callback?: Callback | SSEID | null): void;
  unRegister(target: Target, callback: Callback | null | undefined): void;

  /** Ends all connections. Requests that come later are answered with 204, so that browsers do not come back. */
  close(callback?: Callback): void;

  on(event: 'connection' | 'clientClose', listener: (id: SSEID, locals: Locals) => void): this;
  on(event: 'error', listener: (error: RegistrationError) => void): this;
}
