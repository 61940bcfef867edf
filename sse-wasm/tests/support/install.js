// Unpacks what `npm pack` made into a folder of its own, as `npm install` would: tests import from there, not from the tree.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dist = join(root, '../dist');
const home = join(root, 'node_modules/sse-wasm');

const [tarball, ...more] = readdirSync(dist).filter((name) => name.endsWith('.tgz'));
if (!tarball || more.length > 0) throw new Error(`one tarball is needed in ${dist}: npm run build makes it`);
rmSync(home, { recursive: true, force: true });
mkdirSync(home, { recursive: true });
execFileSync('tar', ['-xzf', join(dist, tarball), '-C', home, '--strip-components=1']);
