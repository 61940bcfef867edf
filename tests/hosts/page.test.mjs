// The page of the hub in a real browser. Leaves screenshots of each stage in tests/output/.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { ask, startHub } from './support/hub.mjs';
import { startProxy } from './support/proxy.mjs';
import { until } from './support/wait.mjs';

const CHROMIUM = '/usr/bin/chromium';
const OUTPUT = fileURLToPath(new URL('../output/', import.meta.url));
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 375, height: 780 };
const run = promisify(execFile);

let hub;
let profile;
let context;
let page;
let complaints = [];
let hubIsDown = false;

before(async () => {
  await access(CHROMIUM).catch(() => { throw new Error(`${CHROMIUM} is missing: install Debian's chromium`); });
  await mkdir(OUTPUT, { recursive: true });
  hub = await startHub();
  profile = await mkdtemp(join(tmpdir(), 'sse-page-'));
  context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    viewport: DESKTOP,
    reducedMotion: 'reduce',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  context.setDefaultTimeout(10_000);
  page = await open();
});

after(async () => {
  await context?.close();
  if (profile) await rm(profile, { recursive: true, force: true });
  await hub?.kill();
});

/** A tab of the page whose every complaint is kept. A refused connection while the hub is down is no fault of the page. */
async function open(path = '/', origin = hub.origin) {
  const tab = await context.newPage();
  tab.on('pageerror', (error) => complaints.push(`uncaught: ${error.stack ?? error}`));
  tab.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    if (hubIsDown && /net::ERR_/.test(message.text())) return;
    complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  await tab.goto(origin + path);
  return tab;
}

/** The stage as a person sees it: light, dark and on a phone. */
async function picture(stage, tab = page) {
  for (const colorScheme of ['light', 'dark']) {
    await tab.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await tab.evaluate(() => scrollTo(0, 0));
    await tab.screenshot({ path: join(OUTPUT, `${stage}-${colorScheme}.png`), fullPage: true });
  }
  await tab.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  await tab.setViewportSize(PHONE);
  await tab.evaluate(() => scrollTo(0, 0));
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await tab.screenshot({ path: join(OUTPUT, `${stage}-phone.png`), fullPage: true });
  await tab.setViewportSize(DESKTOP);
  assert.ok(wide <= 0, `${stage}: the page is ${wide} px wider than a phone`);
}

const clean = () => assert.deepEqual(complaints.splice(0), []);
const form = (name, tab = page) => tab.locator(`#${name}-form`);
const button = (name, tab = page) => form(name, tab).locator('button');
const arrived = (text, tab = page) => tab.locator('#feed li', { hasText: text });
const onWire = (text, tab = page) => tab.locator('#wire li', { hasText: text });
const shown = (locator) => locator.first().waitFor({ state: 'visible' });

async function connect(tab, name) {
  await tab.getByLabel('Your name').fill(name);
  await tab.getByRole('button', { name: 'Connect', exact: true }).click();
  await shown(tab.locator('#state[data-state="open"]'));
  await shown(tab.locator('#wire li', { hasText: 'event:connected' }));
}

test('the page says what it is before anything is pressed', async () => {
  await shown(page.getByRole('heading', { level: 1 }));
  await shown(page.getByText('Not connected'));
  await shown(page.getByText('One log, many cursors.'));
  assert.equal(await button('listen').isDisabled(), true);
  await picture('1-before');
  clean();
});

test('its policy allows no inline script and no foreign source', async () => {
  // The text as served: the driver itself adds styles to the document.
  const served = await (await fetch(hub.origin)).text();
  assert.doesNotMatch(served, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|\{\{/i);
  for (const attribute of ['src', 'href']) {
    const all = await page.locator(`[${attribute}]`).evaluateAll((found, name) => found.map((one) => one.getAttribute(name)), attribute);
    for (const link of all) assert.match(link, /^(\/(?!\/)|#|data:image\/svg)/);
  }
});

test('connect as a name: state, id, the frame on the wire, the list of listeners', async () => {
  await connect(page, 'ada');
  await shown(page.locator('#connected', { hasText: 'ada' }));
  await shown(page.locator('#who-rows tr', { hasText: 'this page' }));
  clean();
});

test('listen to a key, publish to it with an event name, notify it', async () => {
  await button('listen').click();
  await shown(page.locator('#keys .chip', { hasText: 'news' }));
  await shown(page.locator('#who-rows tr', { hasText: 'news' }));
  await form('publish').locator('textarea').fill('first line\nsecond <b>line</b>');
  await button('publish').click();
  await shown(form('publish').getByText('Published as'));
  await shown(arrived('greeting'));
  assert.equal(await arrived('greeting').first().locator('.body').textContent(), 'first line\nsecond <b>line</b>');
  await shown(onWire('data:second <b>line</b>'));
  await button('notify').click();
  await shown(arrived('news has changed.'));
  await shown(onWire('data:"notify^news"'));
  clean();
});

test('a task: submitted, its progress, its completion', async () => {
  await button('task').click();
  const row = page.locator('#tasks .task', { hasText: 'progress-demo' });
  await shown(row);
  await shown(row.locator('.task-status', { hasText: /^[1-9]\d? %$/ }));
  await picture('2-progress');
  await shown(page.locator('#tasks .task[data-status="completed"]', { hasText: 'progress-demo' }));
  assert.equal(await row.locator('progress').getAttribute('value'), '100');
  await shown(arrived('progress-demo is done.'));

  await form('task').getByLabel('Task').selectOption('sleep');
  await form('task').getByLabel('Seconds').fill('0.5');
  await button('task').click();
  await shown(arrived('sleep is done.'));
  await picture('3-arrived');
  clean();
});

test('the list of listeners follows who comes and goes', async () => {
  const other = await open();
  await connect(other, 'grace');
  await shown(page.locator('#who-rows tr', { hasText: 'grace' }));
  await other.getByRole('button', { name: 'Disconnect' }).click();
  await page.locator('#who-rows tr', { hasText: 'grace' }).waitFor({ state: 'detached' });
  await shown(other.getByText('Not connected'));
  await other.close();
  clean();
});

test('the curl lines on the page work as they stand', async () => {
  const publish = await page.locator('#curl-publish').textContent();
  const { stdout } = await run('sh', ['-c', `${publish.replace(/^curl/, 'curl -sS --fail-with-body')}`]);
  assert.ok(JSON.parse(stdout).id);
  await shown(arrived('Hello from a terminal'));
  const listen = await page.locator('#curl-listen').textContent();
  const heard = run('sh', ['-c', `exec ${listen.replace(/^curl/, 'curl -sS --max-time 10')} | sed -n '/terminal-line/{p;q}'`]);
  await until(async () => {
    await ask(hub, 'POST', 'publish', { to: { topic: 'news' }, data: 'terminal-line' });
    return Promise.race([heard.then(() => true), new Promise((resolve) => setTimeout(resolve, 100))]);
  }, 'curl heard what was published');
  assert.match((await heard).stdout, /^data: ?terminal-line/);
  clean();
});

test('what the hub refuses is said in its own words', async () => {
  await form('task').getByLabel('Task').selectOption('');
  await form('task').getByLabel('Its name').fill('no-such-task');
  const [response] = await Promise.all([
    page.waitForResponse((answer) => answer.url().includes('/submit-task/')), button('task').click(),
  ]);
  assert.equal(response.status(), 404);
  const { error } = await response.json();
  await shown(form('task').locator('.note.bad', { hasText: error }));
  assert.equal(await page.locator('#tasks .task', { hasText: 'no-such-task' }).count(), 0);
  await form('publish').getByLabel('Data is JSON').check();
  await form('publish').locator('textarea').fill('{"a":');
  await button('publish').click();
  await shown(form('publish').locator('.note.bad', { hasText: 'not JSON' }));
  assert.equal(await form('publish').locator('textarea').getAttribute('aria-invalid'), 'true');
  await picture('4-errors');
  await form('publish').locator('textarea').fill('{"a": [1, "two"]}');
  await button('publish').click();
  await shown(arrived('{"a":[1,"two"]}'));
  assert.equal(complaints.splice(0).filter((line) => !line.includes('404')).length, 0);
});

test('the hub is killed and started anew on its port: the page recovers by itself', async () => {
  const id = await page.locator('#my-id').textContent();
  hubIsDown = true;
  await hub.kill();
  await shown(page.locator('#state[data-state="waiting"]'));
  await picture('5-hub-away');
  hub = await startHub({ port: hub.port });
  await page.locator('#state[data-state="open"]').waitFor({ timeout: 30_000 });
  hubIsDown = false;
  await shown(arrived('The hub was restarted'));
  assert.equal(await page.locator('#my-id').textContent(), id);
  await until(async () => (await ask(hub, 'GET', 'list-registrants'))[id]?.listenKeys.includes('news'), 'the page listens again');
  await ask(hub, 'POST', 'publish', { to: { topic: 'news' }, event: 'after', data: 'back again' });
  await shown(arrived('back again'));
  await shown(page.locator('#who-rows tr', { hasText: 'this page' }));
  await picture('6-recovered');
  clean();
});

test('a stream cut in the middle of a frame goes on where it stopped', async () => {
  const proxy = await startProxy(hub.port);
  const tab = await open('/', proxy.origin);
  try {
    await connect(tab, 'lin');
    await button('listen', tab).click();
    await shown(tab.locator('#keys .chip', { hasText: 'news' }));
    await ask(hub, 'POST', 'publish', { to: { topic: 'news' }, data: 'before the cut' });
    await shown(arrived('before the cut', tab));
    proxy.cutAt((link, received) => {
      const at = received.indexOf('data:in the mid');
      return link.sent.includes('/events?') && at >= 0 ? at + 15 : null;
    });
    await ask(hub, 'POST', 'publish', { to: { topic: 'news' }, event: 'cut', data: 'in the middle' });
    await shown(arrived('The connection ended', tab));
    await ask(hub, 'POST', 'publish', { to: { topic: 'news' }, data: 'while away' });
    await shown(arrived('while away', tab));
    await ask(hub, 'POST', 'publish', { to: { topic: 'news' }, data: 'back' });
    await shown(tab.locator('#feed .body', { hasText: /^back$/ }));
    const bodies = await tab.locator('#feed .body').allTextContents();
    assert.deepEqual(
      bodies.filter((body) => /^(before the cut|in the middle|while away|back)$/.test(body)).reverse(),
      ['before the cut', 'in the middle', 'while away', 'back'],
    );
  } finally {
    await tab.close();
    await proxy.close();
  }
  // The browser complains of the connection that the test cut.
  assert.deepEqual(complaints.splice(0).filter((line) => !/net::ERR_/.test(line)), []);
});

test('stop listening, and disconnect', async () => {
  await page.getByRole('button', { name: 'Stop listening to news' }).click();
  await page.locator('#keys .chip').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await shown(page.getByText('Not connected'));
  await page.locator('#who-rows tr', { hasText: 'this page' }).waitFor({ state: 'detached' });
  clean();
});

test('a hub that wants a token is given it, from memory, and not asked twice', async () => {
  const tab = await open();
  const given = [];
  await tab.route(/\/(publish|list-registrants)$/, async (route) => {
    const authorization = await route.request().headerValue('authorization');
    given.push(authorization);
    if (authorization === 'Bearer opensesame') return route.continue();
    return route.fulfill({ status: 401, contentType: 'application/json', body: '{"error":"this route needs the token of the hub"}' });
  });
  await button('publish', tab).click();
  await shown(form('publish', tab).locator('.note.bad', { hasText: 'needs the token of the hub' }));
  await shown(tab.locator('#token-bar'));
  await picture('7-token', tab);
  await tab.locator('#token').fill('wrong');
  await tab.locator('#token-form button').click();
  await shown(tab.locator('#token-why', { hasText: 'did not accept' }));
  await tab.locator('#token').fill('opensesame');
  await tab.locator('#token-form button').click();
  await tab.locator('#token-bar').waitFor({ state: 'hidden' });
  await button('publish', tab).click();
  await shown(form('publish', tab).getByText('Published as'));
  assert.deepEqual(await tab.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]), ['', 0, 0]);
  assert.equal(given.at(-1), 'Bearer opensesame');
  await tab.close();
  assert.deepEqual(complaints.splice(0).filter((line) => !line.includes('401')), []);
});

test('the hub is stopped politely and started anew: it ends with code 0, and the page comes back', async () => {
  const tab = await open();
  await connect(tab, 'kay');
  await button('listen', tab).click();
  await shown(tab.locator('#keys .chip', { hasText: 'news' }));
  hubIsDown = true;
  assert.equal(await hub.stop(), 0);
  await shown(tab.locator('#state[data-state="waiting"]'));
  hub = await startHub({ port: hub.port });
  await tab.locator('#state[data-state="open"]').waitFor({ timeout: 30_000 });
  hubIsDown = false;
  await shown(tab.locator('#who-rows tr', { hasText: 'news' }));
  await ask(hub, 'POST', 'publish', { to: { topic: 'news' }, data: 'after the stop' });
  await shown(arrived('after the stop', tab));
  await tab.close();
  clean();
});

test('heartbeats, markup and every kind of gap are shown as what they are', async () => {
  const tab = await open();
  const gaps = ['epoch', 'evicted', 'unknown', 'overrun', 'news to this page'];
  await tab.route(/\/events\?/, (route) => route.fulfill({
    status: 200,
    contentType: 'text/event-stream',
    body: `:heartbeat\n\nevent:connected\ndata:{}\n\ndata:<img src=x onerror=alert(1)>\n\n${
      gaps.map((reason) => `event:gap\ndata:${JSON.stringify({ reason })}\n\n`).join('')}retry:600000\n\n`,
  }));
  await tab.getByRole('button', { name: 'Connect', exact: true }).click();
  await shown(onWire(':heartbeat', tab));
  await shown(tab.locator('#wire-count', { hasText: '1 heartbeat' }));
  await shown(arrived('<img src=x onerror=alert(1)>', tab));
  assert.equal(await tab.locator('#feed .tag', { hasText: 'gap' }).count(), gaps.length);
  // It waits as long as the hub asked; a person may cut that short.
  await shown(tab.locator('#state', { hasText: 'Reconnecting in 600 s' }));
  await tab.unroute(/\/events\?/);
  await tab.getByRole('button', { name: 'Try now' }).click();
  await shown(tab.locator('#state[data-state="open"]'));
  await tab.close();
  clean();
});

test('an id the hub does not know is replaced; a refusal is shown and ends the trying', async () => {
  const tab = await open();
  let answers = 0;
  await tab.route(/\/events\?/, (route) => {
    answers += 1;
    return answers === 1 ? route.fulfill({ status: 404, contentType: 'application/json', body: '{"error":"no such client"}' }) : route.continue();
  });
  const [given] = await Promise.all([
    tab.waitForResponse((answer) => answer.url().includes('/make-id/')), tab.getByRole('button', { name: 'Connect', exact: true }).click(),
  ]);
  await shown(tab.locator('#state[data-state="open"]'));
  assert.notEqual(await tab.locator('#my-id').textContent(), await given.text());
  await tab.getByRole('button', { name: 'Disconnect' }).click();
  await tab.unroute(/\/events\?/);
  await tab.route(/\/events\?/, (route) => route.fulfill({ status: 403, contentType: 'application/json', body: '{"error":"not from this host"}' }));
  await tab.getByRole('button', { name: 'Connect', exact: true }).click();
  await shown(tab.locator('#state[data-state="refused"]'));
  await shown(arrived('not from this host', tab));
  await tab.close();
  assert.deepEqual(complaints.splice(0).filter((line) => !/40[34]/.test(line)), []);
});

test('M1 under another prefix the page finds its routes', async () => {
  const other = await startHub({ args: ['--prefix', '/x/y/'] });
  const tab = await open('/', other.origin);
  try {
    await connect(tab, 'ada');
    await shown(tab.locator('#who-rows tr', { hasText: 'this page' }));
    assert.match(await tab.locator('#curl-publish').textContent(), /\/x\/y\/publish$/);
  } finally {
    await tab.close();
    await other.kill();
  }
  clean();
});

test('its parser gives the same frames however the bytes are cut', async () => {
  const differing = await page.evaluate(async () => {
    const { SseParser } = await import('/app.js');
    const text = ':c\n\nid: 1\r\ndata:a\r\ndata: b\r\n\r\nevent:x\rdata\r\rid:2\0\nretry:10\nretry:1x\ndata:  y:z\n\nid\n\nid:9\ndata:cut off';
    const parse = (pieces) => {
      const frames = [];
      const parser = new SseParser((frame) => frames.push(frame));
      for (const piece of pieces) parser.push(piece);
      return JSON.stringify(frames.map(({ lines, ...frame }) => ({ ...frame, lines: lines.join('|') })));
    };
    const whole = parse([text]);
    const expected = JSON.stringify([
      { dispatched: false, event: 'message', data: '', id: '', lines: ':c' },
      { dispatched: true, event: 'message', data: 'a\nb', id: '1', lines: 'id: 1|data:a|data: b' },
      { dispatched: true, event: 'x', data: '', id: '1', lines: 'event:x|data' },
      { dispatched: true, event: 'message', data: ' y:z', id: '1', retry: 10, lines: 'id:2\0|retry:10|retry:1x|data:  y:z' },
      { dispatched: false, event: 'message', data: '', id: '', lines: 'id' },
    ]);
    const wrong = whole === expected ? [] : [`whole: ${whole}`];
    if (parse([...text]) !== whole) wrong.push('one character at a time');
    for (let i = 0; i <= text.length; i += 1) {
      for (let j = i; j <= text.length; j += 1) {
        if (parse([text.slice(0, i), text.slice(i, j), text.slice(j)]) !== whole) wrong.push(`${i},${j}`);
      }
    }
    return wrong;
  });
  assert.deepEqual(differing, []);
});
