// One connection for all tabs, in Chromium; connections are counted at the server.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { SharedSource } from 'sse-wasm/client';

import { holds, until } from '../../../tests/hosts/support/wait.mjs';
import { files, startChromium } from './support/chromium.js';
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
  server = await startServer({ files, routes: { '/log': log.route, '/gone': gone } });
  tabs = [];
});
afterEach(async () => {
  await Promise.all(tabs.map((tab) => tab.close()));
  await server?.stop();
});

/** A tab with a source; `seen` there has the data of its events in order. */
async function open(options = {}, path = '/log') {
  const tab = await chromium.open(server.origin);
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
