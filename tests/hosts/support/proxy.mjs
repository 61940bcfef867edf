// A TCP proxy that can cut a connection at a byte of its choosing, in the middle of a frame.

import net from 'node:net';
import { once } from 'node:events';

/**
 * Forwards to `port`. `links` has one entry a connection, oldest first: `sent` and `received` are all bytes from client and hub
 * as text, `open` says whether both ends still are.
 */
export async function startProxy(port) {
  const links = [];
  let cut = null;
  const server = net.createServer((client) => {
    const hub = net.connect(port, '127.0.0.1');
    const link = { sent: '', received: '', open: true, end };
    links.push(link);

    function end() {
      link.open = false;
      client.destroy();
      hub.destroy();
    }
    for (const socket of [client, hub]) {
      socket.on('error', end);
      socket.on('close', end);
    }
    client.on('data', (chunk) => {
      link.sent += chunk.toString('latin1');
      hub.write(chunk);
    });
    hub.on('data', (chunk) => {
      const before = link.received.length;
      const text = chunk.toString('latin1');
      const at = cut?.(link, link.received + text) ?? Infinity;
      if (at > before + text.length) {
        link.received += text;
        client.write(chunk);
        return;
      }
      cut = null;
      const kept = Math.max(0, at - before);
      link.received += text.slice(0, kept);
      // The client gets the head of the frame, then the end of the connection, as when a machine in between dies.
      hub.destroy();
      client.end(chunk.subarray(0, kept));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    origin: `http://127.0.0.1:${server.address().port}`,
    links,
    /** `where(link, received)` gives the count of received bytes after which to cut, or null. It is used up by one cut. */
    cutAt(where) { cut = where; },
    get armed() { return cut !== null; },
    async close() {
      server.close();
      for (const link of links) link.end();
      await once(server, 'close');
    },
  };
}
