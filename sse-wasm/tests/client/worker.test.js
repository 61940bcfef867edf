// The client's end in workerd, by miniflare.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Miniflare } from 'miniflare';

import { bundle } from '../support/workerd.js';
import { play } from './support/scenarios.js';
import { startServer } from './support/server.js';

let server;
let worker;
let origin;

before(async () => {
  server = await startServer();
  worker = new Miniflare({ modules: await bundle('client/worker.js'), modulesRoot: '/', compatibilityDate: '2026-04-01', host: '127.0.0.1', port: 0 });
  ({ origin } = await worker.ready);
});
after(() => Promise.all([worker?.dispose(), server?.stop()]));

async function ask(how, script) {
  const response = await fetch(`${origin}/?how=${how}&url=${encodeURIComponent(play(server.origin, script))}`);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

test('workerd: events() of a response', async () => {
  assert.deepEqual(await ask('events', [{ body: 'id: 1\nevent: tick\ndata: é\n\ndata: x\n\ndata: half' }]), [
    { type: 'tick', data: 'é', lastEventId: '1' }, { type: 'message', data: 'x', lastEventId: '1' },
  ]);
});

test('workerd: EventSource, across a reconnection', async () => {
  const script = [{ body: 'id: 7\ndata: first\n\n' }, { body: 'data: {last-event-id}\n\ndata: last\n\n', hold: true }];
  const data = (await ask('EventSource', script)).map((event) => event.data ?? event);
  assert.deepEqual(data, ['first', 'ended', '7', 'last']);
});
