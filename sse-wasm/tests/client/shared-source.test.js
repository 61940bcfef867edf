// One connection for all tabs, in Chromium; connections are counted at the server.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { SharedSource } from 'sse-wasm/client';

import { holds, until } from '../../../tests/hosts/support/wait.mjs';
import { PAGE, files, startChromium } from './support/chromium.js';
import { startLog } from './support/log.js';
import { startServer } from './support/server.js';

const TABS = 10;

let log;
let server;
let chromium;
let tabs;

before(async () => { chromium = await startChromium(); });
after(() => chromium?.close());
beforeEach(async () => {
  log = startLog();
  // Browsers that were told 204 are not to ask again.
  const gone = (request, response) => response.writeHead(204).end();
  // A page that a browser may put aside: one that may be stored.
  const kept = (request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
  server = await startServer({ files, routes: { '/log': log.route, '/gone': gone, '/kept': kept } });
  tabs = [];
});
afterEach(async () => {
  await Promise.all(tabs.map((tab) => tab.close()));
  await server?.stop();
});

/** A tab with a source; `seen` there has the data of its events in order. */
async function open(options = {}, path = '/log', page = '/page') {
  const tab = await chromium.open(server.origin, page);
  tabs.push(tab);
  await tab.evaluate(async ({ options, path }) => {
    const { SharedSource } = await import('sse-wasm/client');
    window.seen = [];
    window.states = [];
    window.source = new SharedSource(path, options);
    for (const type of ['message', 'odd']) source.addEventListener(type, ({ data }) => seen.push(data));
    for (const type of ['open', 'error']) source.addEventListener(type, (event) => states.push(event.code ? `${type} ${event.code}` : type));
  }, { options, path });
  return tab;
}

const seenBy = (tab) => tab.evaluate(() => window.seen);
const stateOf = (tab) => tab.evaluate(() => [source.readyState, source.lastEventId, source.isLeader]);
const everyTab = async (condition) => (await Promise.all(tabs.map(condition))).every(Boolean);
const allOpen = () => until(() => everyTab(async (tab) => (await stateOf(tab))[0] === 1), 'every tab is open');
const leaders = async () => {
  const states = await Promise.all(tabs.map(stateOf));
  return tabs.filter((_, index) => states[index][2]);
};

test('ten tabs, one connection, every event in every tab; a plain EventSource stops at six', async () => {
  await Promise.all(Array.from({ length: TABS }, () => open()));
  await allOpen();
  assert.deepEqual([log.open, log.opened, (await leaders()).length], [1, 1, 1]);
  const wanted = Array.from({ length: 50 }, (_, index) => `event ${index}`);
  for (const data of wanted) log.publish(data);
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length >= 50), 'every tab saw them');
  for (const tab of tabs) assert.deepEqual([await seenBy(tab), await stateOf(tab).then(([, id]) => id)], [wanted, '50']);
  assert.equal(log.opened, 1);

  const before = log.open;
  await Promise.all(tabs.map((tab) => tab.evaluate(() => { window.plain = new EventSource('/log'); })));
  await until(() => log.open === 6, 'as many connections as a browser makes');
  await holds(() => log.open === 6 && before === 1, 'ten are wanted, and there are six', 500);
});

test('who joins late is given the state, and the last events where that is asked for', async () => {
  await open({ replay: 3 });
  await allOpen();
  for (const data of ['a', 'b', 'c', 'd', 'e']) log.publish(data);
  await until(async () => (await seenBy(tabs[0])).length === 5, 'the first tab saw them');
  const late = await open({ replay: 3 });
  const plain = await open();
  await allOpen();
  assert.deepEqual([await stateOf(late), await seenBy(late)], [[1, '5', false], ['c', 'd', 'e']]);
  assert.deepEqual([await stateOf(plain), await seenBy(plain)], [[1, '5', false], []]);
  log.publish('f');
  await until(() => everyTab(async (tab) => (await seenBy(tab)).at(-1) === 'f'), 'the next one came');
  assert.deepEqual([await seenBy(late), await seenBy(plain), log.opened], [['c', 'd', 'e', 'f'], ['f'], 1]);
});

test('tabs that have the connection close, one after another, while events come: nothing is lost, nothing comes twice', async () => {
  await Promise.all(Array.from({ length: TABS }, () => open()));
  await allOpen();
  let published = 0;
  const publishing = setInterval(() => log.publish(`event ${published++}`), 3);
  try {
    for (let left = TABS - 1; left >= 5; left--) {
      const [leader] = await leaders();
      const then = published;
      tabs = tabs.filter((tab) => tab !== leader);
      if (left % 2) await leader.close();
      else await leader.evaluate(() => source.close()).then(() => leader.close());
      await until(async () => (await leaders()).length === 1 && log.open === 1, 'another tab has it');
      await until(() => everyTab(async (tab) => (await seenBy(tab)).length > then + 20), 'events go on');
    }
  } finally {
    clearInterval(publishing);
  }
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length >= published), 'every tab saw all');
  const wanted = Array.from({ length: published }, (_, index) => `event ${index}`);
  for (const tab of tabs) assert.deepEqual(await seenBy(tab), wanted);
  assert.deepEqual([log.open, log.opened, tabs.length], [1, 6, 5]);
});

test('what a leader repeats that was told less than others is given once', async () => {
  await Promise.all([open(), open()]);
  await allOpen();
  for (const data of ['a', 'b', 'c']) log.publish(data);
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 3), 'both saw them');
  // As a tab would that was told of the first one only, and now has the connection.
  const behind = await chromium.open(server.origin);
  await behind.evaluate(() => {
    const channel = new BroadcastChannel(`sse:${new URL('/log', location)}`);
    const tell = (data, lastEventId, own) => {
      channel.postMessage({ kind: 'event', term: 'another', own, event: { type: 'message', data, lastEventId, origin: location.origin } });
    };
    tell('b', '2', true);
    tell('c', '3', true);
    tell('without an id of its own', '3', false);
    tell('d', '4', true);
  });
  await until(() => everyTab(async (tab) => (await seenBy(tab)).includes('d')), 'what was new came');
  for (const tab of tabs) assert.deepEqual(await seenBy(tab), ['a', 'b', 'c', 'without an id of its own', 'd']);
  await behind.close();
});

/** What a browser says to a tab before it freezes it, and after. */
const told = (tab, what) => tab.evaluate((what) => { document.dispatchEvent(new Event(what)); }, what);

for (const who of ['the connection', 'no connection']) {
  test(`a tab with ${who} is frozen: the others go on, and when it is back it is given what it missed, once`, async () => {
    const all = await Promise.all([open(), open(), open()]);
    await allOpen();
    const [leader] = await leaders();
    const frozen = who === 'the connection' ? leader : all.find((tab) => tab !== leader);
    for (const data of ['a', 'b']) log.publish(data);
    await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 2), 'all saw the first ones');
    await told(frozen, 'freeze');
    tabs = all.filter((tab) => tab !== frozen);
    await until(async () => (await leaders()).length === 1 && log.open === 1, 'another tab has the connection');
    for (const data of ['c', 'd', 'e']) log.publish(data);
    await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 5), 'the others saw what came');
    await told(frozen, 'resume');
    tabs = all;
    await until(async () => (await seenBy(frozen)).length === 5 && log.open === 1, 'it caught up, and has no connection of its own');
    log.publish('f');
    await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 6), 'all saw the last one');
    for (const tab of tabs) assert.deepEqual(await seenBy(tab), ['a', 'b', 'c', 'd', 'e', 'f']);
    assert.equal((await leaders()).length, 1);
  });
}

test('a tab that comes back while events come is given each once, in order', async () => {
  const all = await Promise.all([open(), open()]);
  await allOpen();
  const [leader] = await leaders();
  log.publish('event 0');
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 1), 'both saw the first one');
  let published = 1;
  const publishing = setInterval(() => log.publish(`event ${published++}`), 2);
  try {
    for (let times = 0; times < 3; times++) {
      await told(leader, 'freeze');
      const then = published;
      await until(() => published > then + 50, 'events came meanwhile');
      await told(leader, 'resume');
      await until(async () => (await seenBy(leader)).length > then + 50, 'it goes on');
    }
  } finally {
    clearInterval(publishing);
  }
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length >= published), 'both saw all');
  const wanted = Array.from({ length: published }, (_, index) => `event ${index}`);
  for (const tab of all) assert.deepEqual(await seenBy(tab), wanted);
  await until(() => log.open === 1, 'one connection is left');
});

test('a tab that is left for another page is put aside whole (bfcache); come back to, it is given what it missed', async () => {
  const [left, other] = [await open({}, '/log', '/kept'), await open()];
  await allOpen();
  log.publish('a');
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 1), 'both saw it');
  await left.goto(`${server.origin}/page`);
  await until(async () => (await stateOf(other))[2] && log.open === 1, 'the other one has the connection');
  for (const data of ['b', 'c']) log.publish(data);
  await until(async () => (await seenBy(other)).length === 3, 'the other one saw them');
  await left.evaluate(() => history.back());
  await until(() => left.evaluate(() => window.seen?.length === 3).catch(() => false), 'the page is back as it was, and caught up');
  await until(() => log.open === 1, 'one connection is left');
  log.publish('d');
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 4), 'both go on');
  for (const tab of tabs) assert.deepEqual(await seenBy(tab), ['a', 'b', 'c', 'd']);
});

test('a tab whose process dies has the next one take over', async () => {
  const all = await Promise.all([open(), open(), open()]);
  await allOpen();
  const [leader] = await leaders();
  log.publish('a');
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 1), 'all saw it');
  tabs = all.filter((tab) => tab !== leader);
  const session = await leader.context().newCDPSession(leader);
  session.send('Page.crash').catch(() => {});
  log.publish('b');
  await until(async () => (await leaders()).length === 1, 'another tab has the connection');
  log.publish('c');
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 3), 'the others saw all');
  for (const tab of tabs) assert.deepEqual(await seenBy(tab), ['a', 'b', 'c']);
  await leader.close();
});

test('a cut connection is made again by the tab that has it; every tab is told', async () => {
  await Promise.all([open(), open(), open()]);
  await allOpen();
  log.publish('a');
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 1), 'it came');
  log.cut();
  log.publish('b');
  await until(() => everyTab(async (tab) => (await seenBy(tab)).length === 2), 'what came in between');
  for (const tab of tabs) assert.deepEqual(await tab.evaluate(() => states), ['open', 'error ended', 'open']);
  assert.deepEqual([log.open, log.opened], [1, 2]);
});

test('an end for good is the end for every tab; the last one to go leaves no connection', async () => {
  await Promise.all([open({}, '/gone'), open({}, '/gone')]);
  await until(() => everyTab(async (tab) => (await stateOf(tab))[0] === 2), 'both are closed');
  const others = [await open(), await open()];
  tabs = others;
  await allOpen();
  for (const tab of others) await tab.evaluate(() => source.close());
  await until(() => log.open === 0, 'no connection is left');
});

test('iteration gives events of every type', async () => {
  await open();
  await allOpen();
  const found = tabs[0].evaluate(async () => {
    const found = [];
    for await (const { type, data } of source) {
      found.push(`${type} ${data}`);
      if (found.length === 2) return found;
    }
  });
  await tabs[0].evaluate(() => undefined);
  log.publish('a');
  log.publish('b');
  assert.deepEqual(await found, ['odd a', 'message b']);
});

test('a host without Web Locks says so', () => {
  Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  assert.throws(() => new SharedSource('http://localhost/'), { code: 'unsupported' });
});
