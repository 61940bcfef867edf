// Waiting for conditions. Nothing here, or in the tests, sleeps and then hopes.

import { setTimeout as pause } from 'node:timers/promises';

/** The promise's value, or a failure that says what was awaited. */
export async function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks until the answer is truthy, and gives it. */
export async function until(condition, what, ms = 10_000) {
  const end = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`waited ${ms} ms until ${typeof what === 'function' ? what() : what}`);
    await pause(20);
  }
}

/** Asks all through `ms` whether the condition still holds: for what must not happen. */
export async function holds(condition, what, ms) {
  const end = performance.now() + ms;
  do {
    if (!(await condition())) throw new Error(`it did not hold that ${what}`);
    await pause(20);
  } while (performance.now() < end);
}
