// System C: our client against sse-hub and against createHub() in Node, and the same script with the original npm client where it can do
// the same. Names begin with the row of the parity table that they show.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';

import { ServerEventClient } from 'sse-wasm/client';

import { ask, startHub } from '../../../tests/hosts/support/hub.mjs';
import { startNodeHub } from './support/hub.js';
import { startProxy } from '../../../tests/hosts/support/proxy.mjs';
import { holds, until, within } from '../../../tests/hosts/support/wait.mjs';

const CALLBACKS = ['sseOpened', 'sseRegistered', 'sseNotify', 'sseTaskCompleted', 'sseCompleted', 'sseError', 'sseClosed'];

// The original is written for a browser, and assigns to a global `status`.
globalThis.window = globalThis;
globalThis.status = '';
globalThis.EventSource = createRequire(import.meta.url)('eventsource');
const { default: Original } = await import('@aphorica/server-event-client');

const HUBS = { 'sse-hub': startHub, 'createHub() in Node': startNodeHub };

for (const [which, start] of Object.entries(HUBS)) describe(which, () => {
  let hub;
  let proxy;
  let opened = [];

  before(async () => { hub = await start(); });
  after(() => hub?.kill());
  beforeEach(async () => { proxy = await startProxy(hub.port); });
  afterEach(async () => {
    for (const close of opened.splice(0)) await close();
    await proxy.close();
  });

  const notify = (key) => ask(hub, 'POST', `notify/${key}`);
  const registrant = async (id) => (await ask(hub, 'GET', 'list-registrants'))[id];
  const streams = () => proxy.links.filter((link) => link.sent.includes('/sse/register-listener/'));

  /** Creates a client as an application does; `seen` has its callbacks in order, without what only one of them passes. */
  async function create(factory, name, { origin = proxy.origin, options = '/sse/' } = {}) {
    const seen = [];
    const callbacks = Object.fromEntries(CALLBACKS.map((callback) => [callback, (...args) => {
      seen.push([callback, ...args.filter((argument) => typeof argument !== 'object')]);
    }]));
    const client = await factory.create(name, origin, callbacks, options);
    // The original forgets to close its EventSource, which would call back for ever.
    const { SSESource } = client;
    opened.push(() => (SSESource ? SSESource.close() : client.disconnect()));
    const got = (callback) => seen.filter(([kind]) => kind === callback);
    return { client, id: client.id, seen, got };
  }

  const theSame = { ours: ServerEventClient, original: Original };

  for (const [whose, factory] of Object.entries(theSame)) {
    describe(`${whose}: the same script`, () => {
      test('C1 C2 C3 C5: create, listen, submitTask, and every callback in order', async () => {
        const { client, id, seen, got } = await create(factory, 'bob');
        await until(() => got('sseRegistered').length, 'the acknowledgement');
        assert.match(id, /^bob_[0-9A-Za-z]+$/);
        await client.listen('red');
        await client.listen('blue');
        await until(async () => (await registrant(id)).listenKeys.length === 2, 'the keys are listed');
        for (const key of ['blue', 'green', 'red']) await notify(key);
        await until(() => got('sseNotify').length === 2, 'two notifications');
        await client.submitTask('sleep');
        await until(() => got('sseTaskCompleted').length, 'the task is done');
        streams()[0].end();
        await until(() => got('sseRegistered').length === 2, 'it is back');
        await client.disconnect();
        assert.equal(await registrant(id), undefined);
        const wanted = [
          ['sseOpened', 1, 'Open'], ['sseRegistered', id], ['sseNotify', 'blue'], ['sseNotify', 'red'], ['sseTaskCompleted', 'sleep'],
          ['sseError', 0, 'Connecting'], ['sseOpened', 1, 'Open'], ['sseRegistered', id], ['sseClosed'],
        ];
        // eventsource 1.x may tell of the end and of the socket's, which a slow machine sees apart.
        const isTwice = ([kind], at) => whose === 'original' && kind === 'sseError' && seen[at - 1]?.[0] === kind;
        assert.deepEqual(seen.filter((call, at) => call[0] !== 'sseCompleted' && !isTwice(call, at)), wanted);
        // The theory page of the original calls it so; its package does not.
        assert.deepEqual(got('sseCompleted'), whose === 'ours' ? [['sseCompleted', 'sleep']] : []);
      });

      test('C6: keys, and a task under way, survive a dropped connection', async () => {
        const { client, id, got } = await create(factory, 'erin');
        await until(() => got('sseRegistered').length, 'the acknowledgement');
        await client.listen('k');
        await until(async () => (await registrant(id)).listenKeys.length, 'the key is listed');
        await client.submitTask('sleep');
        streams()[0].end();
        await until(() => got('sseError').length, 'it noticed');
        await notify('k'); // while it is away
        await until(() => got('sseRegistered').length === 2, 'it is back');
        await notify('k');
        await until(() => got('sseTaskCompleted').length && got('sseNotify').length === 2, 'both notifications and the completion');
        assert.equal(got('sseTaskCompleted').length, 1);
      });
    });
  }

  test('C3: what is asked for before the acknowledgement waits for it, several keys and tasks on one connection', async () => {
    const { client, id, got } = await create(ServerEventClient, 'early');
    const listens = ['red', 'green', 'blue'].map((key) => client.listen(key));
    await Promise.all([...listens, client.submitTask('sleep'), client.submitTask('progress-demo')]);
    assert.deepEqual((await registrant(id)).listenKeys.sort(), ['blue', 'green', 'red']);
    assert.deepEqual(client.keys.sort(), ['blue', 'green', 'red']);
    await until(() => got('sseTaskCompleted').length === 2, 'both tasks are done');
    assert.deepEqual(client.pendingTasks, []);
    assert.equal(streams().length, 1);
  });

  test('C4: disconnect tells the hub, closes the stream, calls sseClosed once, and refuses what comes later', async () => {
    const { client, id, got } = await create(ServerEventClient, 'bob');
    await client.listen('k');
    const messages = client[Symbol.asyncIterator]();
    assert.equal(await client.disconnect(), true);
    assert.equal(await client.disconnect(), true);
    assert.deepEqual(got('sseClosed'), [['sseClosed']]);
    assert.equal(client.readyState, 2);
    assert.equal((await messages.next()).done, true);
    await until(() => streams().every((link) => !link.open), 'the stream is closed, which theirs forgets');
    await assert.rejects(client.listen('other'), { code: 'closed' });
    await assert.rejects(client.submitTask('sleep'), { code: 'closed' });
    await holds(async () => (await registrant(id)) === undefined, 'no ghost comes back', 1500);
  });

  test('C4: disconnecting while keys are listened to again is no error', async () => {
    let release;
    let answered;
    const held = new Promise((resolve) => { release = resolve; });
    const done = new Promise((resolve) => { answered = resolve; });
    let isBack = false;
    const slowly = async (url, init) => {
      if (!isBack || init.method !== 'PUT') return fetch(url, init);
      await held;
      return fetch(url, init).finally(answered);
    };
    const { client, got } = await create(ServerEventClient, 'lea', { options: { fetch: slowly } });
    await client.listen('k');
    isBack = true;
    streams()[0].end();
    await until(() => got('sseRegistered').length === 2, 'it is back');
    await client.disconnect();
    release();
    await within(10_000, done, 'the hub to refuse the key');
    await holds(() => got('sseError').length === 1, 'nothing is told but the cut', 200);
    assert.deepEqual(got('sseError'), [['sseError', 0, 'Connecting']]);
  });

  test('C5: messages by iteration, all of them or some', async () => {
    const { client, id } = await create(ServerEventClient, 'iris');
    const all = client[Symbol.asyncIterator]();
    const blue = client.notifications('blue');
    const done = client.completions();
    await client.listen('red');
    await client.listen('blue');
    await client.submitTask('sleep');
    await notify('red');
    await notify('blue');
    assert.deepEqual((await within(10_000, blue.next(), 'blue')).value, { kind: 'notify', key: 'blue' });
    const { value } = await within(10_000, done.next(), 'the completion');
    assert.deepEqual([value.kind, value.task, value.id, typeof value.timestamp], ['completed', 'sleep', id, 'number']);
    const seen = [];
    while (seen.length < 4) seen.push((await within(10_000, all.next(), 'a message')).value.kind);
    assert.deepEqual(seen.sort(), ['completed', 'notify', 'notify', 'registered']);
    await blue.return();
    await client.disconnect();
    assert.equal((await done.next()).done, true);
  });

  test('C6: a hub that was restarted is told the keys again; calls made meanwhile wait', async () => {
    const first = await start();
    const options = { retry: { first: 100, shortest: 100 } };
    const { client, id, got } = await create(ServerEventClient, 'rita', { origin: first.origin, options });
    await client.listen('before');
    await first.kill();
    await until(() => got('sseError').length, 'it noticed');
    const meanwhile = client.listen('meanwhile');
    const second = await start({ port: first.port });
    try {
      await within(15_000, meanwhile, 'the call that waited');
      const keys = await until(async () => (await ask(second, 'GET', 'list-registrants'))[id]?.listenKeys, 'it is registered again');
      assert.deepEqual(keys.sort(), ['before', 'meanwhile']);
      await ask(second, 'POST', 'notify/before');
      await until(() => got('sseNotify').length, 'a notification under the old key');
      await client.disconnect();
    } finally {
      await second.kill();
    }
  });

  test('C6: an id that the hub has forgotten under an open stream is registered again', async () => {
    const { client, id, got } = await create(ServerEventClient, 'olga');
    await client.listen('k');
    await ask(hub, 'GET', `disconnect-registrant/${id}`);
    await client.listen('other');
    assert.deepEqual((await registrant(id)).listenKeys.sort(), ['k', 'other']);
    await notify('k');
    await until(() => got('sseNotify').length, 'a notification');
  });

  test('errors say what was wrong, and no id', async () => {
    const { client, id } = await create(ServerEventClient, 'bob');
    const error = await client.submitTask('nothing').then(() => assert.fail('it was taken'), (error) => error);
    assert.deepEqual([error.code, error.status, error.message], ['status', 404, 'PUT submit-task: there is no such task']);
    assert.ok(!error.message.includes(id));
    assert.deepEqual(client.pendingTasks, []);
    await assert.rejects(ServerEventClient.create('a b', hub.origin), { code: 'status', status: 400 });
    await assert.rejects(ServerEventClient.create('bob', 'http://127.0.0.1:1'), { code: 'failed' });
    await assert.rejects(ServerEventClient.create('bob', hub.origin, {}, 'sse'), { code: 'invalid-option', field: 'prefix' });
    await assert.rejects(ServerEventClient.create('bob'), { code: 'invalid-option', field: 'base' });
  });

  test('disconnecting while the hub is away ends it all the same, and what waited is told', async () => {
    const own = await start();
    const { client, got } = await create(ServerEventClient, 'dora', { origin: own.origin });
    await client.listen('k');
    await own.kill();
    await until(() => got('sseError').length, 'it noticed');
    const waiting = assert.rejects(client.listen('late'), { code: 'closed' });
    assert.equal(await client.disconnect(), false);
    await waiting;
    assert.deepEqual(got('sseClosed'), [['sseClosed']]);
  });
});
