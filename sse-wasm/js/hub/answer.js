// From what the hub says to what HTTP says.
import { SseError } from '../errors.js';

/** Seconds after which to try again when the hub is full or shutting down. */
const RETRY_AFTER = '5';

const STATUS = {
  closed: 503,
  'shutting-down': 503,
  busy: 503,
  full: 503,
  'no-entropy': 500,
  'unknown-client': 404,
  'unknown-stream': 404,
  'unknown-task': 404,
  'task-pending': 409,
  'task-ended': 409,
  'too-long': 413,
  'too-large': 413,
  'invalid-name': 400,
  'invalid-field': 400,
  'invalid-target': 400,
};

/** A request's failure: a status, what was wrong and what to do, and the JSON path or parameter to blame. */
export class ApiError extends Error {
  constructor(status, message, field, headers = {}) {
    super(message);
    this.status = status;
    this.field = field;
    this.headers = headers;
  }

  static from(error) {
    if (error instanceof ApiError) return error;
    if (!(error instanceof SseError) || !STATUS[error.code]) throw error;
    const status = STATUS[error.code];
    return new ApiError(status, error.message, error.field || undefined, status === 503 ? { 'retry-after': RETRY_AFTER } : {});
  }
}

/** The answer to a request that cannot be served. */
export function failure({ status, message, field, headers }) {
  const body = JSON.stringify({ error: message, field });
  return { status, headers: { 'content-type': 'application/json', ...headers }, body };
}

/** The answer of system M to a command that was carried out. */
export const ok = () => text('ok');

export function text(body) {
  return { status: 200, headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' }, body };
}

/** JSON that no cache keeps. */
export function json(body) {
  return { status: 200, headers: { 'content-type': 'application/json', 'cache-control': 'no-store' }, body };
}

/** What stands in the head of every stream. */
export const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};
