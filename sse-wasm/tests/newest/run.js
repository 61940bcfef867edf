// Runs test files with the Node and the miniflare that are installed here: node newest/run.js FILE...
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const node = join(here, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
if (!existsSync(node)) throw new Error(`there is no Node at ${node}: npm ci --force in ${here} installs one, for Linux on x64 and arm64`);
const env = { ...process.env, MINIFLARE: join(here, 'node_modules/miniflare/dist/src/index.js') };
const { status } = spawnSync(node, ['--test', '--test-concurrency=1', ...process.argv.slice(2)], { env, stdio: 'inherit' });
process.exit(status ?? 1);
