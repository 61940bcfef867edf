// From options of a hub to those of the engine.
import { Options } from '#hub';

import { call } from '../errors.js';

const TIMES = ['heartbeat', 'writeStall', 'dormantAfter', 'sweepEvery', 'issuedIdTtl', 'retry'];
const CHOICES = ['age', 'overrun', 'idForm', 'heartbeatComment', 'eventIds'];

/** What the engine is made with; to be freed. */
export function engineOptions(options) {
  const engine = new Options();
  try {
    for (const [name, limit] of Object.entries(options.limits ?? {})) call(() => engine.setNumber(name, limit));
    for (const name of TIMES) if (options[name] !== undefined) call(() => engine.setNumber(name, options[name]));
    for (const name of CHOICES) if (options[name] !== undefined) call(() => engine.setChoice(name, options[name]));
  } catch (error) {
    engine.free();
    throw error;
  }
  return engine;
}
