// What an application of system M sees of its manager: the same script for the facade and for the original package. Each
// observation is kept under the row of the table that it belongs to.
import { createServer } from 'node:http';

import express from 'express';

import { listen } from '../support/listen.js';
import { ask, wire } from '../support/wire.js';

const HOUR = 3_600_000;

/** `clock` is the mocked one. Returns what was seen, by row and name. */
export async function observe(manager, clock) {
  const [opened, stops] = [[], []];
  try {
    return await observations(manager, clock, opened, stops);
  } finally {
    for (const stream of opened) stream.close();
    manager.unregisterAllListeners();
    await Promise.all(stops.map((stop) => stop()));
  }
}

async function observations(manager, clock, opened, stops) {
  const seen = new Map();
  const see = (row, what, value) => seen.set(`${row} ${what}`, value);

  // ---- M19: without the router
  const bare = await listen(createServer((request, response) => {
    try {
      manager.registerListener('own_1', response);
    } catch (error) {
      response.end(error.constructor.name === 'TypeError' ? 'threw' : String(error));
    }
  }));
  stops.push(bare.stop);
  const own = await wire(bare.origin);
  opened.push(own);
  see('M19', 'registerListener without the router', (await own.frame()) ?? own.text);
  see('M19', 'it is registered', manager.isRegistered('own_1'));
  manager.unregisterAllListeners();

  // ---- an application
  const app = express();
  app.use(manager.createRouter('/x/y/'));
  app.put('/x/y/submit-task/:id/:task', async (request, response) => {
    const { id, task } = request.params;
    if (!manager.isRegistered(id)) return response.status(404).send('not found');
    response.send('ok');
    await manager.notifyCompletions(id, task);
  });
  app.put('/x/y/listen/:id/:key', (request, response) => {
    const { id, key } = request.params;
    if (!manager.isRegistered(id)) return response.status(404).send('not found');
    manager.addListenKey(id, key);
    response.send('ok');
  });
  const { origin, stop } = await listen(createServer(app));
  stops.push(stop);
  const base = `${origin}/x/y/`;
  const get = (path) => ask(base + path);
  const register = async (id) => {
    const stream = await wire(`${base}register-listener/${id}`);
    opened.push(stream);
    await stream.frame();
    return stream;
  };
  const list = async () => JSON.parse((await get('list-registrants')).text);
  const plain = (text) => text?.replace(/\d{13}/g, 'T');
  const throws = (operation) => {
    try {
      operation();
      return 'no';
    } catch {
      return 'yes';
    }
  };

  see('M1', 'the prefix', manager.prefix);
  see('M1', 'a prefix without slashes at its ends is refused', throws(() => manager.createRouter('/sse-')));
  if (manager.prefix !== '/x/y/') manager.createRouter('/x/y/');
  see('M1', 'nothing is there without the prefix', (await ask(`${origin}/make-id/bob`)).status);

  const ids = await Promise.all(Array.from({ length: 400 }, () => get('make-id/bob')));
  see('M2', 'status', ids[0].status);
  see('M2', 'content type', ids[0].type);
  see('M2', 'different ids of 400', new Set(ids.map(({ text }) => text)).size === 400);
  const forms = { random: /^bob_[a-z2-7]{26}$/, 'the time': /^bob_\d{13}_\d+$/ };
  see('M3', 'the suffix', Object.keys(forms).find((form) => forms[form].test(ids[0].text)) ?? ids[0].text);

  const bob = await wire(`${base}register-listener/bob_1`);
  opened.push(bob);
  see('M4', 'registered when the head is here', manager.isRegistered('bob_1'));
  see('M4', 'status', bob.response.statusCode);
  see('M4', 'content type', bob.response.headers['content-type']);
  see('M4', 'cache control', bob.response.headers['cache-control']);
  see('M4', 'acknowledgement', await bob.frame());
  see('M7', 'an id that is registered', manager.isRegistered('bob_1'));
  see('M7', 'one that is not', manager.isRegistered('bob_9'));
  see('M18', 'origins that may read the stream', bob.response.headers['access-control-allow-origin']);
  for (const route of ['make-id/bob', 'register-listener/bob_7', 'list-registrants']) {
    see('M18', `OPTIONS ${route}`, (await ask(base + route, { method: 'OPTIONS' })).status);
  }

  see('M10', 'listen', (await ask(`${base}listen/bob_1/k`, { method: 'PUT' })).status);
  see('M10', 'listen with an unknown id', (await ask(`${base}listen/bob_9/k`, { method: 'PUT' })).status);
  await ask(`${base}listen/bob_1/k`, { method: 'PUT' });
  see('M10', 'keys after listening twice', (await list()).bob_1.listenKeys);
  see('M10', 'addListenKey with an unknown id throws', throws(() => manager.addListenKey('bob_9', 'k')));

  const again = await register('bob_1');
  await get('list-registrants');
  see('M5', 'keys are kept', new Set((await list()).bob_1.listenKeys).size);
  see('M5', 'the stream before is still open', !bob.ended);
  manager.notifyListeners('k');
  see('M5', 'the new stream is the one', await again.frame());

  const [second, bobby, ann] = [await register('bob_2'), await register('bobby_1'), await register('ann_1')];
  see('M8', 'resolves to', await manager.notifyCompletions('bob_1', 't'));
  see('M8', 'to the id', plain(await again.frame()));
  see('M8', 'to another of its user', plain(await second.frame()));
  manager.addListenKey('bobby_1', 'mark');
  manager.notifyListeners('mark');
  see('M8', 'to a user whose name begins as that one', plain(await bobby.frame()));
  see('M8', 'of a user without ids', await manager.notifyCompletions('nobody_1', 't'));

  see('M9', 'submit-task', (await ask(`${base}submit-task/ann_1/job`, { method: 'PUT' })).status);
  see('M9', 'submit-task with an unknown id', (await ask(`${base}submit-task/ann_9/job`, { method: 'PUT' })).status);
  see('M9', 'completion', plain(await ann.frame()));

  for (const id of ['ann_1', 'bob_2']) manager.addListenKey(id, 'clock-tick');
  manager.notifyListeners('clock-tick');
  see('M11', 'to one who listens', await ann.frame());
  see('M11', 'to another', await second.frame());
  manager.notifyListeners('clock-tick', ['ann']);
  see('M11', 'with user names', await ann.frame());
  manager.addListenKey('bob_2', 'after');
  manager.notifyListeners('after');
  see('M11', 'to who is not among the user names', await second.frame());

  manager.unregisterAllListeners();
  const watcher = await register('watcher_1');
  manager.addListenKey('watcher_1', 'who');
  manager.listenersChangedKey = 'who';
  const guest = await register('guest_1');
  see('M12', 'when one comes', await watcher.frame());
  clock.tick(50);
  manager.unregisterListener('guest_1');
  see('M12', 'when one goes', await watcher.frame());
  clock.tick(50);
  manager.listenersChangedKey = '';
  see('M12', 'setNotifyListenersChanged', typeof manager.setNotifyListenersChanged);
  see('M12', 'notifyListenersChanged', typeof manager.notifyListenersChanged);

  const listed = await get('list-registrants');
  see('M13', 'content type', listed.type);
  see('M13', 'the map', plain(listed.text));
  for (const id of ['20', '3']) await register(id);
  see('M13', 'order', Array.from((await get('list-registrants')).text.matchAll(/"(\w+)":\{/g), ([, id]) => id));
  see('M13', 'getListenersJSON', manager.getListenersJSON() === (await get('list-registrants')).text);

  const leaving = await register('leaving_1');
  const left = await get('disconnect-registrant/leaving_1');
  see('M6', 'a known id', [left.status, left.text]);
  see('M6', 'content type', left.type);
  see('M6', 'it is gone', manager.isRegistered('leaving_1'));
  see('M6', 'an unknown id', (await get('disconnect-registrant/nobody_1')).text);
  see('M6', 'the stream stays open', !leaving.ended);

  const cleared = await get('clear-registrants');
  see('M14', 'answer', [cleared.status, cleared.text]);
  see('M14', 'content type', cleared.type);
  see('M14', 'who is left', (await get('list-registrants')).text);

  await register('adhoc_1');
  for (const route of ['trigger-adhoc', 'trigger-ad-hoc']) see('M16', route, (await get(`${route}/adhoc_1`)).status);
  see('M16', 'triggerAdHocResponse', typeof manager.triggerAdHocResponse);
  manager.unregisterAllListeners();

  // ---- time
  const close = async (stream) => {
    stream.close();
    await get('list-registrants');
    await get('list-registrants');
  };
  // The periodic sweep, by its timer alone; then once more after it left nobody.
  for (const round of ['first', 'second']) {
    await close(await register(`${round}_1`));
    for (let ticks = 0; ticks < 20; ticks++) {
      clock.tick(240_000);
      await get('list-registrants');
    }
    see('M17', `the ${round} that grows old is swept`, !manager.isRegistered(`${round}_1`));
  }
  manager.unregisterAllListeners();

  await close(await register('old_1'));
  clock.tick(HOUR);
  const swept = await get('trigger-cleanup');
  see('M15', 'answer', [swept.status, swept.text]);
  see('M15', 'content type', swept.type);
  await get('list-registrants');
  see('M17', 'at exactly an hour', manager.isRegistered('old_1'));
  clock.tick(1);
  await get('trigger-cleanup');
  await get('list-registrants');
  see('M15', 'a millisecond later it is swept', !manager.isRegistered('old_1'));

  const live = await register('live_1');
  clock.tick(15_000);
  await get('list-registrants');
  manager.addListenKey('live_1', 'mark');
  manager.notifyListeners('mark');
  see('M17', 'after 15 s of silence', await live.frame());
  clock.tick(HOUR);
  await get('trigger-cleanup');
  await get('list-registrants');
  see('M17', 'a client with a live stream, after an hour', manager.isRegistered('live_1'));
  manager.unregisterAllListeners();

  const crowd = [];
  for (let count = 0; count < 250; count++) {
    crowd.push(await register(`crowd_${count}`));
    manager.addListenKey(`crowd_${count}`, 'all');
  }
  manager.notifyListeners('all');
  const frames = await Promise.all(crowd.map((stream) => stream.frame()));
  see('M21', 'everyone of 250 is told', new Set(frames).size === 1 && frames[0]);

  const lines = [];
  const { log } = console;
  console.log = (line) => lines.push(line);
  manager.setVerbose(true);
  await register('verbose_1');
  manager.setVerbose(false);
  await register('quiet_1');
  console.log = log;
  see('M20', 'diagnostics while verbose', lines.length > 0 && lines.every((line) => line.startsWith('SSE: ')));
  see('M20', 'diagnostics while not', lines.some((line) => line.includes('quiet')));

  return seen;
}
