// The routes for hosts with web requests and responses: Deno, Bun, Workers, Hono, and Node by fetch-style frameworks.
import { ApiError } from './answer.js';

/** Answers a web request; `respond` makes the response with a stream. */
export async function handleWeb(routes, request, limits, respond) {
  const url = new URL(request.url);
  const answer = await routes.answer({
    method: request.method,
    path: url.pathname,
    query: url.search,
    host: url.host,
    header: (name) => request.headers.get(name),
    body: () => within(limits, readWeb(request, limits.maxBody)),
  });
  if (!answer.stream) return new Response(answer.body, { status: answer.status, headers: answer.headers });
  try {
    return respond(answer.stream, { status: answer.status, headers: answer.headers });
  } catch (error) {
    const refusal = answer.refused(error);
    const headers = { ...answer.headers, ...refusal.headers };
    for (const name of ['x-accel-buffering', 'cache-control']) delete headers[name];
    return new Response(refusal.body, { status: refusal.status, headers });
  }
}

/** A body, unless it is too large or takes too long. */
export function within({ requestTimeout }, reading) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      const words = 'the request took longer than http.request_timeout allows; send its body at once, or try again later';
      reject(new ApiError(408, words));
    }, requestTimeout);
    timer.unref?.();
  });
  return Promise.race([reading, late]).finally(() => clearTimeout(timer));
}

export function tooLarge() {
  return new ApiError(413, 'the request body is larger than http.max_body allows; send less at once');
}

/** Joins what an iterable gives, up to a limit. */
export async function joined(chunks, limit) {
  const parts = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > limit) throw tooLarge();
    parts.push(chunk);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function readWeb(request, limit) {
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge();
  if (!request.body) return new Uint8Array();
  return joined(request.body, limit);
}
