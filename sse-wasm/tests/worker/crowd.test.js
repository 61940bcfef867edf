// Many peers of one object, and peers that take nothing or vanish.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';

import { privileged } from '../support/privileged.js';
import { open, until } from '../support/stream.js';
import { BOTH, startWorker } from '../support/workerd.js';

const TOKEN = '0123456789abcdef-crowd';
const { publish } = privileged(TOKEN);

for (const { how, options } of BOTH) describe(`many peers of one object that ${how}`, () => {
  let worker;
  before(async () => {
    worker = await startWorker({ token: TOKEN, options });
  });
  after(() => worker.stop());
  const usage = () => worker.call('hub', 'usage');

  test('500 clients all get everything', async () => {
    const { origin } = worker;
    const streams = [];
    for (let at = 0; at < 500; at += 50) {
      streams.push(...(await Promise.all(Array.from({ length: 50 }, () => open(`${origin}/sse/events?topic=crowd`)))));
    }
    assert.equal((await usage()).connections, 500);
    const ids = [];
    for (let event = 0; event < 5; event++) ids.push((await publish(origin, { to: { topic: 'crowd' }, data: `${event}` })).id);
    for (const stream of streams) {
      for (const [event, id] of ids.entries()) assert.equal(await stream.event(), `data:${event}\nid:${id}\n\n`);
    }
    for (const stream of streams) stream.close();
    await until(async () => (await usage()).connections === 0, 'nobody is left');
  });

  test('300 quick resets leave nothing', async () => {
    const { hostname, port } = new URL(worker.origin);
    for (let at = 0; at < 300; at += 30) {
      await Promise.all(Array.from({ length: 30 }, async () => {
        const socket = net.connect(Number(port), hostname);
        socket.on('error', () => {});
        await once(socket, 'connect');
        socket.write('GET /sse/events?topic=quick HTTP/1.1\r\nhost: hub\r\n\r\n');
        await Promise.race([once(socket, 'data'), new Promise((resolve) => setTimeout(resolve, 20 * Math.random()))]);
        socket.resetAndDestroy();
      }));
    }
    await until(async () => (await usage()).connections === 0, 'nobody is left');
  });

  test('a client that reads nothing is bounded, and ended', async () => {
    const { origin } = worker;
    const { hostname, port } = new URL(origin);
    const socket = net.connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write('GET /sse/events?topic=paused HTTP/1.1\r\nhost: hub\r\n\r\n');
    await once(socket, 'data');
    socket.pause();
    const data = 'x'.repeat(200_000);
    for (let event = 0; event < 100; event++) await publish(origin, { to: { topic: 'paused' }, data });
    // 20 MB were published to it, a 1 MiB log keeps what it has not taken.
    assert.ok((await usage()).logBytes <= 1 << 20);
    await until(async () => (await usage()).connections === 0, 'who takes nothing is given up');
    socket.destroy();
  });
});
