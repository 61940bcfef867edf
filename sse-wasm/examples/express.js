// Express 5: the hub's routes below /sse/, beside your own.
import express from 'express';
import { createHub } from 'sse-wasm/node';

const hub = createHub({ auth: { token: process.env.SSE_HUB_TOKEN } });
const app = express();

app.use((request, response, next) => hub.node(request, response, next));
app.post('/orders', (request, response) => {
  const id = hub.publish({ topic: 'orders' }, { event: 'order', data: { at: Date.now() } });
  response.json({ told: id });
});

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
