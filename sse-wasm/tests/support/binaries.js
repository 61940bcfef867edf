// Other hosts, as npm brings them.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const modules = join(dirname(fileURLToPath(import.meta.url)), '../node_modules');

export const deno = join(modules, '.bin/deno');

/** The program itself: npm's install script moves it, where npm runs it. */
const packed = join(modules, `@oven/bun-${process.platform}-${process.arch}/bin/bun`);
export const bun = existsSync(packed) ? packed : join(modules, '.bin/bun');
