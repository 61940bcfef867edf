// What an application of system G sees of its functions: the same script for the facade and for the original package. Each observation
// is kept under the row of the table that it belongs to.
import { createServer } from 'node:http';

import express from 'express';

import { listen } from '../support/listen.js';
import { until, wire } from '../support/wire.js';

/** `clock` is the mocked one. Returns what was seen, by row and name. */
export async function observe(service, clock) {
  const [opened, stops] = [[], []];
  try {
    return await observations(service, clock, opened, stops);
  } finally {
    for (const stream of opened) stream.close();
    await Promise.all(stops.map((stop) => stop()));
  }
}

async function observations(service, clock, opened, stops) {
  const seen = new Map();
  const see = (row, what, value) => seen.set(`${row} ${what}`, value);
  let connect = null;
  let connected;

  // Without headers of the framework, Node sends those of writeHead as they are.
  const app = express().disable('x-powered-by');
  app.get('/sse', (req, res) => {
    connected = service.connectSSE({ req, res, originalResHeaders: res.getHeaders(), ...connect });
  });
  const { origin, stop } = await listen(createServer(app));
  stops.push(stop);
  const open = async (parameters = {}) => {
    connect = parameters;
    const stream = await wire(`${origin}/sse`);
    opened.push(stream);
    return Object.assign(stream, connected);
  };
  const leave = async (stream, clientId, groupName) => {
    const before = service.getClientObj(clientId, groupName).connections.length;
    stream.close();
    await until(() => (service.getClientObj(clientId, groupName)?.connections.length ?? 0) < before, 'the connection is gone');
  };
  const outcome = (operation) => {
    try {
      return operation();
    } catch (error) {
      return error instanceof TypeError ? 'TypeError' : (error.code ?? String(error));
    }
  };
  const header = (stream, name) => stream.response.rawHeaders.filter((text, at) => at % 2 === 0 && text.toLowerCase() === name).length;

  const headers = { 'content-type': 'application/json', 'CACHE-control': 'max-age=9', 'X-Custom': '1', Vary: 'accept' };
  const first = await open({ clientId: 'ann', meta: { n: 1 }, originalResHeaders: { ...headers } });
  see('G1', 'status', first.response.statusCode);
  see('G1', 'a header of the framework', [first.response.headers['x-custom'], first.response.headers.vary]);
  see('G1', 'how often content-type is there', header(first, 'content-type'));
  see('G1', 'how often cache-control is there', header(first, 'cache-control'));
  const plain = await open({ clientId: 'plain' });
  for (const name of ['content-type', 'cache-control', 'x-accel-buffering', 'connection']) {
    see('G1', name, plain.response.headers[name]);
  }
  see('G1', 'first bytes', await first.frame());
  await plain.frame();

  see('G2', 'what connectSSE returns', [Object.keys(first.client).sort(), first.client.clientId, first.currConnection === first.client.connections[0]]);
  const second = await open({ clientId: 'ann', meta: { n: 2 } });
  await second.frame();
  see('G2', 'connections of an id', service.getClientObj('ann').connections.length);
  const anonymous = await open();
  see('G2', 'an id is made', /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(anonymous.client.clientId));
  await anonymous.frame();

  see('G4', 'metadata of the first connection stays', second.client.meta);
  see('G4', 'setClientMetadata returns the client', service.setClientMetadata('ann', { n: 3 }) === service.getClientObj('ann'));
  see('G4', 'and replaces', service.getClientObj('ann').meta);
  see('G4', 'of an unknown client', service.setClientMetadata('nobody', {}));
  see('G4', 'with one argument it is a function of the rest', typeof service.setClientMetadata('ann'));

  const other = await open({ clientId: 'ann', groupName: 'other' });
  await other.frame();
  see('G3', 'the same id in another group is another client', service.getClientObj('ann', 'other').connections.length);
  service.sendSSEToClient('ann', 'for other', undefined, 'other');
  see('G3', 'a client of the group', await other.frame());
  service.sendSSEToAll('all of other', 'e', 'other');
  see('G3', 'all of the group', await other.frame());
  for (const [name, operation] of Object.entries({
    sendSSEToAll: () => service.sendSSEToAll('x', 'e', 'nowhere'),
    sendSSEToClient: () => service.sendSSEToClient('ann', 'x', 'e', 'nowhere'),
    getClientObj: () => service.getClientObj('ann', 'nowhere'),
    setClientMetadata: () => service.setClientMetadata('ann', {}, 'nowhere'),
  })) {
    const { log } = console;
    console.log = () => {};
    see('G3', `${name} in an unknown group`, outcome(operation));
    console.log = log;
  }

  const say = async (operation) => {
    const given = outcome(operation);
    if (given !== undefined) return given;
    service.sendSSEToConnection(first.currConnection, 'END');
    let text = '';
    while (!text.endsWith('data:END\n\n')) text += await first.frame();
    return text.slice(0, -'data:END\n\n'.length);
  };
  see('G5', 'to a client', await say(() => service.sendSSEToClient('ann', { a: 1 })));
  see('G5', 'to its other connection', await second.frame());
  see('G5', 'to a client, event and id', await say(() => service.sendSSEToClient('ann', 'x', 'e', undefined, 7)));
  see('G5', 'to a client by a function of the rest', await say(() => service.sendSSEToClient('ann')('x')));
  await service.sendSSEToClient(Promise.resolve('ann'), 'promised');
  see('G5', 'to a client that is promised', await say(() => {}));
  see('G5', 'to an unknown client', await say(() => service.sendSSEToClient('nobody', 'x')));
  see('G5', 'to all', await say(() => service.sendSSEToAll([1, 2])));
  see('G5', 'to all, with an event', await say(() => service.sendSSEToAll('x', 'e')));
  see('G5', 'to all: another client', [await plain.frame(), await plain.frame()]);
  see('G5', 'to a connection', await say(() => service.sendSSEToConnection(first.currConnection, 'x')));
  see('G5', 'to a connection, with an event', await say(() => service.sendSSEToConnection(first.currConnection, 'x', 'e')));
  see('G5', 'a number', await say(() => service.sendSSEToConnection(first.currConnection, 5)));
  see('G5', 'a line break in the data', await say(() => service.sendSSEToConnection(first.currConnection, 'a\nid:1')));
  see('G5', 'a line break in the event', await say(() => service.sendSSEToConnection(first.currConnection, 'x', 'e\nid:1')));

  see('G6', 'an unknown client', service.getClientObj('nobody'));
  see('G6', 'all of the default group', service.getAllClientObjs().map(({ connections, meta }) => [connections.length, meta]));
  see('G6', 'all of an unknown group', service.getAllClientObjs('nowhere'));
  see('G6', 'the default group by its name', service.getClientObj('ann', 'defaultSSEGroup') === service.getClientObj('ann'));
  for (const id of ['Zoë Ω', 'a/b?c', '~x', '100%', ' ']) {
    const odd = await open({ clientId: id, groupName: 'odd ~ 100% /' });
    await odd.frame();
    service.sendSSEToClient(id, 'odd', undefined, 'odd ~ 100% /');
    see('G6', `the id ${JSON.stringify(id)}`, await odd.frame());
  }
  const numbered = await open({ clientId: 5 });
  see('G6', 'a number as id', service.getClientObj(5) === numbered.client && numbered.client.clientId);
  await leave(second, 'ann');
  see('G6', 'after one connection left', service.getClientObj('ann').connections.length);

  let calls = 0;
  const leaving = await open({ clientId: 'leaving', onDisconnectCb: () => (calls += 1) });
  await leave(leaving, 'leaving');
  await until(() => calls > 0, 'onDisconnectCb is called');
  see('G7', 'calls', calls);
  see('G7', 'the client is gone', service.getClientObj('leaving'));
  const ended = await open({ clientId: 'ended', onDisconnectCb: () => (calls += 1) });
  ended.currConnection.end();
  await ended.end();
  await until(() => calls > 1, 'onDisconnectCb is called when the response was ended');
  see('G7', 'calls when the application ends the response', calls - 1);

  clock.tick(19_999);
  service.sendSSEToClient('plain', 'before 20 s');
  see('G8', 'before 20 s', await plain.frame());
  const idle = await open({ clientId: 'idle' });
  await idle.frame();
  clock.tick(20_000);
  see('G8', 'after 20 s', await idle.frame());
  // Those of the others are read.
  service.sendSSEToConnection(first.currConnection, 'MARK');
  while ((await first.frame()) !== 'data:MARK\n\n');

  const order = [];
  const written = Array.from({ length: 100 }, (_, at) => {
    return new Promise((resolve) => service.sendSSEToConnection(first.currConnection, `${at}`, undefined, undefined, () => resolve(order.push(at))));
  });
  await Promise.all(written);
  see('G9', 'callbacks in order', order.every((value, at) => value === at));
  const frames = [];
  while (frames.length < 100) frames.push(await first.frame());
  see('G9', 'writes in order', frames.join('') === order.map((at) => `data:${at}\n\n`).join(''));
  let [late, failed, gone] = [0, 0, false];
  const paused = await open({ clientId: 'paused', onDisconnectCb: () => (gone = true) });
  paused.response.pause();
  for (let at = 0; at < 200; at++) {
    service.sendSSEToConnection(paused.currConnection, 'x'.repeat(100_000), undefined, undefined, (error) => (error ? (failed += 1) : (late += 1)));
  }
  await until(() => late + failed < 200, 'some writes wait');
  paused.close();
  await until(() => gone, 'the paused one is gone');
  await new Promise(setImmediate);
  see('G9', 'writes that wait fail when the connection is gone', failed > 0 && late + failed === 200);

  return seen;
}
