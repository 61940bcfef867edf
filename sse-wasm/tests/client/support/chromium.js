// Pages in Debian's Chromium, with the unpacked package to import.

import { access, mkdtemp, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';
const PACKAGE = dirname(createRequire(import.meta.url).resolve('sse-wasm/package.json'));
const HERE = dirname(fileURLToPath(import.meta.url));
const TYPES = { '.js': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html' };

/** What a bundler would do for a page: the package's own imports, and the package by its name. */
export const PAGE = `<!doctype html><meta charset="utf-8"><title>tests</title><script type="importmap">${JSON.stringify({
  imports: { '#client': '/package/js/load/client.web.js', 'sse-wasm/client': '/package/js/client.js' },
})}</script>`;

/** For `startServer`: an empty page, the package, and the scenarios. */
export function files(path) {
  if (path === '/page') return { type: 'text/html', body: PAGE };
  const [, place, rest] = /^\/(package|support)\/([a-z\-/.]+)$/.exec(path) ?? [];
  if (!place || rest.includes('..')) return undefined;
  return { type: TYPES[extname(rest)], body: readFileSync(join(place === 'package' ? PACKAGE : HERE, rest)) };
}

/** A browser of its own; `close()` ends it. */
export async function startChromium() {
  await access(CHROMIUM).catch(() => { throw new Error(`${CHROMIUM} is missing: install Debian's chromium`); });
  const profile = await mkdtemp(join(tmpdir(), 'sse-client-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    // As in people's browsers.
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  context.setDefaultTimeout(30_000);
  return {
    /** A tab that shows an empty page of this origin. */
    async open(origin, path = '/page') {
      const page = await context.newPage();
      page.on('pageerror', (error) => { console.error(`uncaught in the page: ${error.stack ?? error}`); });
      await page.goto(origin + path);
      return page;
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
