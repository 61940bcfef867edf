// Bun: bun run bun.js
import { createHub } from 'sse-wasm';

const hub = createHub({ auth: { token: process.env.SSE_HUB_TOKEN } });

function orders() {
  const id = hub.publish({ topic: 'orders' }, { event: 'order', data: { at: Date.now() } });
  return Response.json({ told: id });
}

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.env.PORT ?? 3000),
  // Else Bun ends a stream that was silent for ten seconds.
  idleTimeout: 0,
  fetch: (request) => (new URL(request.url).pathname === '/orders' ? orders() : hub.handle(request)),
});
console.log(`listening on http://127.0.0.1:${server.port}`);
