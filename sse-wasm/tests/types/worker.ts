import { SseHubObject, createWorker } from 'sse-wasm/worker';

interface Env {
  SSE_HUB: DurableObjectNamespace<SseHub>;
  SSE_HUB_TOKEN: string;
}

export class SseHub extends SseHubObject<Env> {
  static override options = { tasks: { report: 'worker' as const }, hibernate: true };

  async count(): Promise<number> {
    return this.hub.usage.connections;
  }
}

export class Hub2 extends SseHubObject<Env> {
  override options() {
    return { heartbeat: 20_000, limits: { logBytes: 1 << 20 } };
  }
}

export default createWorker<Env>({ prefix: '/sse/', auth: (env) => ({ token: env.SSE_HUB_TOKEN }), shardBy: 'group', hibernate: true });

export async function publish(env: Env): Promise<string> {
  const stub = env.SSE_HUB.get(env.SSE_HUB.idFromName('hub'));
  const { connections } = await stub.usage();
  console.log(connections);
  return stub.publish({ topic: 'news' }, 'hello');
}

// @ts-expect-error Groups or topics, nothing else.
createWorker({ shardBy: 'user' });
// @ts-expect-error Milliseconds are a number.
export class Wrong extends SseHubObject { static override options = { heartbeat: 'never' }; }
// @ts-expect-error The environment has no such secret.
createWorker<Env>({ auth: (env) => ({ token: env.TOKEN }) });
