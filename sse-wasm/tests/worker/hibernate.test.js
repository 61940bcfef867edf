// What an object that hibernates promises beyond what every object does (object.test.js): streams outlive it, and nobody wakes it
// for nothing. That it is evicted meanwhile: evicted.test.js.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { privileged } from '../support/privileged.js';
import { idOf, open, request, until } from '../support/stream.js';
import { TIMES, startWorker, takeNothing } from '../support/workerd.js';

const TOKEN = '0123456789abcdef-hibernate';
const { ask, publish } = privileged(TOKEN);
const OPTIONS = { ...TIMES, hibernate: true };

describe('an object that hibernates', () => {
  let worker;
  let origin;
  before(async () => {
    worker = await startWorker({ token: TOKEN, options: OPTIONS });
    ({ origin } = worker);
  });
  after(() => worker.stop());

  const asleep = () => until(() => worker.call('hub', 'isIdle'), 'the engine is given back');
  const usage = () => worker.call('hub', 'usage');
  /** How many clients are in its storage, once nobody of other tests is connected. */
  async function kept() {
    await until(async () => (await usage()).connections === 0, 'nobody is left');
    return (await worker.call('hub', 'rows')).clients;
  }
  const registrants = async () => JSON.parse(await ask(origin, 'GET', 'list-registrants'));

  /** What comes until a stream is cut: how that looks is the host's business. */
  async function rest(stream) {
    const frames = [];
    try {
      for (let frame = await stream.frame(); frame !== null; frame = await stream.frame()) frames.push(frame);
    } catch (error) {
      assert.doesNotMatch(error.message, /^waited/);
    }
    return frames;
  }

  test('what left its log meanwhile was for others: streams have no gap', async () => {
    const stream = await open(`${origin}/sse/events?topic=quiet`);
    const { id } = await publish(origin, { to: { topic: 'quiet' }, data: 'before' });
    assert.equal(idOf(await stream.event()), id);
    await asleep();
    for (let event = 0; event < 12; event++) await publish(origin, { to: { topic: 'loud' }, data: 'x'.repeat(200_000) });
    await asleep();
    const after = await publish(origin, { to: { topic: 'quiet' }, data: 'after' });
    assert.equal(await stream.next(), `data:after\nid:${after.id}\n\n`);
    stream.close();
  });

  test('who leaves wakes it, and is forgotten if it was nobody', async () => {
    const clients = await kept();
    const nobody = await open(`${origin}/sse/events?topic=t`);
    const [, id] = /"client":"([^"]+)"/.exec(await nobody.next());
    const somebody = await open(`${origin}/sse/events?client=tim_1`);
    await somebody.next();
    assert.equal((await worker.call('hub', 'rows')).clients, clients + 2);
    await asleep();
    nobody.close();
    somebody.close();
    assert.equal(await kept(), clients + 1);
    const left = await registrants();
    assert.equal(left[id], undefined);
    assert.ok(left.tim_1);
    await ask(origin, 'GET', 'disconnect-registrant/tim_1');
  });

  test('streams that an abrupt end of the object cut leave nobody behind', async () => {
    const clients = await kept();
    const streams = await Promise.all(['topic=a', 'topic=b', 'client=kim_1'].map((query) => open(`${origin}/sse/events?${query}`)));
    for (const stream of streams) await stream.next();
    await worker.call('hub', 'reset').catch(() => {});
    assert.equal(await kept(), clients + 1);
    assert.ok((await registrants()).kim_1);
    for (const stream of streams) stream.close();
  });

  test('an id that was given up while its stream is open gets nothing, and its next owner everything', async () => {
    const ghost = await open(`${origin}/sse/register-listener/gil_1`);
    await ghost.next();
    await ask(origin, 'GET', 'disconnect-registrant/gil_1');
    await asleep();
    const owner = await open(`${origin}/sse/register-listener/gil_1`);
    await owner.next();
    await asleep();
    const { id } = await publish(origin, { to: { client: 'gil_1' }, data: 'for the owner' });
    assert.equal(await owner.event(), `data:for the owner\nid:${id}\n\n`);
    await worker.call('hub', 'reset').catch(() => {});
    const frames = await rest(ghost);
    assert.ok(frames.length > 1 && frames.every((frame) => frame === ':heartbeat\n\n'), `it is alive until then, and silent: ${frames}`);
    owner.close();
  });

  test('stays awake while a function does a task', async () => {
    const stream = await open(`${origin}/sse/events?client=eve_1`);
    await stream.next();
    await ask(origin, 'PUT', 'submit-task/eve_1/slow');
    assert.match(await stream.event(), /^event:completed\ndata:.*"result":"at last"/);
    stream.close();
  });

  test('a Worker that takes nothing has a bounded number of bytes, and is cut off', async () => {
    const { end } = await takeNothing(worker, publish);
    const { bytes, code, reason } = await end;
    assert.ok(bytes >= 64 * 1024 && bytes < 80 * 1024, `${bytes} of 400,000 bytes`);
    assert.deepEqual([code, reason], [4000, 'stalled']);
  });

  test('its streams are for Workers that hold them', async () => {
    const response = await request(`${origin}/test/hub/hub?path=events`);
    assert.equal(response.status, 426);
    assert.match((await response.json()).error, /hibernate: true/);
  });

  test('a stream whose object does not answer any more is cut, so that its client comes back', async () => {
    const stream = await open(`${origin}/sse/events?topic=t`);
    await stream.next();
    await worker.call('hub', 'mute');
    await rest(stream);
  });
});
