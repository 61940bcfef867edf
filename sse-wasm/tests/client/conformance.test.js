// What a page observes of an EventSource: ours in Node, ours in Chromium and Chromium's own, against the same server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { EventSource } from 'sse-wasm/client';

import { files, startChromium } from './support/chromium.js';
import { SCENARIOS } from './support/scenarios.js';
import { startServer } from './support/server.js';
import { within } from '../../../tests/hosts/support/wait.mjs';

let server;
let other;
let nowhere;
let chromium;
let page;

before(async () => {
  server = await startServer({ files });
  other = await startServer();
  const gone = await startServer();
  nowhere = `${gone.origin}/`;
  await gone.stop();
  chromium = await startChromium();
  page = await chromium.open(server.origin);
});
after(async () => {
  await chromium?.close();
  await Promise.all([server?.stop(), other?.stop()]);
});

for (const [name, { wanted, run, browser }] of Object.entries(SCENARIOS)) {
  if (!browser) {
    test(`Node: ${name}`, async () => {
      const found = await within(20_000, run({ EventSource, origin: server.origin, other: other.origin, nowhere, pause }), name);
      assert.deepEqual(found, wanted);
    });
  }
  for (const whose of ['ours', 'its own']) {
    test(`Chromium, ${whose}: ${name}`, async () => {
      assert.deepEqual(await within(20_000, inPage(name, whose), name), wanted);
    });
  }
}

function inPage(name, whose) {
  return page.evaluate(async ({ name, whose, other, nowhere }) => {
    const { SCENARIOS } = await import('/support/scenarios.js');
    const { EventSource } = whose === 'ours' ? await import('sse-wasm/client') : window;
    const pause = (millis) => new Promise((resolve) => { setTimeout(resolve, millis); });
    return SCENARIOS[name].run({ EventSource, origin: location.origin, other, nowhere, pause });
  }, { name, whose, other: other.origin, nowhere });
}
