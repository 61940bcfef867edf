// Who does a client's tasks: a function of the application, or someone outside who reports over HTTP or by the hub's methods.
import { SseError } from '../errors.js';

export class Tasks {
  #hub;
  #kinds;
  #limit;
  /** How many functions are at it. */
  running = 0;

  /** `kinds` has a function or `'worker'` for each name that clients may submit. */
  constructor(hub, kinds, limit) {
    this.#hub = hub;
    this.#kinds = new Map(Object.entries(kinds));
    this.#limit = limit;
  }

  submit(client, task, params, verb) {
    const work = this.#kinds.get(task);
    if (!work) throw new SseError('unknown-task', 'there is no such task');
    if (work !== 'worker' && this.running >= this.#limit) throw new SseError('busy', 'as many tasks run as may; try again later');
    verb((engine, now) => engine.submit(now, client.group, client.id, task));
    if (work !== 'worker') this.#perform(client, task, params, work);
  }

  async #perform(client, task, params, work) {
    this.running += 1;
    try {
      const end = await this.#outcome(client, task, params, work);
      this.#tell(client, task, end);
    } finally {
      this.running -= 1;
    }
  }

  async #outcome(client, task, params, work) {
    try {
      const progress = (told) => this.#hub.progress(client, task, told);
      return { result: await work({ client, task, params, progress }) };
    } catch (error) {
      return { reason: error instanceof Error ? error.message : String(error) };
    }
  }

  #tell(client, task, { result, reason }) {
    try {
      if (reason === undefined) this.#hub.complete(client, task, result ?? null);
      else this.#hub.fail(client, task, reason);
    } catch (error) {
      if (!(error instanceof SseError)) throw error;
      // Who submitted it is gone, or it was ended by someone else: it ends for nobody.
      if (['too-large', 'full', 'invalid-field'].includes(error.code) && reason === undefined) {
        this.#tell(client, task, { reason: `the result could not be kept: ${error.message}` });
      }
    }
  }
}
