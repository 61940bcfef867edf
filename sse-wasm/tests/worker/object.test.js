// What a hub in a Durable Object promises beyond the conformance suite: nothing is lost or repeated whatever ends the object.
// Many peers: crowd.test.js. Objects that nobody asks for a while: evicted.test.js.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { privileged } from '../support/privileged.js';
import { idOf, open, request, until, within } from '../support/stream.js';
import { BOTH, TIMES, startWorker } from '../support/workerd.js';

const TOKEN = '0123456789abcdef-object';
const { ask, publish, headers } = privileged(TOKEN);

for (const { how, options } of BOTH) describe(`an object that is reset, and ${how}`, () => {
  let worker;
  before(async () => {
    worker = await startWorker({ token: TOKEN, options: { ...options, limits: { issuedIds: 3 } } });
  });
  after(() => worker.stop());

  const reset = () => worker.call('hub', 'reset').catch(() => {});

  test('goes on where it was: streams, keys, tasks, numbers', async () => {
    const { origin } = worker;
    const listener = await open(`${origin}/sse/register-listener/bob_1`);
    await ask(origin, 'PUT', 'listen/bob_1/news');
    await ask(origin, 'PUT', 'submit-task/bob_1/job');
    const topic = await open(`${origin}/sse/events?topic=t`);
    const [first] = await publish(origin, [{ to: { topic: 't' }, data: '1' }]);
    assert.equal(idOf(await topic.event()), first.id);
    // Sent and not seen: the cut comes before they are read.
    await publish(origin, [{ to: { topic: 't' }, data: '2' }, { to: { topic: 't' }, data: 'own', id: 'mine' }]);
    const list = await ask(origin, 'GET', 'list-registrants');
    await reset();
    await publish(origin, { to: { topic: 't' }, data: '3' });
    const resumed = await open(`${origin}/sse/events?topic=t`, { 'last-event-id': first.id });
    const found = [];
    for (let frames = 0; frames < 3; frames++) found.push((await resumed.event()).match(/data:(.*)/)[1]);
    assert.deepEqual(found, ['2', 'own', '3']);
    const own = await open(`${origin}/sse/events?topic=t`, { 'last-event-id': 'mine' });
    assert.match(await own.event(), /^data:3\n/);

    assert.equal(JSON.parse(await ask(origin, 'GET', 'list-registrants')).bob_1.listenKeys[0], 'news');
    assert.ok(list.includes('"bob_1"'));
    await ask(origin, 'POST', 'notify/news');
    await ask(origin, 'POST', 'complete/bob_1/job');
    await reset();
    const again = await open(`${origin}/sse/register-listener/bob_1`, { 'last-event-id': first.id });
    const told = [];
    for (let frame = await again.event(); told.length < 2; ) {
      if (frame.startsWith('data:')) told.push(frame.split('\n')[0]);
      if (told.length < 2) frame = await again.event();
    }
    assert.match(told[0], /notify\^news/);
    assert.match(told[1], /completed\^.*\\"taskid\\":\\"job\\"/);
    for (const stream of [listener, topic, resumed, own, again]) stream.close();
  });

  test('M2: knows the ids that it issued, as many as may be, until they are registered', async () => {
    const { origin } = worker;
    const known = async () => (await worker.call('hub', 'usage')).issuedIds;
    const ids = [];
    for (const name of ['ann', 'bea', 'cat', 'dan']) ids.push(await ask(origin, 'GET', `make-id/${name}`));
    const { clients } = await worker.call('hub', 'rows');
    await reset();
    assert.equal(await known(), 3, 'the oldest gave way');
    const stream = await open(`${origin}/sse/register-listener/${ids[3]}`);
    assert.match(await stream.next(), new RegExp(`data:"registered\\^${ids[3]}"\n`));
    await ask(origin, 'PUT', `listen/${ids[3]}/k`);
    await reset();
    assert.equal(await known(), 2);
    assert.deepEqual(JSON.parse(await ask(origin, 'GET', 'list-registrants'))[ids[3]].listenKeys, ['k']);
    assert.equal((await worker.call('hub', 'rows')).clients, clients, 'who was an id is a client');
    assert.match(await worker.call('hub', 'clearAndIssue', 'eve'), /^eve_[a-z2-7]{26}$/);
    await reset();
    assert.equal(await known(), 1, 'what was issued after the others were cleared');
    assert.equal((await worker.call('hub', 'rows')).clients, 1);
    stream.close();
  });

  test('tells a completion once, whatever comes in between', async () => {
    const { origin } = worker;
    let stream = await open(`${origin}/sse/events?client=tim_1`);
    await stream.next();
    await ask(origin, 'PUT', 'submit-task/tim_1/job');
    await ask(origin, 'POST', 'complete/tim_1/job', '{"result":1}');
    const frame = await stream.event();
    assert.match(frame, /^event:completed\n/);
    stream.close();
    await reset();
    // Without a Last-Event-ID: what was handed over whole is not told again.
    stream = await open(`${origin}/sse/events?client=tim_1`);
    await publish(origin, { to: { client: 'tim_1' }, data: 'end' });
    assert.match(await stream.event(), /^data:end\n/);
    stream.close();
  });

  test('an id that was given up and taken again does not get what was for the one before', async () => {
    const { origin } = worker;
    let stream = await open(`${origin}/sse/events?client=eve_1`);
    await publish(origin, { to: { client: 'eve_1' }, data: 'secret' });
    await stream.event();
    await ask(origin, 'GET', 'disconnect-registrant/eve_1');
    stream.close();
    stream = await open(`${origin}/sse/events?client=eve_1`);
    await stream.next();
    stream.close();
    await reset();
    stream = await open(`${origin}/sse/events?client=eve_1&lastEventId=earliest`);
    await publish(origin, { to: { client: 'eve_1' }, data: 'end' });
    for (let frame = await stream.event(); !frame.startsWith('data:end\n'); frame = await stream.event()) {
      assert.doesNotMatch(frame, /secret/);
    }
    stream.close();
  });

  test('alarms that come early, twice, or for nothing change nothing', async () => {
    const { origin } = worker;
    const stream = await open(`${origin}/sse/events?topic=alarm`);
    await stream.next();
    for (let times = 0; times < 20; times++) await worker.call('hub', 'ring');
    const { id } = await publish(origin, { to: { topic: 'alarm' }, data: 'x' });
    assert.equal(await stream.next(), `data:x\nid:${id}\n\n`);
    const at = await worker.call('hub', 'alarmAt');
    if (options.hibernate) assert.ok(at === null || at > Date.now() + 60_000, 'no heartbeat has an alarm');
    else assert.ok(at !== null && at < Date.now() + 1500, 'the next heartbeat has its alarm');
    assert.equal(await stream.frame(), ':heartbeat\n\n');
    assert.equal(await stream.frame(), ':heartbeat\n\n', 'and the one after it');
    stream.close();
  });

  test('the log in storage is as bounded as the one in memory', async () => {
    const { origin } = worker;
    const data = 'x'.repeat(100_000);
    for (let round = 0; round < 30; round++) await publish(origin, { to: { topic: 'bounded' }, data });
    const { frames } = await worker.call('hub', 'rows');
    assert.ok(frames < 30, `${frames} rows`);
    const stream = await open(`${origin}/sse/events?topic=bounded&lastEventId=earliest`);
    assert.match(await stream.event(), /^data:x/);
    stream.close();
  });
});

test('a group of its own has an object of its own', async (t) => {
  const worker = await startWorker({ token: TOKEN });
  t.after(() => worker.stop());
  const base = `${worker.origin}/groups/`;
  const send = (body, path = 'publish') => request(base + path, { method: 'POST', headers, body: JSON.stringify(body) });
  const [red, blue, none] = await Promise.all(['?group=red', '?group=blue', ''].map((query) => open(`${base}events${query}`)));
  for (const stream of [red, blue, none]) await stream.next();
  const answers = await Promise.all([{ to: { group: 'red' }, data: 'r' }, { to: { group: 'blue' }, data: 'b' }, { to: 'all', data: 'n' }].map((event) => send(event)));
  for (const answer of answers) assert.equal(answer.status, 200);
  for (const [stream, data] of [[red, 'r'], [blue, 'b'], [none, 'n']]) assert.match(await stream.next(), new RegExp(`^data:${data}\n`));
  for (const name of ['group:red', 'group:blue', 'hub']) assert.equal((await worker.call(name, 'usage')).connections, 1, name);
  const mixed = await send([{ to: { group: 'red' }, data: 'r' }, { to: 'all', data: 'n' }]);
  assert.equal(mixed.status, 400);
  assert.equal((await mixed.json()).field, 'to');
  assert.equal((await send('not an event')).status, 400);
  for (const stream of [red, blue, none]) stream.close();
});

test('a topic of its own has an object of its own; what names several is refused', async (t) => {
  const worker = await startWorker({ token: TOKEN });
  t.after(() => worker.stop());
  const base = `${worker.origin}/topics/`;
  const ask = (path, body) => request(base + path, { method: 'POST', headers, body: JSON.stringify(body) });
  const [red, blue] = await Promise.all(['red', 'blue'].map((topic) => open(`${base}events?topic=${topic}`)));
  for (const stream of [red, blue]) await stream.next();
  assert.equal((await ask('publish', { to: { topic: 'red' }, data: 'r' })).status, 200);
  assert.equal((await ask('notify/blue')).status, 200);
  assert.match(await red.next(), /^data:r\n/);
  assert.match(await blue.next(), /^data:"notify\^blue"\n/);
  for (const name of ['topic:red', 'topic:blue']) assert.equal((await worker.call(name, 'usage')).connections, 1, name);
  const both = await request(`${base}events?topic=red&topic=blue`);
  assert.equal(both.status, 400);
  assert.equal((await both.json()).field, 'topic');
  for (const stream of [red, blue]) stream.close();
});

test('M17: who has been away for too long is swept, though the object sleeps; a live stream counts as active', async (t) => {
  const worker = await startWorker({ token: TOKEN, options: { ...TIMES, dormantAfter: 300, sweepEvery: 200 } });
  t.after(() => worker.stop());
  const { origin } = worker;
  const rows = async () => (await worker.call('hub', 'rows')).clients;
  const [away, here] = await Promise.all(['ann_1', 'bob_1'].map((id) => open(`${origin}/sse/register-listener/${id}`)));
  away.close();
  await until(async () => (await rows()) === 1, 'one is swept');
  assert.deepEqual(Object.keys(JSON.parse(await ask(origin, 'GET', 'list-registrants'))), ['bob_1']);
  here.close();
  // Nobody wakes the object but its alarm.
  await until(async () => (await rows()) === 0, 'the other is swept');
});

test('M1: a Worker that cannot be says why', async (t) => {
  const worker = await startWorker({ token: TOKEN });
  t.after(() => worker.stop());
  for (const [options, field] of [[{ prefix: '/sse' }, 'prefix'], [{ prefix: 5 }, 'prefix'], [{ shardBy: 'user' }, 'shardBy']]) {
    assert.deepEqual(await worker.call('worker', 'refused', options), { code: 'invalid-option', field });
  }
  assert.equal(await worker.call('worker', 'refused', { prefix: '/', shardBy: 'topic', hibernate: true }), null);
});

test('M7, M19: by the functions of the object, without the routes', async (t) => {
  const worker = await startWorker({ token: TOKEN });
  t.after(() => worker.stop());
  const stream = await open(`${worker.origin}/sse/register-listener/bob_1`);
  await stream.next();
  assert.deepEqual(await Promise.all(['bob_1', 'bob_2'].map((id) => worker.call('hub', 'isRegistered', id))), [true, false]);
  await ask(worker.origin, 'PUT', 'listen/bob_1/k');
  const id = await worker.call('hub', 'notify', 'k');
  assert.equal(await stream.next(), `data:"notify^k"\nid:${id}\n\n`);
  stream.close();
});

test('an id that nobody registers lapses when it would have, though its object slept or was reset meanwhile', async (t) => {
  const worker = await startWorker({ token: TOKEN, options: { ...TIMES, issuedIdTtl: 2500 } });
  t.after(() => worker.stop());
  const rows = async () => (await worker.call('hub', 'rows')).clients;
  await ask(worker.origin, 'GET', 'make-id/bob');
  const issued = Date.now();
  await worker.call('hub', 'reset').catch(() => {});
  assert.equal((await worker.call('hub', 'usage')).issuedIds, 1);
  await until(() => worker.call('hub', 'isIdle'), 'the engine is given back');
  assert.equal(await rows(), 1);
  // Nobody wakes the object but its alarm.
  await until(async () => (await rows()) === 0, 'it is forgotten');
  assert.ok(Date.now() - issued >= 2400, 'and not before its time');
});

for (const { how, options } of BOTH) test(`a trap of an object that ${how}: streams end, and nothing is lost`, async (t) => {
  // The engine, with a way to have it trap.
  const trapping = {
    name: 'trapping',
    setup({ onLoad }) {
      onLoad({ filter: /sse-wasm\/js\/engine\.js$/ }, ({ path }) => ({
        contents: `${readFileSync(path, 'utf8')}
          const transmit = Hub.prototype.transmit;
          globalThis.trapNext = false;
          Hub.prototype.transmit = function (...given) {
            if (globalThis.trapNext) { globalThis.trapNext = false; throw new WebAssembly.RuntimeError('unreachable'); }
            return transmit.apply(this, given);
          };`,
      }));
    },
  };
  const worker = await startWorker({ token: TOKEN, options, plugins: [trapping] });
  t.after(() => worker.stop());
  const { origin } = worker;
  const stream = await open(`${origin}/sse/events?topic=t`);
  const last = idOf(await stream.next());
  await worker.call('hub', 'trap');
  await publish(origin, { to: { topic: 't' }, data: 'lost?' });
  await assert.rejects(async () => {
    while ((await stream.next()) !== null);
    throw new Error('the stream ended');
  });
  const resumed = await open(`${origin}/sse/events?topic=t`, { 'last-event-id': last });
  assert.match(await resumed.event(), /^data:lost\?\n/);
  resumed.close();
});

for (const { how, options } of BOTH) test(`a workerd that is killed in mid-stream, and ${how}, loses and repeats nothing`, async (t) => {
  const persist = mkdtempSync(join(tmpdir(), 'sse-object-'));
  const script = join(dirname(fileURLToPath(import.meta.url)), 'serve.js');
  const start = async () => {
    const given = [script, persist, TOKEN, JSON.stringify(options)];
    // What it has in temporary files is left there when it is killed.
    const env = { ...process.env, TMPDIR: persist };
    const child = spawn(process.execPath, given, { env, stdio: ['ignore', 'pipe', 'inherit', 'ipc'], detached: true });
    const [origin] = await within(once(child, 'message'), 'workerd to listen');
    return { origin, async kill() {
      // The group of a process that was started here: this server and its workerd.
      process.kill(-child.pid, 'SIGKILL');
      await once(child, 'exit');
    } };
  };
  let server = await start();
  t.after(async () => {
    await server.kill().catch(() => {});
    rmSync(persist, { recursive: true });
  });
  const received = [];
  const sent = [];
  const ids = [];
  let last;
  for (let life = 0; life < 3; life++) {
    const stream = await open(`${server.origin}/sse/events?topic=k`, last ? { 'last-event-id': last } : {});
    await stream.next();
    for (let event = 0; event < 20; event++) {
      const { id } = await publish(server.origin, { to: { topic: 'k' }, data: `${life}.${event}` });
      sent.push(`${id} ${life}.${event}`);
      // Of the last five it sees nothing before the end.
      if (event >= 15) continue;
      for (let frame = await stream.event(); ; frame = await stream.event()) {
        last = idOf(frame);
        received.push(`${last} ${/data:(.*)/.exec(frame)[1]}`);
        if (last === id) break;
      }
    }
    ids.push(await ask(server.origin, 'GET', 'make-id/bob'));
    await server.kill();
    server = await start();
    const { issuedIds } = await (await request(`${server.origin}/test/hub/usage`)).json();
    assert.equal(issuedIds, ids.length, 'an id is known as soon as it was issued');
  }
  for (const id of ids) {
    const listener = await open(`${server.origin}/sse/register-listener/${id}`);
    assert.match(await listener.next(), new RegExp(`data:"registered\\^${id}"\n`));
    await ask(server.origin, 'PUT', `listen/${id}/k`);
    listener.close();
  }
  const stream = await open(`${server.origin}/sse/events?topic=k`, { 'last-event-id': last });
  while (received.length < sent.length) {
    const frame = await stream.event();
    received.push(`${idOf(frame)} ${/data:(.*)/.exec(frame)[1]}`);
  }
  assert.deepEqual(received, sent);
  stream.close();
});
