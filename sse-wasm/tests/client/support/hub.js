// createHub() in Node, as tests/hosts/support/hub.mjs starts sse-hub.
import http from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

import { createHub } from 'sse-wasm/node';

/** The tasks that `sse-hub` has by itself, in a hurry. */
const TASKS = {
  sleep: () => pause(200),
  async 'progress-demo'({ progress }) {
    for (const percent of [25, 50, 75]) {
      progress({ percent });
      await pause(20);
    }
  },
};

/** `kill` leaves nothing of it, as the end of a process does. */
export async function startNodeHub({ port = 0 } = {}) {
  const hub = createHub({ auth: { open: true }, tasks: TASKS });
  const server = http.createServer((request, response) => hub.node(request, response));
  await new Promise((resolve) => { server.listen(port, '127.0.0.1', resolve); });
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    base: `${origin}/sse/`,
    port: server.address().port,
    async kill() {
      const gone = new Promise((resolve) => { server.close(resolve); });
      server.closeAllConnections();
      await gone;
      hub.free();
    },
  };
}
