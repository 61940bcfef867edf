// Hono, here on Node: a web request in, a web response out.
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { createHub } from 'sse-wasm';

const hub = createHub({ auth: { token: process.env.SSE_HUB_TOKEN } });
const app = new Hono();

app.all('/sse/*', (context) => hub.handle(context.req.raw));
app.post('/orders', (context) => {
  const id = hub.publish({ topic: 'orders' }, { event: 'order', data: { at: Date.now() } });
  return context.json({ told: id });
});

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.env.PORT ?? 3000) }, ({ port }) => {
  console.log(`listening on http://127.0.0.1:${port}`);
});
