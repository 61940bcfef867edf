// A server that answers as a test's script says. The script travels in the URL, so that any page or process can bring its own.

import http from 'node:http';

import { listen } from '../../support/listen.js';

/**
 * `/play?token=T&script=JSON`: the script is a list of answers, one for each request with the token, the last one for all further ones:
 * `{ status, headers, body, hold }`. In the body, `{name}` stands for the header of the request (`-` without one, UTF-8 read as such),
 * `{method}`, `{sent}` (its body) and `{cookie}` likewise. `hold` keeps the answer open.
 *
 * `files` and `routes` answer what is asked for by other paths. `requests(token)` are those so far, `open(token)` the answers that are still under way.
 */
export async function startServer({ files = () => undefined, routes = {} } = {}) {
  const played = new Map();
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const file = files(url.pathname);
    if (file) return void response.writeHead(200, { 'content-type': file.type, 'cache-control': 'no-store' }).end(file.body);
    if (request.method === 'OPTIONS') {
      return void response.writeHead(204, {
        'access-control-allow-origin': request.headers.origin, 'access-control-allow-credentials': 'true',
        'access-control-allow-methods': 'GET, POST', 'access-control-allow-headers': 'last-event-id, x-test, content-type',
      }).end();
    }
    if (routes[url.pathname]) return void routes[url.pathname](request, response);
    if (url.pathname !== '/play') return void response.writeHead(404).end();
    const token = url.searchParams.get('token');
    const own = played.get(token) ?? { requests: [], open: new Set() };
    played.set(token, own);
    let sent = '';
    for await (const part of request) sent += part;
    own.requests.push({ method: request.method, headers: request.headers, sent, at: performance.now() });
    own.open.add(response);
    response.on('close', () => own.open.delete(response));
    const script = JSON.parse(url.searchParams.get('script'));
    const answer = script[Math.min(own.requests.length, script.length) - 1];
    // Chromium takes what ends the body of a 205, which may have none, for the answer to its next request.
    const alone = answer.status === 205 ? { connection: 'close' } : {};
    response.writeHead(answer.status ?? 200, { 'content-type': 'text/event-stream', ...alone, ...answer.headers });
    response.flushHeaders();
    const body = (answer.body ?? '').replace(/\{([a-z-]+)\}/g, (_, name) => {
      if (name === 'method') return request.method;
      if (name === 'sent') return sent;
      return Buffer.from(request.headers[name] ?? '-', 'latin1').toString();
    });
    if (answer.hold) response.write(body);
    else response.end(body);
  });
  const { origin, stop } = await listen(server);
  return {
    origin,
    stop,
    requests: (token) => played.get(token)?.requests ?? [],
    open: (token) => [...(played.get(token)?.open ?? [])],
  };
}
