// Fastify: the hub takes the raw request and response.
import Fastify from 'fastify';
import { createHub } from 'sse-wasm/node';

const hub = createHub({ auth: { token: process.env.SSE_HUB_TOKEN } });
const app = Fastify();

app.register(async (routes) => {
  // The hub reads bodies itself, up to its own limit.
  routes.removeAllContentTypeParsers();
  routes.addContentTypeParser('*', (request, payload, done) => done(null));
  routes.all('/sse/*', (request, reply) => {
    reply.hijack();
    return hub.node(request.raw, reply.raw);
  });
});
app.post('/orders', async () => ({ told: hub.publish({ topic: 'orders' }, { event: 'order', data: { at: Date.now() } }) }));

console.log(`listening on ${await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })}`);
