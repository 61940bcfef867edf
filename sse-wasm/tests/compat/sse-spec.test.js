// System S: every row of the table, on the packed package, with literal bytes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import { after, test } from 'node:test';
import { promisify } from 'node:util';

import express from 'express';
import { SSEID, SSEService } from 'sse-wasm/compat/sse-spec';

import { listen } from '../support/listen.js';
import { ask, soon, until, wire } from '../support/wire.js';

const ACCEPT = { accept: 'text/event-stream' };
const started = [];
after(() => Promise.all(started.map(({ stop }) => stop())));

/** A service behind node:http; `open` opens a stream and tells what its connection event told. */
async function serve(options, prepare = () => {}) {
  const service = new SSEService(options);
  const server = http.createServer((request, response) => {
    prepare(request, response);
    service.register(request, response);
  });
  const { origin, stop } = await listen(server);
  started.push({ stop });
  const open = async (headers = {}, path = '/') => {
    const connected = once(service, 'connection');
    const stream = await wire(origin + path, { headers: { ...ACCEPT, ...headers } });
    const [id, locals] = await soon(connected, 'a connection event');
    return Object.assign(stream, { id, locals });
  };
  return { service, origin, open };
}

/** What a call gives to its callback. */
function called(method, ...rest) {
  return soon(new Promise((resolve) => method(...rest, (...given) => resolve(given))), 'the callback');
}

async function sent(stream, expected) {
  assert.equal(await stream.read(expected.length), expected);
}

test('S1 register: status, headers, Last-Event-ID; nothing is written by itself', async () => {
  const { service, open } = await serve();
  const stream = await open({ 'last-event-id': 'e7' });
  assert.equal(stream.response.statusCode, 200);
  assert.equal(stream.response.headers['content-type'], 'text/event-stream');
  assert.equal(stream.response.headers['cache-control'], 'no-cache');
  assert.equal(stream.response.headers['x-accel-buffering'], 'no');
  assert.equal(stream.locals.sse.lastEventId, 'e7');
  service.send('first');
  await sent(stream, 'data:first\n\n');
  assert.equal(stream.text, 'data:first\n\n');
});

test('S1 register: as a handler of Express 5, and as a plain function', async () => {
  const service = new SSEService();
  const app = express();
  app.get('/sse', (request, response, next) => next(void (response.locals.user = 'ann')), service.register);
  const { origin, stop } = await listen(http.createServer(app));
  started.push({ stop });
  const connected = once(service, 'connection');
  const stream = await wire(`${origin}/sse`, { headers: ACCEPT });
  const [id, locals] = await soon(connected, 'a connection');
  assert.equal(locals.user, 'ann');
  assert.equal(locals.sse.id, id);
  service.send('hello', id);
  await sent(stream, 'data:hello\n\n');
  service.close();
  assert.equal(await stream.end(), 'data:hello\n\n');
});

test('S2 heartbeat: a comment to idle streams, every N seconds', async () => {
  const { open } = await serve({ heartbeatInterval: 0.05 });
  const stream = await open();
  await sent(stream, ':heartbeat\n\n:heartbeat\n\n');
});

test('S2 heartbeat: every 15 seconds by default, and never when negative', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1e12 });
  const [usual, none] = [await serve(), await serve({ heartbeatInterval: -1 })];
  const [stream, silent] = [await usual.open(), await none.open()];
  t.mock.timers.tick(14_999);
  usual.service.send('x', () => {});
  await sent(stream, 'data:x\n\n');
  t.mock.timers.tick(14_999);
  none.service.send('y');
  await sent(silent, 'data:y\n\n');
  assert.equal(stream.text, 'data:x\n\n');
  t.mock.timers.tick(1);
  await sent(stream, ':heartbeat\n\n');
  t.mock.timers.tick(1e9);
  none.service.send('z');
  await sent(silent, 'data:z\n\n');
  assert.equal(silent.text, 'data:y\n\ndata:z\n\n');
});

test('S2 heartbeat: the timer keeps no process alive', async () => {
  const script = `
    import http from 'node:http';
    import { SSEService } from 'sse-wasm/compat/sse-spec';
    const service = new SSEService({ heartbeatInterval: 600 });
    const server = http.createServer(service.register);
    server.on('connection', (socket) => socket.unref());
    server.listen(0, '127.0.0.1', () => {
      const headers = { accept: 'text/event-stream' };
      const request = http.get({ port: server.address().port, host: '127.0.0.1', headers, agent: false }, (response) => {
        response.socket.unref();
        server.unref();
        console.log(response.statusCode);
      });
    });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: new URL('..', import.meta.url),
    timeout: 15_000,
    killSignal: 'SIGKILL',
  });
  assert.equal(stdout, '200\n');
});

test('S2 heartbeat: an interval of nothing is no interval', () => {
  assert.throws(() => new SSEService({ heartbeatInterval: 0 }), { code: 'invalid-option', field: 'heartbeat' });
  for (const field of ['heartbeatInterval', 'maxNbConnections', 'limitStatus', 'retryAfter']) {
    assert.throws(() => new SSEService({ [field]: 'x' }), { code: 'invalid-option', field });
  }
});

test('S3 Accept: without text/event-stream, 400 and JSON and an error event', async () => {
  const { service, origin } = await serve();
  for (const accept of ['application/json', '*/*', 'text/*', 'text/event-stream;q=0', 'text/event-streams', undefined]) {
    const failed = once(service, 'error');
    const answer = await ask(origin, { headers: accept === undefined ? {} : { accept } });
    assert.deepEqual([answer.status, answer.type], [400, 'application/json'], accept);
    const { error, field } = JSON.parse(answer.text);
    assert.equal(field, 'Accept');
    const [told] = await soon(failed, 'an error event');
    assert.deepEqual([told instanceof Error, told.code, told.message], [true, 'not-acceptable', error]);
  }
});

test('S3 Accept: lists and parameters', async () => {
  const { open } = await serve();
  for (const accept of ['text/html, text/event-stream', 'TEXT/EVENT-STREAM ; charset=utf-8', 'a/b;q=1,text/event-stream;q=0.1']) {
    const stream = await open({ accept });
    assert.equal(stream.response.statusCode, 200, accept);
    stream.close();
  }
});

test('S3 Accept: strict equality by option', async () => {
  const { origin, open } = await serve({ strictAccept: true });
  assert.equal((await ask(origin, { headers: { accept: 'text/event-stream, */*' } })).status, 400);
  const stream = await open();
  assert.equal(stream.response.statusCode, 200);
  stream.close();
});

test('S3 Accept: nobody has to listen for errors', async () => {
  const { origin } = await serve();
  assert.equal((await ask(origin)).status, 400);
  assert.equal((await ask(origin)).status, 400);
});

test('S4 maxNbConnections: at the limit 503 with Retry-After, and room again when one has left', async () => {
  const { service, origin, open } = await serve({ maxNbConnections: 2 });
  const [first] = [await open(), await open()];
  const failed = once(service, 'error');
  const refused = await ask(origin, { headers: ACCEPT });
  assert.deepEqual([refused.status, refused.headers['retry-after'], refused.type], [503, '5', 'application/json']);
  assert.equal((await soon(failed, 'an error event'))[0].code, 'full');
  const left = once(service, 'clientClose');
  first.close();
  await soon(left, 'clientClose');
  assert.equal((await open()).response.statusCode, 200);
});

test('S4 maxNbConnections: the status by option; none at all; no limit by default', async () => {
  const gone = await serve({ maxNbConnections: 0, limitStatus: 204 });
  const refused = await ask(gone.origin, { headers: ACCEPT });
  assert.deepEqual([refused.status, refused.text, refused.headers['retry-after']], [204, '', undefined]);
  const busy = await serve({ maxNbConnections: 0, limitStatus: 429, retryAfter: 60 });
  const { status, headers } = await ask(busy.origin, { headers: ACCEPT });
  assert.deepEqual([status, headers['retry-after']], [429, '60']);
  const { open } = await serve();
  for (let count = 0; count < 20; count++) assert.equal((await open()).response.statusCode, 200);
});

test('S5 close: ends all, each with what was sent; later registrations get 204, before the Accept check', async () => {
  const { service, origin, open } = await serve();
  const streams = [await open(), await open()];
  service.send('last words');
  const done = called(service.close.bind(service));
  for (const stream of streams) assert.equal(await stream.end(), 'data:last words\n\n');
  assert.deepEqual(await done, []);
  for (const headers of [ACCEPT, {}]) {
    const failed = once(service, 'error');
    const answer = await ask(origin, { headers });
    assert.deepEqual([answer.status, answer.text], [204, '']);
    assert.equal((await soon(failed, 'an error event'))[0].code, 'closed');
  }
  assert.deepEqual(await called(service.close.bind(service)), [], 'closing again is no error');
  assert.deepEqual(await called(service.send.bind(service), 'x'), [], 'nobody is there');
  service.send('x');
});

test('S6 send: each part, in order, in bytes', async () => {
  const { service, open } = await serve();
  const stream = await open();
  const check = async (what, bytes) => {
    service.send(what);
    await sent(stream, bytes);
  };
  await check({ id: 'i1', event: 'ev', data: { hello: 'world' } }, 'id:i1\nevent:ev\ndata:{"hello":"world"}\n\n');
  await check({ id: 'i2', event: 'ev', retry: 5, data: 'd', comment: 'c' }, 'id:i2\nevent:ev\nretry:5\ndata:d\n:c\n\n');
  await check('text', 'data:text\n\n');
  await check(42, 'data:42\n\n');
  await check(true, 'data:true\n\n');
  await check([1, 'a'], 'data:[1,"a"]\n\n');
  await check({ data: ['x'] }, 'data:["x"]\n\n');
  // Left out when falsy; but an event that is named has data, or it would never dispatch.
  await check({ event: 'named' }, 'event:named\ndata:\n\n');
  await check({ event: '', id: '', retry: 0, comment: '', data: 'only' }, 'data:only\n\n');
  await check({ data: '', comment: 'c' }, ':c\n\n');
  await check({ data: undefined, retry: 7 }, 'retry:7\n\n');
  await check({ data: null, id: 'i3' }, 'id:i3\n\n');
  // What could break the framing cannot.
  await check('a\nb\r\nc\rd', 'data:a\ndata:b\ndata:c\ndata:d\n\n');
  await check({ comment: 'a\nb' }, ':a\n:b\n\n');
  await check(' indented', 'data:  indented\n\n');
});

test('S6 send: zero and false are data', async () => {
  const { service, open } = await serve();
  const stream = await open();
  for (const data of [0, false]) service.sendData(data);
  await sent(stream, 'data:0\n\ndata:false\n\n');
});

test('S6 send: what cannot be sent is thrown, or given to the callback', async () => {
  const { service, open } = await serve();
  const stream = await open();
  const wrong = [
    [{ event: 'a\nb' }, { code: 'invalid-field', field: 'event' }],
    [{ id: 'a\nb' }, { code: 'invalid-field', field: 'id' }],
    [{ id: 'a\0b' }, { code: 'invalid-field', field: 'id' }],
    [{ retry: 1.5 }, { code: 'invalid-field', field: 'retry' }],
    [{ retry: -1 }, { code: 'invalid-field', field: 'retry' }],
  ];
  for (const [what, { code, field }] of wrong) {
    assert.throws(() => service.send(what), { name: 'SseError', code, field });
    const [error] = await called(service.send.bind(service), what);
    assert.deepEqual([error.code, error.field], [code, field]);
  }
  assert.throws(() => service.send('x', 'userConnected'), { code: 'invalid-target' });
  service.send('after');
  await sent(stream, 'data:after\n\n');
});

test('S7 sendData, sendEvent, sendComment, sendRetry', async () => {
  const { service, open } = await serve();
  const [stream, other] = [await open(), await open()];
  service.sendData({ a: 1 }, stream.id);
  service.sendEvent('ev', 'd', stream.id.none, stream.id);
  service.sendEvent('ev', 'd', 'i1', stream.id);
  service.sendComment('c', stream.id);
  service.sendRetry(100, stream.id);
  await sent(stream, 'data:{"a":1}\n\nevent:ev\ndata:d\n\nid:i1\nevent:ev\ndata:d\n\n:c\n\nretry:100\n\n');
  assert.deepEqual(await called(service.sendEvent.bind(service), 'ev', 'cb'), []);
  assert.deepEqual(await called(service.sendEvent.bind(service), 'ev', 'cb', 'i2'), []);
  for (const method of ['sendData', 'sendComment']) assert.deepEqual(await called(service[method].bind(service), 'x'), []);
  assert.deepEqual(await called(service.sendRetry.bind(service), 1), []);
  await sent(other, 'event:ev\ndata:cb\n\nid:i2\nevent:ev\ndata:cb\n\ndata:x\n\n:x\n\nretry:1\n\n');
  assert.throws(() => service.sendEvent('ev', 'd', stream.id), { code: 'invalid-target' });
});

test('S8 target: one connection, a predicate over locals, or all; a function alone is the callback', async () => {
  const { service, open } = await serve({}, (request, response) => {
    response.locals = { user: request.url.slice(1) };
  });
  const [ann, bob] = [await open({}, '/ann'), await open({}, '/bob')];
  service.send('one', ann.id);
  await called(service.send.bind(service), 'chosen', ({ user }) => user === 'bob');
  service.send('chosen too', ({ user }) => user === 'ann', null);
  service.send('nobody', () => false, null);
  service.send('all');
  service.send('all too', null);
  await called(service.send.bind(service), 'called');
  await sent(ann, 'data:one\n\ndata:chosen too\n\ndata:all\n\ndata:all too\n\ndata:called\n\n');
  await sent(bob, 'data:chosen\n\ndata:all\n\ndata:all too\n\ndata:called\n\n');
});

test('S9 unRegister: ends the matching, with what was sent to them; nothing more is written', async () => {
  const { service, open } = await serve({}, (request, response) => {
    response.locals = { user: request.url.slice(1) };
  });
  let left = 0;
  service.on('clientClose', () => (left += 1));
  const [ann, bob, cid] = [await open({}, '/ann'), await open({}, '/bob'), await open({}, '/cid')];
  service.send('bye', ann.id);
  const done = called(service.unRegister.bind(service), ann.id);
  service.send('too late', ann.id);
  service.send('everyone');
  assert.equal(await ann.end(), 'data:bye\n\n');
  assert.deepEqual(await done, []);
  service.send('still too late', ann.id);
  service.unRegister(({ user }) => user === 'bob', null);
  assert.equal(await bob.end(), 'data:everyone\n\n');
  assert.equal(cid.ended, false);
  assert.deepEqual(await called(service.unRegister.bind(service), ann.id), [], 'one that is gone');
  assert.deepEqual(await called(service.unRegister.bind(service)), [], 'all');
  assert.equal(await cid.end(), 'data:everyone\n\n');
  assert.equal(left, 0);
  const next = await open();
  service.unRegister();
  assert.equal(await next.end(), '');
});

test('S9 unRegister: a peer that reads slowly gets all that was sent before', async () => {
  const { service, open } = await serve();
  const stream = await open();
  stream.response.pause();
  const event = `data:${'x'.repeat(100_000)}\n\n`;
  for (let count = 0; count < 60; count++) service.send('x'.repeat(100_000));
  const done = called(service.unRegister.bind(service), stream.id);
  await called(service.send.bind(service), 'too late');
  stream.response.resume();
  assert.equal(await stream.end(), event.repeat(60));
  assert.deepEqual(await done, []);
});

test('S10 events: connection and clientClose with id and locals; clientClose only when the client left', async () => {
  const { service, open } = await serve({}, (request, response) => {
    response.locals = { user: 'ann' };
  });
  assert.ok(service instanceof EventEmitter);
  const stream = await open();
  assert.ok(stream.id instanceof SSEID);
  assert.equal(stream.locals.user, 'ann');
  const left = once(service, 'clientClose');
  stream.close();
  const [id, locals] = await soon(left, 'clientClose');
  assert.deepEqual([id === stream.id, locals === stream.locals], [true, true]);
  service.send('to who has left', id);
  const closed = await open();
  let more = 0;
  service.on('clientClose', () => (more += 1));
  service.close();
  await closed.end();
  assert.equal(more, 0);
});

test('S10 events: a client that takes nothing and is given up has not left', async () => {
  const { service, open } = await serve({ writeStall: 200 });
  let left = 0;
  service.on('clientClose', () => (left += 1));
  const [stuck, other] = [await open(), await open()];
  const gone = soon(new Promise((resolve) => stuck.response.socket.once('close', resolve)), 'the end of the connection');
  stuck.response.pause();
  for (let count = 0; count < 100; count++) service.send('x'.repeat(100_000), stuck.id);
  // A predicate is asked about each connection there is.
  const connections = () => {
    let count = 0;
    service.send('', () => (count += 1) < 0, null);
    return count;
  };
  await until(() => connections() === 1, 'the service gives it up');
  // A socket that is paused does not see its end.
  stuck.response.resume();
  await gone;
  service.send('still here');
  await sent(other, 'data:still here\n\n');
  assert.equal(left, 0);
});

test('S11 resetLastEventId: to all', async () => {
  const { service, open } = await serve();
  const streams = [await open(), await open()];
  service.resetLastEventId();
  assert.deepEqual(await called(service.resetLastEventId.bind(service)), []);
  for (const stream of streams) await sent(stream, 'id:\n\nid:\n\n');
});

test('S12 locals.sse: id, and lastEventId where there is one', async () => {
  const { open } = await serve();
  const [first, again] = [await open(), await open({ 'last-event-id': 'i9' })];
  assert.deepEqual(Object.keys(first.locals.sse), ['id']);
  assert.equal(first.locals.sse.id, first.id);
  assert.deepEqual([again.locals.sse.id, again.locals.sse.lastEventId], [again.id, 'i9']);
});

test('a response that was begun is an error and no more', async () => {
  const { service, origin, open } = await serve({}, (request, response) => {
    if (request.url === '/begun') response.writeHead(200).write('x');
  });
  const failed = once(service, 'error');
  const begun = await wire(`${origin}/begun`, { headers: ACCEPT });
  assert.equal((await soon(failed, 'an error event'))[0].code, 'ERR_HTTP_HEADERS_SENT');
  begun.close();
  const stream = await open();
  service.send('here');
  await sent(stream, 'data:here\n\n');
});
