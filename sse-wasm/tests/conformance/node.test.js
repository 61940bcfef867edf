import http from 'node:http';
import { Readable } from 'node:stream';

import { createHub } from 'sse-wasm/node';

import { listen } from '../support/listen.js';
import { TOKEN, conformance } from './suite.js';

const options = { auth: { token: TOKEN }, tasks: { job: 'worker' }, heartbeat: 1000, writeStall: 3000 };

conformance('createHub() and node:http', () => {
  const hub = createHub(options);
  return listen(http.createServer((request, response) => hub.node(request, response)));
});

conformance('createHub() and web requests', () => {
  const hub = createHub(options);
  return listen(http.createServer((request, response) => serve(hub, request, response)));
});

/** What fetch-style servers do: a Request, and a Response that is read as fast as the peer takes it. */
async function serve(hub, request, response) {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const hasBody = !['GET', 'HEAD'].includes(request.method);
  const answer = await hub.handle(
    new Request(`http://${request.headers.host}${request.url}`, {
      method: request.method,
      headers: Object.entries(request.headers),
      body: hasBody ? Readable.toWeb(request) : undefined,
      duplex: 'half',
      signal: gone.signal,
    }),
  );
  // A body that was not read is in the way of the next request.
  if (answer.status === 413) response.setHeader('connection', 'close');
  response.writeHead(answer.status, [...answer.headers].flat());
  response.flushHeaders();
  if (!answer.body) return response.end();
  const reader = answer.body.getReader();
  for (;;) {
    const { value, done } = await reader.read().catch(() => ({ done: true }));
    if (done) break;
    if (!response.write(value)) await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
  }
  response.end();
}
