// What createHub() promises beyond the conformance suite: back-pressure, peers that stall or vanish, the end, and other frameworks'
// ways of calling it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { test } from 'node:test';

import { SseError, createHub } from 'sse-wasm/node';

import { listen } from './support/listen.js';
import { open, until, within } from './support/stream.js';

const OPEN = { auth: { open: true } };

async function serve(hub) {
  const server = http.createServer((request, response) => hub.node(request, response));
  return { ...(await listen(server)), server };
}

/** A peer that asks for a stream and reads nothing more than its head. */
async function paused(origin, path) {
  const { hostname, port } = new URL(origin);
  const socket = net.connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${hostname}:${port}\r\n\r\n`);
  await once(socket, 'data');
  socket.pause();
  return socket;
}

test('a peer that reads nothing holds no more than its socket does, and goes on without loss', async () => {
  const hub = createHub({ ...OPEN, limits: { logBytes: 1 << 26 } });
  const { origin, server, stop } = await serve(hub);
  let response;
  server.on('request', (_, made) => (response = made));
  const socket = await paused(origin, '/sse/events?topic=t');
  const data = 'x'.repeat(100_000);
  for (let event = 0; event < 300; event++) {
    hub.publish({ topic: 't' }, `${event}:${data}`);
    // Chunks are written as turns go by.
    if (event % 10 === 0) await new Promise(setImmediate);
  }
  await new Promise(setImmediate);
  assert.ok(response.writableLength <= 1 << 18, `${response.writableLength} bytes wait in the response`);
  const seen = [];
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    for (let mark = /data:(\d+):/.exec(text); mark; mark = /data:(\d+):/.exec(text)) {
      seen.push(Number(mark[1]));
      text = text.slice(mark.index + mark[0].length);
    }
  });
  socket.resume();
  await until(() => seen.length === 300, 'everything was read');
  assert.deepEqual(seen, Array.from({ length: 300 }, (_, event) => event));
  socket.destroy();
  await until(() => hub.usage.connections === 0, 'the peer is gone');
  await stop();
});

test('who takes nothing for too long is cut off', async () => {
  const ended = [];
  const hub = createHub({ ...OPEN, writeStall: 300, heartbeat: 100, onDisconnect: ({ reason }) => ended.push(reason) });
  const { origin, stop } = await serve(hub);
  const socket = await paused(origin, '/sse/events?topic=t');
  for (let event = 0; event < 200; event++) hub.publish({ topic: 't' }, 'x'.repeat(100_000));
  await until(() => hub.usage.connections === 0, 'the peer is given up');
  assert.ok(['stalled', 'overrun'].includes(ended[0]), ended[0]);
  socket.destroy();
  await stop();
});

test('signal, cancel and close of a web stream end it once, in any order', async () => {
  const ended = [];
  const hub = createHub({ onDisconnect: ({ reason }) => ended.push(reason) });
  const orders = [
    ['abort', 'cancel'],
    ['cancel', 'abort'],
    ['end', 'abort', 'cancel'],
  ];
  for (const order of orders) {
    const abort = new AbortController();
    const stream = hub.stream({ topics: ['t'] }, { signal: abort.signal });
    const [connection] = hub.connections();
    const steps = { abort: () => abort.abort(), cancel: () => stream.cancel(), end: () => hub.end(connection) };
    for (const step of order) await steps[step]();
    hub.left(connection);
    await new Promise(setImmediate);
    assert.equal(hub.usage.connections, 0);
  }
  const already = hub.stream({}, { signal: AbortSignal.abort() });
  assert.equal(hub.usage.connections, 0);
  assert.equal((await already.getReader().read()).done, true);
  assert.equal(ended.length, 4);
});

test('a web stream makes nothing that was not asked for', async () => {
  const hub = createHub({ limits: { logBytes: 1 << 25 } });
  const stream = hub.stream({ topics: ['t'] });
  const [connection] = hub.connections();
  for (let event = 0; event < 100; event++) hub.publish({ topic: 't' }, 'x'.repeat(100_000));
  await new Promise(setImmediate);
  assert.equal(connection.wants, false);
  const reader = stream.getReader();
  let bytes = (await reader.read()).value.length;
  await new Promise(setImmediate);
  assert.equal(connection.wants, false, 'nothing is made before the next read');
  while (bytes < 10_000_000) {
    const { value } = await within(reader.read(), 'a chunk');
    assert.ok(value.length <= 16 * 1024);
    bytes += value.length;
  }
  await reader.cancel();
});

test('chunks are shared by streams with the same to say, and are no views of the engine’s memory', async () => {
  const hub = createHub();
  const chunks = [[], []];
  for (const into of chunks) {
    const connection = hub.open({ topics: ['t'], greeting: 'none' }, { write: (chunk, connection) => (into.push(chunk), (connection.wants = true)), end() {} });
    connection.wants = true;
    hub.fill(connection);
  }
  hub.publish({ topic: 't' }, 'same');
  await new Promise(setImmediate);
  assert.equal(chunks[0].at(-1), chunks[1].at(-1));
  assert.equal(chunks[0].at(-1).buffer.byteLength, chunks[0].at(-1).length);
});

test('an application ends a hub: streams end after what waits for them, and browsers are told to stay away', async () => {
  const hub = createHub(OPEN);
  const { origin, stop } = await serve(hub);
  const stream = await open(`${origin}/sse/events?topic=t`);
  await stream.next();
  hub.publish({ topic: 't' }, 'last');
  await hub[Symbol.asyncDispose]();
  assert.match(await stream.next(), /^data:last\n/);
  assert.equal(await stream.next(), 'retry:0\n\n');
  assert.equal(await stream.next(), null);
  assert.equal((await fetch(`${origin}/sse/events`)).status, 204);
  assert.throws(() => hub.publish('all', 'x'), (error) => error instanceof SseError && error.code === 'closed');
  await stop();
});

test('HTTP/2, by its compatibility API', async () => {
  const hub = createHub(OPEN);
  const server = http2.createServer((request, response) => hub.node(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = http2.connect(`http://127.0.0.1:${server.address().port}`);
  const streams = ['a', 'b'].map((topic) => client.request({ ':path': `/sse/events?topic=${topic}` }));
  const texts = streams.map((stream, at) => {
    stream.setEncoding('utf8').on('data', (part) => (texts[at] += part));
    return '';
  });
  await until(() => hub.usage.connections === 2, 'both are here');
  for (const topic of ['a', 'b']) hub.publish({ topic }, `for ${topic}`);
  await until(() => texts[0].includes('data:for a\n') && texts[1].includes('data:for b\n'), 'both heard of it');
  streams[0].close();
  await until(() => hub.usage.connections === 1, 'one is gone');
  client.destroy();
  await until(() => hub.usage.connections === 0, 'both are gone');
  server.close();
});

test('another prefix, what is not the hub’s goes on, and a body that was parsed before is taken', async () => {
  const hub = createHub({ ...OPEN, prefix: '/x/y/' });
  const server = http.createServer(async (request, response) => {
    if (request.method === 'POST') {
      let body = '';
      for await (const chunk of request) body += chunk;
      request.body = JSON.parse(body);
    }
    await hub.node(request, response, () => response.end('mine'));
  });
  const { origin, stop } = await listen(server);
  assert.equal(await (await fetch(`${origin}/sse/events`)).text(), 'mine');
  const stream = await open(`${origin}/x/y/events?topic=t`);
  await stream.next();
  const headers = { 'content-type': 'application/json' };
  const published = await fetch(`${origin}/x/y/publish`, { method: 'POST', headers, body: '{"to":{"topic":"t"},"data":[1]}' });
  assert.equal(await stream.next(), `data:[1]\nid:${(await published.json()).id}\n\n`);
  stream.close();
  await stop();
  for (const prefix of ['sse', '/sse', 'sse/', '//', '/a b/', '/../']) {
    assert.throws(() => createHub({ prefix }), (error) => error.code === 'invalid-option' && error.field === 'prefix', prefix);
  }
});

test('a body that is refused is not in the way of the next request on its connection', async (t) => {
  const { server, stop } = await serve(createHub({ ...OPEN, maxBody: 10_000 }));
  t.after(stop);
  const chunk = `800\r\n${'x'.repeat(2048)}\r\n`;
  const bodies = { 'content-length: 200000': 'x'.repeat(200_000), 'transfer-encoding: chunked': `${chunk.repeat(100)}0\r\n\r\n` };
  for (const [head, body] of Object.entries(bodies)) {
    const socket = net.connect(server.address().port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (part) => (text += part));
    socket.write(`POST /sse/publish HTTP/1.1\r\nhost: hub\r\n${head}\r\n\r\n${body}`);
    await until(() => text.includes('send less at once'), 'it is refused');
    socket.write('GET /sse/make-id/bob HTTP/1.1\r\nhost: hub\r\n\r\n');
    await until(() => /bob_[a-z2-7]{26}/.test(text), `the next one is answered after ${head}`);
    assert.match(text, /^HTTP\/1\.1 413 /);
    socket.destroy();
  }
});

test('tasks: functions, their progress, their failures', async () => {
  const tasks = {
    double: ({ params, progress }) => (progress({ half: true }), 2 * params),
    fail: async () => {
      throw new Error('out of paper');
    },
    huge: () => 'x'.repeat(1 << 20),
    odd: () => 5n,
  };
  const hub = createHub({ tasks });
  const frames = [];
  const connection = hub.open({ client: 'bob_1' }, { write: (chunk, connection) => (frames.push(...new TextDecoder().decode(chunk).split(/(?<=\n\n)/)), (connection.wants = true)), end() {} });
  connection.wants = true;
  hub.fill(connection);
  for (const task of Object.keys(tasks)) hub.submitTask('bob_1', task, 21);
  await until(() => frames.length === 6, 'all ended');
  const told = (name) => frames.filter((frame) => frame.includes(`"task":"${name}"`)).join('');
  assert.match(told('double'), /event:progress\n.*"progress":\{"half":true\}[^]*event:completed\n.*"result":42/);
  assert.match(told('fail'), /event:failed\n.*"reason":"out of paper"/);
  assert.match(told('huge'), /event:failed\n.*"reason":"the result could not be kept: [^"]* 262144 bytes[^"]*"/);
  assert.match(told('odd'), /event:failed\n.*"reason":"the result could not be kept: result cannot be sent as JSON: [^"]*BigInt"/);
  assert.deepEqual(hub.tasks('bob_1').map(({ task, status }) => [task, status]), [['double', 'completed'], ['fail', 'failed'], ['huge', 'failed'], ['odd', 'failed']]);
});

test('options that cannot be are named', () => {
  for (const [options, field] of [
    [{ limits: { connection: 1 } }, 'connection'],
    [{ limits: { topics: 1.5 } }, 'topics'],
    [{ limits: { frameBytes: 1 << 26 } }, 'frame_bytes'],
    [{ heartbeat: NaN }, 'heartbeat'],
    [{ overrun: 'wait' }, 'overrun'],
    [{ auth: { token: 'short' } }, 'token'],
    [{ auth: { origins: 'https://a.example' } }, 'origins'],
    [{ limits: { logBytes: 2 ** 31 } }, 'logBytes'],
    [{ heartBeat: 1000 }, 'heartBeat'],
    [{ tasks: { job: 'Worker' } }, 'tasks.job'],
    [{ maxBody: '1 MiB' }, 'maxBody'],
    [{ onGap: 5 }, 'onGap'],
    [{ prefix: 5 }, 'prefix'],
    [null, 'options'],
  ]) {
    assert.throws(() => createHub(options), (error) => error instanceof SseError && error.code === 'invalid-option' && error.field === field, field);
  }
});

test('what cannot be is refused by name, and changes nothing', () => {
  const hub = createHub({ tasks: { job: 'worker' } });
  hub.stream({ client: 'bob_1' });
  const circle = {};
  circle.circle = circle;
  const refused = [
    ...[undefined, null, 5, 'ALL', {}, { topic: null }, { topic: 't', name: 'n' }, { connections: 5 }, { connections: [{}] }].map(
      (to) => [() => hub.publish(to, 'x'), 'invalid-target', 'to'],
    ),
    [() => hub.publish({ topic: 5 }, 'x'), 'invalid-name', 'topic'],
    [() => hub.publish({ client: { id: 5 } }, 'x'), 'invalid-name', 'id'],
    [() => hub.publish({ group: [] }, 'x'), 'invalid-name', 'group'],
    ...[undefined, null, 5, true].map((event) => [() => hub.publish('all', event), 'invalid-field', '']),
    ...[circle, 5n, () => {}, Symbol('x')].map((data) => [() => hub.publish('all', { data }), 'invalid-field', 'data']),
    ...[-1, 1.5, NaN, 2 ** 32, '5'].map((retry) => [() => hub.publish('all', { retry }), 'invalid-field', 'retry']),
    ...['event', 'id', 'comment'].map((field) => [() => hub.publish('all', { [field]: 5 }), 'invalid-field', field]),
    ...['event', 'id'].map((field) => [() => hub.publish('all', { [field]: 'a\rb' }), 'invalid-field', field]),
    ...['event', 'id'].map((field) => [() => hub.publish('all', { [field]: 'a\nb' }), 'invalid-field', field]),
    [() => hub.publishAll(), 'invalid-field', ''],
    [() => hub.publishAll([null]), 'invalid-target', 'to'],
    ...[undefined, null, 5, {}].map((client) => [() => hub.listen(client, 'k'), 'invalid-name', 'id']),
    [() => hub.listen('bob_1'), 'invalid-name', 'topic'],
    [() => hub.notify(5), 'invalid-name', 'key'],
    [() => hub.notify('k', { names: 'bob' }), 'invalid-name', 'name'],
    [() => hub.submitTask('bob_1'), 'invalid-name', 'task'],
    [() => hub.progress('bob_1', 'job', circle), 'invalid-field', 'progress'],
    [() => hub.complete('bob_1', 'job', 5n), 'invalid-field', 'result'],
    [() => hub.allocateId(), 'invalid-name', 'name'],
    [() => hub.stream({ topics: 'news' }), 'invalid-name', 'topic'],
    [() => hub.stream({ lastEventId: 5 }), 'invalid-name', 'lastEventId'],
    [() => hub.stream({ greeting: 'hello' }), 'invalid-option', 'greeting'],
    [() => hub.stream({}, { signal: 5 }), 'invalid-option', 'signal'],
    [() => hub.open({}), 'invalid-outlet', ''],
    [() => hub.openOn(new Response(), {}, {}), 'invalid-response', ''],
  ];
  for (const [attempt, code, field] of refused) {
    assert.throws(attempt, { name: 'SseError', code, field }, `${attempt}`);
  }
  const { connections, clients, logEntries, tasks } = hub.usage;
  assert.deepEqual([connections, clients, logEntries, tasks], [1, 1, 0, 0]);
  hub.free();
});

test('a hub that is closed or freed says so, once or twice', async () => {
  const hub = createHub({ auth: { open: true } });
  const reader = hub.stream({ client: 'bob_1' }).getReader();
  hub.close();
  hub.close();
  for (let { done } = await reader.read(); !done; ) ({ done } = await reader.read());
  hub.free();
  hub.free();
  hub.close();
  await hub[Symbol.asyncDispose]();
  const attempts = [() => hub.usage, () => hub.clients(), () => hub.publish('all', 'x'), () => hub.newId(), () => hub.stream({})];
  for (const attempt of attempts) assert.throws(attempt, { code: 'closed' });
  const ask = (path) => hub.handle(new Request(`http://hub/sse/${path}`));
  const answers = await Promise.all(['events', 'make-id/bob', 'list-registrants'].map(ask));
  assert.deepEqual(answers.map(({ status }) => status), [204, 503, 503]);
});

test('traps, however many, leave other hubs as they were', async () => {
  const hub = createHub();
  hub.stream({ topics: ['t'] });
  const { Hub: Engine } = await import('./node_modules/sse-wasm/js/engine.js');
  const { engineOptions } = await import('./node_modules/sse-wasm/js/hub/options.js');
  const broken = new Engine(engineOptions({}), 1, new Uint8Array(16));
  broken.free();
  for (let times = 0; times < 1000; times++) assert.throws(() => broken.free(), { name: 'RuntimeError', message: 'unreachable' });
  hub.publish({ topic: 't' }, 'x'.repeat(10_000));
  assert.deepEqual([hub.usage.logEntries, createHub().usage.connections], [1, 0]);
});

test('a stream of a closed hub ends, even if nothing else keeps the process alive', () => {
  const script = `import { createHub } from 'sse-wasm';
    for (let times = 0; times < 20; times++) {
      const hub = createHub();
      const reader = hub.stream({ client: 'bob_1' }).getReader();
      hub.close();
      while (!(await reader.read()).done);
    }
    console.log('over');`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: import.meta.dirname, timeout: 10_000 });
  assert.equal(String(said), 'over\n');
});

test('a hub keeps no process alive', () => {
  const script = `import { createHub } from 'sse-wasm';
    const hub = createHub({ heartbeat: 50 });
    hub.open({ client: 'bob_1' }, { write() {}, end() {} });
    hub.publish('all', 'x');`;
  execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: import.meta.dirname, timeout: 10_000 });
});
