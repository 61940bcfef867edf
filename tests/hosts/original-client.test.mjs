// The unmodified npm client of the original system, @aphorica/server-event-client@0.1.5, against the hub.
// Test names begin with the row of the parity table that they show.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, beforeEach, afterEach, test } from 'node:test';

import { ask, startHub } from './support/hub.mjs';
import { startProxy } from './support/proxy.mjs';
import { holds, until } from './support/wait.mjs';

// The client is written for a browser, and assigns to a global `status`.
globalThis.window = globalThis;
globalThis.status = '';
globalThis.EventSource = createRequire(import.meta.url)('eventsource');
const { default: Factory } = await import('@aphorica/server-event-client');

let hub;
let proxy;
const opened = [];

before(async () => { hub = await startHub(); });
after(() => hub?.kill());
beforeEach(async () => { proxy = await startProxy(hub.port); });
afterEach(async () => {
  // The client forgets to close its EventSource, which would call back for ever.
  for (const source of opened.splice(0)) source.close();
  await proxy.close();
});

/** Creates a client as an application does; `seen` has its callbacks in order. */
async function create(name) {
  const seen = [];
  const callbacks = Object.fromEntries(
    ['sseOpened', 'sseRegistered', 'sseNotify', 'sseTaskCompleted', 'sseError', 'sseClosed']
      .map((callback) => [callback, (...args) => { seen.push([callback, ...args]); }]),
  );
  const client = await Factory.create(name, proxy.origin, callbacks, '/sse/');
  assert.ok(client, 'the client could not be created');
  opened.push(client.SSESource);
  const got = (callback, value) => seen.filter(([kind, first]) => kind === callback && (value === undefined || first === value));
  await until(() => got('sseRegistered').length, 'the acknowledgement came');
  return { client, id: client.id, seen, got };
}

const registered = async (id) => id in (await ask(hub, 'GET', 'list-registrants'));
const notify = (key) => ask(hub, 'POST', `notify/${key}`);
const streams = () => proxy.links.filter((link) => link.sent.includes('/sse/register-listener/'));

test('C1 create: an id, an open stream, the acknowledgement', async () => {
  const { client, id, seen } = await create('bob');
  assert.match(id, /^bob_[0-9A-Za-z]+$/);
  assert.equal(client.SSEStateText, 'Open');
  assert.deepEqual(seen.map(([kind, first]) => [kind, first]), [['sseOpened', 1], ['sseRegistered', id]]);
  assert.ok(await registered(id));
});

test('C2 listen: sseNotify for the key, and for no other', async () => {
  const { client, id, got } = await create('bob');
  await client.listen('clock-tick');
  await until(async () => (await ask(hub, 'GET', 'list-registrants'))[id].listenKeys.includes('clock-tick'), 'the key is listed');
  await notify('somebody-elses');
  await notify('clock-tick');
  await until(() => got('sseNotify').length, 'sseNotify was called');
  assert.deepEqual(got('sseNotify'), [['sseNotify', 'clock-tick']]);
});

test('C3 submitTask: sseTaskCompleted', async () => {
  const { client, got } = await create('bob');
  await client.submitTask('sleep');
  await until(() => got('sseTaskCompleted').length, 'the task was completed');
  assert.deepEqual(got('sseTaskCompleted'), [['sseTaskCompleted', 'sleep']]);
});

test('C3 several keys and tasks on one connection', async () => {
  const { client, id, got } = await create('carol');
  for (const key of ['red', 'green', 'blue']) await client.listen(key);
  await until(async () => (await ask(hub, 'GET', 'list-registrants'))[id].listenKeys.length === 3, 'three keys are listed');
  await Promise.all([client.submitTask('sleep'), client.submitTask('progress-demo')]);
  for (const key of ['green', 'red', 'blue', 'red']) await notify(key);
  await until(() => got('sseTaskCompleted').length === 2, 'both tasks were completed');
  assert.deepEqual(got('sseNotify').map(([, key]) => key), ['green', 'red', 'blue', 'red']);
  assert.deepEqual(got('sseTaskCompleted').map(([, task]) => task).sort(), ['progress-demo', 'sleep']);
  assert.equal(streams().length, 1);
});

test('C3 what is asked for before the stream is open is done once it is', async () => {
  const seen = [];
  const client = await Factory.create('early', proxy.origin, {
    sseNotify: (key) => seen.push(key), sseTaskCompleted: (task) => seen.push(task), sseClosed() {},
  }, '/sse/');
  opened.push(client.SSESource);
  await client.listen('early-key');
  await client.submitTask('sleep');
  await until(async () => (await ask(hub, 'GET', 'list-registrants'))[client.id]?.listenKeys.includes('early-key'), 'the key is listed');
  await notify('early-key');
  await until(() => seen.length === 2, 'the notification and the completion came');
  assert.deepEqual(seen, ['early-key', 'sleep']);
});

test('C4 disconnect: the id is gone, the stream stays open, and no ghost comes back', async () => {
  const { client, id, got } = await create('bob');
  await client.listen('k');
  assert.equal(await client.disconnect(), true);
  assert.deepEqual(got('sseClosed'), [['sseClosed']]);
  assert.equal(await registered(id), false);
  // Its EventSource would call again after a second, had the hub ended the stream.
  await holds(
    async () => streams().length === 1 && streams()[0].open && !(await registered(id)),
    'the stream stays open and the id stays gone', 2_000,
  );
});

test('C5 callbacks: opened, registered, notify, completed, error, closed', async () => {
  const { client, id, seen, got } = await create('dora');
  await client.listen('k');
  await notify('k');
  await client.submitTask('sleep');
  await until(() => got('sseTaskCompleted').length, 'the task was completed');
  streams()[0].end();
  await until(() => got('sseError').length, 'sseError was called');
  await until(() => got('sseOpened').length === 2 && got('sseRegistered').length === 2, 'the client was back');
  await client.disconnect();
  assert.deepEqual(seen, [
    ['sseOpened', 1, 'Open'], ['sseRegistered', id], ['sseNotify', 'k'], ['sseTaskCompleted', 'sleep'],
    ['sseError', 0, 'Connecting'], ['sseOpened', 1, 'Open'], ['sseRegistered', id], ['sseClosed'],
  ]);
});

test('C6 reconnect: keys, and a task under way, survive a dropped connection', async () => {
  const { client, id, got } = await create('erin');
  await client.listen('k');
  await client.submitTask('sleep');
  streams()[0].end();
  await until(() => got('sseError').length, 'the client noticed');
  await notify('k'); // while it is away
  await until(() => got('sseRegistered').length === 2, 'the client was back');
  await notify('k');
  await until(() => got('sseTaskCompleted').length && got('sseNotify').length === 2, 'both notifications and the completion came');
  assert.deepEqual((await ask(hub, 'GET', 'list-registrants'))[id].listenKeys, ['k']);
  await notify('k');
  await until(() => got('sseNotify').length === 3, 'a third notification came');
  assert.equal(got('sseTaskCompleted').length, 1, 'the completion came once');
});

test('C6 cut in the middle of a frame, at each of its bytes: nothing is lost, nothing comes twice', async (t) => {
  // As long as the keys of the clients below, so that the positions are theirs too.
  const frame = await frameOf('cut-any');
  t.diagnostic(`the frame: ${JSON.stringify(frame)}`);
  // One client a byte, all at once: each waits a second before it reconnects.
  await Promise.all(Array.from({ length: frame.length + 1 }, (_, at) => cutAfter(at, frame)));
});

test('C6 cut again while what was missed is being given: nothing is lost, nothing comes twice', async () => {
  const places = {
    'after the acknowledgement': (text) => endOf(text, /"registered\^[^\n]*\n(id:[^\n]*\n)?\n/),
    'in the first frame': (text) => endOf(text, /"notify\^again-1/),
    'between the frames': (text) => endOf(text, /"notify\^again-1[^\n]*\n(id:[^\n]*\n)?\n/),
    'in the second frame': (text) => endOf(text, /"notify\^again-2/),
  };
  await Promise.all(Object.entries(places).map(async ([place, where]) => {
    const own = await startProxy(hub.port);
    const calls = () => own.links.filter((link) => link.sent.includes('/register-listener/'));
    const keys = [];
    let errors = 0;
    const client = await Factory.create('again', own.origin, {
      sseNotify: (key) => keys.push(key), sseError: () => { errors += 1; }, sseClosed() {},
    }, '/sse/');
    try {
      await until(() => client.SSEStateText === 'Open', 'the stream is open');
      const tag = client.id.slice(-4);
      const all = ['0', '1', '2', '3'].map((n) => `again-${n}-${tag}`);
      for (const key of all) await client.listen(key);
      await ask(hub, 'POST', `notify/${all[0]}`);
      await until(() => keys.length === 1, 'a notification came');
      own.cutAt((link, received) => (link === calls()[1] ? where(received) : null));
      calls()[0].end();
      await until(() => errors === 1, 'the client noticed the first cut');
      await ask(hub, 'POST', `notify/${all[1]}`);
      await ask(hub, 'POST', `notify/${all[2]}`);
      await until(() => errors === 2 && !own.armed, `the second cut, ${place}`);
      await until(() => calls().length === 3 && client.SSEStateText === 'Open', 'the client was back again');
      await ask(hub, 'POST', `notify/${all[3]}`);
      await until(() => keys.includes(all[3]), `the last notification came, cut ${place}`);
      assert.deepEqual(keys, all, `cut ${place}`);
    } finally {
      client.SSESource.close();
      await own.close();
    }
  }));
});

function endOf(text, pattern) {
  const match = pattern.exec(text);
  return match && match.index + match[0].length;
}

/** What the hub writes to a listener for a notification, from its first byte to its blank line. */
async function frameOf(key) {
  const { client } = await create('shape');
  await client.listen(key);
  await notify(key);
  const marker = `data:"notify^${key}"`;
  const received = await until(() => {
    const text = streams()[0].received;
    const from = text.indexOf(marker);
    return from >= 0 && text.indexOf('\n\n', from) >= 0 && text;
  }, 'the frame came');
  const found = received.indexOf(marker);
  const start = received.lastIndexOf('\n\n', found);
  // A chunked body has its chunk's length between the frames.
  return received.slice(start + 2, received.indexOf('\n\n', found) + 2).replace(/^(\r\n)?[0-9a-f]+\r\n/, '');
}

async function cutAfter(at, frame) {
  const own = await startProxy(hub.port);
  const seen = [];
  let client;
  try {
    const errors = [];
    client = await Factory.create('cut', own.origin, {
      sseNotify: (key) => seen.push(key), sseRegistered: (id) => seen.push(`registered ${id}`), sseError: () => errors.push(1), sseClosed() {},
    }, '/sse/');
    const registration = `registered ${client.id}`;
    await until(() => seen.length === 1, 'the client is registered');
    const key = `cut-${String(at).padStart(3, '0')}`;
    await client.listen(key);
    await ask(hub, 'POST', `notify/${key}`);
    await until(() => seen.length === 2, 'an undisturbed notification came');

    // The second notification's frame is cut after `at` of its bytes.
    const first = own.links.find((link) => link.sent.includes('/register-listener/')).received.length;
    own.cutAt((link, received) => {
      if (!link.sent.includes('/register-listener/')) return null;
      const from = received.slice(first).search(/id:|data:/);
      return from < 0 ? null : first + from + at;
    });
    await ask(hub, 'POST', `notify/${key}`);
    await until(() => errors.length > 0, `the client noticed the cut after byte ${at}`);
    await until(() => seen.filter((line) => line === registration).length === 2, `the client was back after a cut after byte ${at}; it saw ${seen}`);
    await ask(hub, 'POST', `notify/${key}`);
    const want = [registration, key, registration, key, key].sort();
    await until(() => seen.length >= want.length, () => `all came after a cut after byte ${at} of ${JSON.stringify(frame)}; it saw ${JSON.stringify(seen)}`, 5_000);
    assert.deepEqual([...seen].sort(), want, `cut after byte ${at}: ${JSON.stringify(frame.slice(0, at))}|${JSON.stringify(frame.slice(at))}`);
  } finally {
    client?.SSESource?.close();
    await own.close();
  }
}
