import { once } from 'node:events';

/** Listens on a free loopback port. */
export async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      server.close();
      server.closeAllConnections?.();
      await once(server, 'close');
    },
  };
}
