// Deno: deno run --allow-net --allow-read --allow-env deno.js
import process from 'node:process';

import { createHub } from 'sse-wasm';

const hub = createHub({ auth: { token: process.env.SSE_HUB_TOKEN } });

function orders() {
  const id = hub.publish({ topic: 'orders' }, { event: 'order', data: { at: Date.now() } });
  return Response.json({ told: id });
}

Deno.serve(
  {
    hostname: '127.0.0.1',
    port: Number(process.env.PORT ?? 3000),
    onListen: ({ port }) => console.log(`listening on http://127.0.0.1:${port}`),
  },
  (request) => (new URL(request.url).pathname === '/orders' ? orders() : hub.handle(request)),
);
