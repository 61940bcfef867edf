// Objects whose memory is gone while their storage, and the streams that the Worker holds, stay. All at once: they wait most of the time.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { privileged } from '../support/privileged.js';
import { idOf, open, until } from '../support/stream.js';
import { EVICTED_AFTER, TIMES, evict, startWorker, takeNothing } from '../support/workerd.js';

const TOKEN = '0123456789abcdef-evicted';
const { ask, publish } = privileged(TOKEN);
const HIBERNATES = { ...TIMES, hibernate: true };

describe('an object that is evicted', { concurrency: 4 }, () => {
  test('while streams are open, which go on as if it had not been', async (t) => {
    const worker = await startWorker({ token: TOKEN, options: HIBERNATES });
    t.after(() => worker.stop());
    const { origin } = worker;
    const listener = await open(`${origin}/sse/register-listener/bob_1`);
    await ask(origin, 'PUT', 'listen/bob_1/news');
    await ask(origin, 'PUT', 'submit-task/bob_1/job');
    const nameless = await open(`${origin}/sse/events?topic=t`);
    const grouped = await open(`${origin}/sse/events?group=g&client=ann_1`);
    await publish(origin, [{ to: { topic: 't' }, data: '1' }, { to: { group: 'g' }, data: '1' }]);
    assert.match(await nameless.event(), /^data:1\n/);
    assert.match(await grouped.event(), /^data:1\n/);
    const list = await ask(origin, 'GET', 'list-registrants');

    for (let times = 1; times <= 2; times++) {
      await until(() => worker.call('hub', 'isIdle'), 'the engine is given back');
      await evict(worker, 'hub', async () => {
        const events = [{ to: { topic: 't' }, data: `after ${times}` }, { to: { group: 'g' }, data: `${times}` }];
        const [first, second] = await publish(origin, events);
        assert.equal(await nameless.next(), `data:after ${times}\nid:${first.id}\n\n`);
        assert.equal(await grouped.next(), `data:${times}\nid:${second.id}\n\n`);
        const { id } = JSON.parse(await ask(origin, 'POST', 'notify/news'));
        assert.match(await listener.event(), new RegExp(`^data:"notify\\^news"\nid:${id}\n`));
      });
    }
    assert.equal(await ask(origin, 'GET', 'list-registrants'), list);
    await ask(origin, 'POST', 'complete/bob_1/job', '{"result":1}');
    assert.match(await listener.event(), /^data:"completed\^.*\\"taskid\\":\\"job\\"/);
    const at = await worker.call('hub', 'alarmAt');
    assert.ok(at === null || at > Date.now() + 60_000, 'nothing is due');
    // Heartbeats came all the time, and woke nobody.
    assert.equal(await nameless.frame(), ':heartbeat\n\n');

    const last = idOf(await (async () => {
      await publish(origin, { to: { topic: 't' }, data: 'seen' });
      return nameless.event();
    })());
    nameless.close();
    await publish(origin, { to: { topic: 't' }, data: 'not seen' });
    const resumed = await open(`${origin}/sse/events?topic=t`, { 'last-event-id': last });
    assert.match(await resumed.event(), /^data:not seen\n/);
    for (const stream of [listener, grouped, resumed]) stream.close();
    await until(async () => (await worker.call('hub', 'usage')).connections === 0, 'nobody is left');
  });

  test('while a peer has not taken what there is: the stream is cut, nobody knows what it has', async (t) => {
    // The stub of who takes nothing keeps the object until it is collected, which is soon, or not while the machine is busy: then again.
    const attempt = async (left) => {
      const worker = await startWorker({ token: TOKEN, options: { ...HIBERNATES, writeStall: 600_000 } });
      t.after(() => worker.stop());
      const { end } = await takeNothing(worker, publish);
      end.catch(() => {});
      return evict(worker, 'hub').then(
        () => ({ worker, end }),
        (error) => (left > 0 ? attempt(left - 1) : Promise.reject(error)),
      );
    };
    const { worker, end } = await attempt(2);
    await publish(worker.origin, { to: 'all', data: 'x' });
    const { code, reason } = await end;
    assert.deepEqual([code, reason], [4000, 'broken']);
    assert.equal((await worker.call('hub', 'usage')).connections, 0);
  });

  test('sixty of them, rebuilt, take no more memory each time', async (t) => {
    const worker = await startWorker({ token: TOKEN, options: { heartbeat: 200, writeStall: 1000 } });
    t.after(() => worker.stop());
    const memory = async () => (await worker.call('probe', 'usage')).memoryBytes;
    // Ten at a time have streams; an object without one gives its memory back.
    const groups = Array.from({ length: 6 }, (_, group) => ({
      names: Array.from({ length: 10 }, (_, at) => `object${group}.${at}`),
      instances: [],
      evictedAt: 0,
    }));
    const ask = (names, verb) => Promise.all(names.map((name) => worker.call(name, verb)));
    const taken = [];
    for (let times = 0; times < 3; times++) {
      for (const group of groups) {
        const { names, instances } = group;
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, group.evictedAt - performance.now())));
        const streams = await Promise.all(names.map((name) => open(`${worker.origin}/test/${name}/hub?path=events`)));
        group.instances = await ask(names, 'instance');
        assert.ok(group.instances.every((instance, at) => instance !== instances[at]), 'every object was evicted');
        for (const stream of streams) {
          assert.match(await stream.next(), /^retry:/);
          stream.close();
        }
        await until(async () => (await ask(names, 'isIdle')).every(Boolean), 'objects are idle');
        group.evictedAt = performance.now() + EVICTED_AFTER;
      }
      taken.push(await memory());
    }
    const [, before, after] = taken;
    // Not one engine more, of sixty that were made each time, but for one that was awake a moment longer.
    assert.ok(after - before <= 3 << 19, `${taken}`);
    assert.ok(before < 16 << 20, `${before} bytes for ten objects of 1 MiB at a time`);
  });
});
