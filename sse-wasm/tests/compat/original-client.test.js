// The unmodified npm client of system M, @aphorica/server-event-client@0.1.5, against the facade under Express 5.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';

import express from 'express';
import { createManager } from 'sse-wasm/compat/server-event-mgr';

import { listen } from '../support/listen.js';
import { until } from '../support/wire.js';

// The client is written for a browser, and assigns to a global `status`.
globalThis.window = globalThis;
globalThis.status = '';
globalThis.EventSource = createRequire(import.meta.url)('eventsource');
const { default: Factory } = await import('@aphorica/server-event-client');

const manager = createManager({ tasks: { job: () => null, other: () => null } });
const sockets = new Set();
const sources = [];
let origin;
let stop;
before(async () => {
  const server = createServer(express().use(manager.createRouter()));
  server.on('connection', (socket) => sockets.add(socket));
  ({ origin, stop } = await listen(server));
});
after(async () => {
  // The client forgets to.
  for (const source of sources) source.close();
  await stop();
});

async function create(name) {
  const seen = [];
  const names = ['sseOpened', 'sseRegistered', 'sseNotify', 'sseTaskCompleted', 'sseError', 'sseClosed'];
  const callbacks = Object.fromEntries(names.map((callback) => [callback, (value) => void seen.push([callback, value])]));
  const client = await Factory.create(name, origin, callbacks, '/sse/');
  sources.push(client.SSESource);
  const got = (callback) => seen.filter(([kind]) => kind === callback).map(([, value]) => value);
  await until(() => got('sseRegistered').length === 1, 'the acknowledgement came');
  return { client, id: client.id, got };
}

const keys = (id) => JSON.parse(manager.getListenersJSON())[id]?.listenKeys;

test('C1 create', async () => {
  const { id, got } = await create('bob');
  assert.match(id, /^bob_[a-z2-7]{26}$/);
  assert.deepEqual(got('sseRegistered'), [id]);
  assert.equal(manager.isRegistered(id), true);
});

test('C2 listen, and C3 tasks, several on one connection', async () => {
  const { client, id, got } = await create('carol');
  for (const key of ['red', 'green']) await client.listen(key);
  await until(() => keys(id).length === 2, 'both keys are listed');
  for (const key of ['green', 'blue', 'red']) manager.notifyListeners(key);
  await Promise.all([client.submitTask('job'), client.submitTask('other')]);
  await until(() => got('sseTaskCompleted').length === 2, 'both tasks completed');
  assert.deepEqual(got('sseNotify'), ['green', 'red']);
  assert.deepEqual(got('sseTaskCompleted').sort(), ['job', 'other']);
});

test('C4 disconnect: the id is gone, and no ghost comes back', async () => {
  const { client, id } = await create('dora');
  await client.disconnect();
  await until(() => !manager.isRegistered(id), 'the id is gone');
  assert.equal(sources.at(-1).readyState, 1, 'the stream stays open, so the client does not come back');
});

test('C6 reconnect: keys survive a connection that drops', async () => {
  const { client, id, got } = await create('eve');
  await client.listen('k');
  await until(() => keys(id).length === 1, 'the key is listed');
  for (const socket of sockets) socket.destroy();
  await until(() => got('sseRegistered').length === 2, 'the client is back');
  manager.notifyListeners('k');
  await until(() => got('sseNotify').length === 1, 'it is told');
  assert.deepEqual([got('sseNotify'), keys(id)], [['k'], ['k']]);
});
