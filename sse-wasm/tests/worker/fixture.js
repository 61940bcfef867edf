// The Worker under test: the package's own object and Worker, and a way in for tests.
import { SseHubObject, createWorker } from 'sse-wasm/worker';

export class TestHub extends SseHubObject {
  options() {
    return { tasks: { job: 'worker' }, ...JSON.parse(this.env.OPTIONS ?? '{}') };
  }

  /** Ends this instance, as a reset does: whatever it held in memory is gone. */
  async reset() {
    this.ctx.abort('reset by a test');
  }

  /** Which instance this is: another one after each reset and each eviction. */
  #instance = crypto.randomUUID();

  async instance() {
    return this.#instance;
  }

  async alarmAt() {
    return this.ctx.storage.getAlarm();
  }

  /** Whether it gave its engine back. */
  async isIdle() {
    return !this.isAwake;
  }

  /** The engine traps when it is asked for bytes next. */
  async trap() {
    globalThis.trapNext = true;
  }

  /** An alarm, as it comes early or twice. */
  async ring() {
    await this.alarm();
  }

  async rows() {
    const count = (table) => this.ctx.storage.sql.exec(`SELECT count(*) AS n FROM ${table}`).one().n;
    return { clients: count('sse_clients'), frames: count('sse_frames') };
  }
}

const worker = createWorker({ auth: (env) => ({ token: env.TOKEN }) });
const byGroup = createWorker({ prefix: '/groups/', auth: (env) => ({ token: env.TOKEN }), shardBy: 'group' });

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname.startsWith('/groups/')) return byGroup.fetch(request, env);
    if (!url.pathname.startsWith('/test/')) return worker.fetch(request, env);
    const [, , name, verb] = url.pathname.split('/');
    const stub = env.SSE_HUB.get(env.SSE_HUB.idFromName(name));
    if (verb === 'hub') return stub.fetch(`http://hub/${url.searchParams.get('path')}`, { method: request.method, body: request.body });
    try {
      return Response.json((await stub[verb](...JSON.parse(url.searchParams.get('args') ?? '[]'))) ?? null);
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  },
};
