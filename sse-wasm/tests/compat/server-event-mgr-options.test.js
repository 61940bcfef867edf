// System M: what the facade does by option, and what 0.1.5 documents but has not.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, mock, test } from 'node:test';

import express from 'express';
import * as named from 'sse-wasm/compat/server-event-mgr';

import { listen } from '../support/listen.js';
import { ask, until, wire } from '../support/wire.js';

const { default: shared, createManager } = named;
const stops = [];
after(() => Promise.all(stops.map((stop) => stop())));

async function serve(options, prefix, mount = '/') {
  const manager = createManager(options);
  const app = express();
  app.use(mount, manager.createRouter(prefix));
  app.use((request, response) => response.status(418).send('the application'));
  const { origin, stop } = await listen(createServer(app));
  stops.push(stop);
  const base = `${origin}${mount === '/' ? '' : mount}${manager.prefix}`;
  const get = (path, request) => ask(base + path, request);
  const put = (path) => get(path, { method: 'PUT' });
  const register = async (id, headers) => {
    const stream = await wire(`${base}register-listener/${id}`, { headers });
    return Object.assign(stream, { acknowledgement: await stream.frame() });
  };
  return { manager, base, get, put, register };
}

test('M1: below a path that Express mounts it at; what is not its own goes on to the application', async () => {
  const { get, put, base } = await serve({}, '/sse/', '/api');
  assert.ok(base.endsWith('/api/sse/'));
  assert.match((await get('make-id/bob')).text, /^bob_/);
  for (const path of ['submit-task/a/b', 'listen/a/b']) assert.equal((await put(path)).text, 'the application');
  for (const path of ['events', 'publish', 'nowhere']) assert.equal((await get(path)).status, 418, path);
  assert.throws(() => createManager().createRouter('/sse-'), { code: 'invalid-option', message: /"\/sse-" cannot be a prefix/ });
});

test('M2, M7, M13: the functions are exports too, of one manager', () => {
  const id = named.getUniqueID('bob');
  assert.match(id, /^bob_[a-z2-7]{26}$/);
  assert.equal(named.isRegistered(id), false, 'issued is not registered');
  assert.equal(named.getListenersJSON(), shared.getListenersJSON());
  assert.equal(named.createRouter, shared.createRouter);
});

test('M3: the short form by option', () => {
  assert.match(createManager({ idForm: 'compatible' }).getUniqueID('bob'), /^bob_[a-z2-7]{8}$/);
});

test('M4: with resume, a stream goes on where it was cut', async () => {
  const { manager, register } = await serve({ resume: true });
  const first = await register('bob_1');
  const [, id] = /^retry:1000\ndata:"registered\^bob_1"\nid:(\S+)\n\n$/.exec(first.acknowledgement);
  manager.addListenKey('bob_1', 'k');
  first.close();
  manager.notifyListeners('k');
  const again = await register('bob_1', { 'last-event-id': id });
  await again.until(() => again.text.includes('notify^k'), 'what was missed');
  assert.match(again.text, /data:"registered\^bob_1"\nid:\S+\n\n[^]*data:"notify\^k"\nid:\S+\n\n/);
  again.close();
});

test('M5, M19: with own handlers, a stream that comes again replaces the one before', async () => {
  const manager = createManager();
  const { origin, stop } = await listen(createServer((request, response) => manager.registerListener('own_1', response)));
  stops.push(stop);
  const first = await wire(origin);
  assert.equal(await first.frame(), 'data:"registered^own_1"\n\n');
  manager.addListenKey('own_1', 'k');
  const second = await wire(origin);
  assert.equal(await first.frame(), null);
  manager.notifyListeners('k');
  assert.equal(await second.frame(), 'data:"registered^own_1"\n\n');
  assert.equal(await second.frame(), 'data:"notify^k"\n\n');
});

test('M6, M14: streams end by option', async () => {
  const { manager, get, register } = await serve({ endOnDisconnect: true });
  const [one, two] = [await register('bob_1'), await register('bob_2')];
  await get('disconnect-registrant/bob_1');
  assert.equal(await one.frame(), null);
  manager.unregisterAllListeners();
  assert.equal(await two.frame(), null);
});

test('M9, M10: the router does tasks and listens by option', async () => {
  const { manager, get, put, register } = await serve({ tasks: { add: ({ params }) => params, out: 'worker' } });
  const stream = await register('bob_1');
  assert.deepEqual([(await put('submit-task/bob_9/add')).status, (await put('submit-task/bob_1/none')).status], [404, 404]);
  assert.equal((await put('submit-task/bob_1/add')).status, 200);
  assert.match(await stream.frame(), /^data:"completed\^\{\\"timestamp\\":\d+,\\"id\\":\\"bob_1\\",\\"taskid\\":\\"add\\"\}"\n\n$/);
  assert.equal((await put('submit-task/bob_1/out')).status, 200);
  await manager.notifyCompletions('bob_1', 'out');
  assert.match(await stream.frame(), /"taskid\\":\\"out\\"/);
  assert.equal((await put('listen/bob_9/k')).status, 404);
  for (let twice = 0; twice < 2; twice++) assert.equal((await put('listen/bob_1/k')).status, 200);
  assert.deepEqual(JSON.parse((await get('list-registrants')).text).bob_1.listenKeys, ['k']);
  await assert.rejects(manager.notifyCompletions('bob_1', 'a^b'), { code: 'invalid-name', field: 'task' });
  stream.close();
});

for (const [payloads, changed, adHoc] of [
  [undefined, 'data:"notify^listeners-changed"\n\n', /^data:"completed\^\{\\"timestamp\\":\d+,\\"id\\":\\"bob_1\\",\\"taskid\\":\\"ad-hoc\\"\}"\n\n$/],
  ['legacy', 'data:"listeners-changed"\n\n', /^data:"ad-hoc"\n\n$/],
]) {
  test(`M12, M16: everyone is told who comes and goes; ad hoc; payloads ${payloads ?? 'by default'}`, async () => {
    const { manager, get, register } = await serve({ payloads });
    const stream = await register('bob_1');
    manager.setNotifyListenersChanged(true);
    const guest = await register('ann_1');
    assert.equal(await stream.frame(), changed);
    manager.unregisterListener('ann_1');
    assert.equal(await stream.frame(), changed);
    manager.setNotifyListenersChanged(false);
    manager.notifyListenersChanged();
    assert.equal(await stream.frame(), changed);
    for (const route of ['trigger-adhoc', 'trigger-ad-hoc']) {
      assert.deepEqual((({ status, text }) => [status, text])(await get(`${route}/bob_1`)), [200, 'ok']);
      assert.match(await stream.frame(), adHoc);
    }
    manager.triggerAdHocResponse('bob_1');
    assert.match(await stream.frame(), adHoc);
    assert.throws(() => manager.triggerAdHocResponse('bob_9'), { code: 'unknown-client' });
    for (const open of [stream, guest]) open.close();
  });
}

test('M12, M17: a sweep tells who listens; by option the age counts from registration', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_795_217_213_271 });
  try {
    const { manager, get, register } = await serve({ age: 'registration', heartbeat: -1 });
    const old = await register('old_1');
    mock.timers.tick(3_600_000);
    const watcher = await register('watcher_1');
    manager.addListenKey('watcher_1', 'who');
    manager.listenersChangedKey = 'who';
    await get('trigger-cleanup');
    assert.equal(manager.isRegistered('old_1'), true);
    mock.timers.tick(1);
    await get('trigger-cleanup');
    assert.equal(await watcher.frame(), 'data:"notify^who"\n\n');
    assert.equal(manager.isRegistered('old_1'), false);
    for (const stream of [old, watcher]) stream.close();
  } finally {
    mock.timers.reset();
  }
});

test('M18: a list of origins', async () => {
  const { get, register } = await serve({ origins: ['https://a.example'] });
  const ours = await register('a_1', { origin: 'https://a.example' });
  const theirs = await register('b_1', { origin: 'https://b.example' });
  assert.equal(ours.response.headers['access-control-allow-origin'], 'https://a.example');
  assert.equal(theirs.response.headers['access-control-allow-origin'], undefined);
  const { status, headers } = await get('make-id/x', { method: 'OPTIONS', headers: { origin: 'https://a.example' } });
  assert.equal(status, 204);
  assert.match(headers['access-control-allow-methods'], /PUT, DELETE/);
  for (const stream of [ours, theirs]) stream.close();
});

test('M20: diagnostics show no id whole', async (t) => {
  const lines = [];
  t.mock.method(console, 'log', (line) => lines.push(line));
  const { manager, register } = await serve();
  manager.setVerbose(true);
  const id = manager.getUniqueID('bob');
  (await register(id)).close();
  await until(() => lines.some((line) => line.includes('the peer left')), 'the peer has left');
  manager.unregisterListener(id);
  const shows = (line) => line.startsWith('SSE: ') && line.includes(id.slice(0, 8)) && !line.includes(id);
  assert.ok(lines.length >= 3 && lines.every(shows), String(lines));
});
