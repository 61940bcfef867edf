// What every home of the hub does over HTTP, in the same bytes: run against sse-hub, against createHub() in Node and against the
// Worker in workerd. Tests name the rows of system M where they show one.
//
// A subject listens with the prefix /sse/, the token TOKEN, and a task `job` that someone outside reports on. It sends heartbeats every
// second, because some hosts notice only then that a peer is gone, and gives up who takes nothing for three.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { askAlone, idOf, open, request, until } from '../support/stream.js';

export const TOKEN = '0123456789abcdef-conformance';
const BEARER = { authorization: `Bearer ${TOKEN}` };
const CROSS = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' };
/** An id of the hub's own making. */
const ID = /[0-9a-f]{8}-\d+/;

/** `start` gives `{ origin, stop }`. */
export function conformance(name, start) {
  describe(`conformance: ${name}`, () => {
    let subject;
    let base;
    before(async () => {
      subject = await start();
      base = `${subject.origin}/sse/`;
    });
    after(() => subject?.stop());

    let made = 0;
    const unique = (what) => `${what}${++made}x${Date.now() % 1e6}`;

    async function ask(method, path, body, headers = {}) {
      const response = await request(base + path, { method, body, headers: { ...BEARER, ...headers } });
      const text = await response.text();
      return { status: response.status, headers: response.headers, text, json: () => JSON.parse(text) };
    }
    async function done(method, path, body) {
      const answer = await ask(method, path, body);
      assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
      return answer;
    }
    const publish = async (event) => (await done('POST', 'publish', JSON.stringify(event))).json();
    const join = async (id, headers) => {
      const stream = await open(`${base}register-listener/${id}`, headers);
      assert.match(await stream.next(), /^(event:resume\n\n|\n)?/);
      return stream;
    };
    /** Closes a stream, and returns when that is known there: a nameless stream that is closed after it is forgotten. */
    async function leave(stream) {
      const mark = await open(`${base}events`);
      const [, id] = /"client":"([^"]+)"/.exec(await mark.next());
      stream.close();
      mark.close();
      await until(async () => (await listed(id)) === undefined, 'a stream that was closed is forgotten');
    }
    async function listed(id) {
      return (await done('GET', 'list-registrants')).json()[id];
    }
    async function refused(method, path, body, status, field, headers) {
      const answer = await ask(method, path, body, headers);
      assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`);
      assert.equal(answer.headers.get('content-type'), 'application/json');
      assert.equal(answer.json().field, field, answer.text);
      assert.ok(answer.json().error.length > 0);
      return answer;
    }

    // ---- system M

    test('M1: nothing is there beside the routes', async () => {
      for (const path of ['nowhere', 'make-id', 'make-id/', 'make-id/a/b', 'listen/a', '']) {
        const { error } = (await refused('GET', path, undefined, 404, undefined)).json();
        assert.equal(error, `there is nothing at /sse/${path}; the routes are listed in the README`);
      }
    });

    test('M2: parallel calls give different ids as bare text', async () => {
      const answers = await Promise.all(Array.from({ length: 100 }, () => ask('GET', 'make-id/bob')));
      assert.equal(new Set(answers.map(({ text }) => text)).size, 100);
      for (const { status, headers, text } of answers) {
        assert.equal(status, 200);
        assert.match(text, /^bob_[a-z2-7]{26}$/);
        assert.equal(headers.get('content-type'), 'text/plain; charset=utf-8');
        assert.equal(headers.get('cache-control'), 'no-store');
      }
    });

    test('M3: names that the original client cannot carry are refused', async () => {
      for (const name of ['a%20b', 'a%5Eb', 'a%22b', 'a%5Cb', '%7Bb', '%C3%A9', 'a%2Fb', 'a%25b']) {
        await refused('GET', `make-id/${name}`, undefined, 400, 'name');
      }
      await refused('GET', `make-id/${'a'.repeat(200)}`, undefined, 413, 'name');
      await refused('GET', 'register-listener/a%5Eb', undefined, 400, 'id');
    });

    test('M4: a listener is acknowledged first, and registered before the head leaves', async () => {
      const id = (await done('GET', 'make-id/ann')).text;
      const stream = await open(`${base}register-listener/${id}`);
      assert.equal((await ask('PUT', `listen/${id}/k`)).status, 200);
      const { headers } = stream.response;
      assert.equal(headers.get('content-type'), 'text/event-stream');
      assert.equal(headers.get('cache-control'), 'no-cache, no-transform');
      assert.equal(headers.get('x-accel-buffering'), 'no');
      assert.equal(headers.get('access-control-allow-origin'), '*');
      const frame = await stream.next();
      assert.match(idOf(frame), ID);
      assert.equal(frame, `retry:1000\ndata:"registered^${id}"\nid:${idOf(frame)}\n\n`);
      stream.close();
    });

    test('M5: a second stream replaces the first and keeps keys and tasks', async () => {
      const id = unique('re_');
      const first = await join(id);
      await done('PUT', `listen/${id}/k`);
      await done('PUT', `submit-task/${id}/job`);
      const second = await join(id);
      assert.equal(await first.next(), null);
      assert.deepEqual((await listed(id)).listenKeys, ['k']);
      assert.equal((await done('GET', `tasks/${id}`)).text, '[{"status":"submitted","task":"job"}]');
      second.close();
    });

    test('M6: disconnect gives the id up and leaves the stream open', async () => {
      const id = unique('dis_');
      const stream = await join(id);
      assert.equal((await done('GET', `disconnect-registrant/${id}`)).text, 'ok');
      assert.equal(await listed(id), undefined);
      assert.equal((await done('GET', 'disconnect-registrant/nobody_1')).text, 'ok');
      await refused('PUT', `listen/${id}/k`, undefined, 404, undefined);
      await publish({ to: 'all', data: 'not for who is gone' });
      const again = await join(id);
      const { id: last } = await publish({ to: 'all', data: 'for who came back' });
      assert.equal(await again.event(), `data:for who came back\nid:${last}\n\n`);
      stream.close();
      again.close();
    });

    test('M8: completions go to every id of exactly that user', async () => {
      const user = unique('u');
      const [one, two, other] = [`${user}_1`, `${user}_2`, `${user}by_1`];
      const streams = await Promise.all([one, two, other].map((id) => join(id)));
      await done('PUT', `submit-task/${one}/job`);
      await done('POST', `complete/${one}/job`);
      for (const [index, id] of [one, two].entries()) {
        const frame = await streams[index].event();
        const [, at] = /\\"timestamp\\":(\d{13}),/.exec(frame);
        assert.equal(frame, `data:"completed^{\\"timestamp\\":${at},\\"id\\":\\"${id}\\",\\"taskid\\":\\"job\\"}"\nid:${idOf(frame)}\n\n`);
      }
      await publish({ to: { client: other }, data: 'end' });
      assert.match(await streams[2].event(), /^data:end\n/);
      for (const stream of streams) stream.close();
    });

    test('M9: submitting a task', async () => {
      const id = unique('sub_');
      const stream = await join(id);
      assert.equal((await done('PUT', `submit-task/${id}/job`)).text, 'ok');
      await refused('PUT', `submit-task/${id}/job`, undefined, 409, undefined);
      await refused('PUT', `submit-task/${id}/nothing`, undefined, 404, undefined);
      await refused('PUT', 'submit-task/nobody_1/job', undefined, 404, undefined);
      await refused('PUT', `submit-task/${id}/a%5Eb`, undefined, 400, 'task');
      stream.close();
    });

    test('M10, M11: listening is idempotent; a notification comes once', async () => {
      const [id, key] = [unique('lis_'), unique('key')];
      const stream = await join(id);
      for (let times = 0; times < 2; times++) assert.equal((await done('PUT', `listen/${id}/${key}`)).text, 'ok');
      await refused('PUT', `listen/nobody_1/${key}`, undefined, 404, undefined);
      await refused('PUT', `listen/${id}/a%5Eb`, undefined, 400, 'topic');
      const answer = await done('POST', `notify/${key}`);
      assert.deepEqual(Object.keys(answer.json()), ['id']);
      assert.equal(await stream.event(), `data:"notify^${key}"\nid:${answer.json().id}\n\n`);
      assert.equal((await done('DELETE', `listen/${id}/${key}`)).text, 'ok');
      await done('POST', `notify/${key}`);
      await publish({ to: { client: id }, data: 'end' });
      assert.match(await stream.event(), /^data:end\n/);
      stream.close();
    });

    test('M12: who listens to listeners-changed hears who comes and goes', async () => {
      const id = unique('watch_');
      const stream = await join(id);
      await done('PUT', `listen/${id}/listeners-changed`);
      const other = await join(unique('come_'));
      assert.match(await stream.event(), /^data:"notify\^listeners-changed"\nid:/);
      stream.close();
      other.close();
    });

    test('M13: registrants in the order they came', async () => {
      const user = unique('o');
      const ids = ['_3', '_1', '_2'].map((suffix) => user + suffix);
      const streams = [];
      for (const id of ids) streams.push(await join(id));
      await done('PUT', `listen/${ids[1]}/k`);
      const { text, headers } = await done('GET', 'list-registrants');
      assert.equal(headers.get('content-type'), 'application/json');
      assert.deepEqual([...text.matchAll(new RegExp(`"(${user}_\\d)":\\{`, 'g'))].map(([, id]) => id), ids);
      assert.match(text, new RegExp(`"${ids[1]}":\\{"listenKeys":\\["k"\\],"registered-ts":\\d{13}\\}`));
      for (const stream of streams) stream.close();
    });

    test('M14, M15: clearing, and sweeping now', async () => {
      const id = unique('clear_');
      const stream = await join(id);
      assert.equal((await done('GET', 'trigger-cleanup')).text, 'ok');
      assert.ok(await listed(id), 'who is connected is not swept');
      assert.equal((await done('GET', 'clear-registrants')).text, 'ok');
      assert.equal((await done('GET', 'list-registrants')).text, '{}');
      stream.close();
    });

    test('M16: ad hoc, in both spellings', async () => {
      const id = unique('adhoc_');
      const stream = await join(id);
      for (const route of ['trigger-adhoc', 'trigger-ad-hoc']) {
        assert.equal((await done('GET', `${route}/${id}`)).text, 'ok');
        const frame = await stream.event();
        const [, at] = /\\"timestamp\\":(\d{13}),/.exec(frame);
        assert.equal(frame, `data:"completed^{\\"timestamp\\":${at},\\"id\\":\\"${id}\\",\\"taskid\\":\\"ad-hoc\\"}"\nid:${idOf(frame)}\n\n`);
      }
      await refused('GET', 'trigger-adhoc/nobody_1', undefined, 404, undefined);
      stream.close();
    });

    test('M18: OPTIONS is 204 for every route, and says what is allowed', async () => {
      const routes = ['make-id/a', 'register-listener/a', 'events', 'listen/a/b', 'submit-task/a/b', 'publish', 'list-registrants'];
      for (const route of routes) {
        const { status, headers } = await ask('OPTIONS', route, undefined, CROSS);
        assert.equal(status, 204, route);
        assert.equal(headers.get('allow'), 'GET, HEAD, POST, PUT, DELETE, OPTIONS');
        const isStream = route === 'events' || route.startsWith('register-listener');
        assert.equal(headers.get('access-control-allow-origin'), isStream ? '*' : null, route);
        assert.equal(headers.get('access-control-allow-methods'), isStream ? 'GET, HEAD, POST, PUT, DELETE, OPTIONS' : null);
      }
    });

    // ---- streams

    test('a stream of topics in one request', async () => {
      const [one, two] = [unique('t'), unique('t')];
      const stream = await open(`${base}events?topic=${one}&topic=${two}&_=1`);
      const greeting = await stream.next();
      const [, id] = /"client":"(anonymous-[a-z2-7]{8}_[a-z2-7]{26})"/.exec(greeting);
      assert.equal(greeting, `retry:1000\nevent:connected\ndata:{"client":"${id}"}\nid:${idOf(greeting)}\n\n`);
      const ids = [];
      for (const topic of [two, one]) ids.push((await publish({ to: { topic }, data: topic })).id);
      assert.equal(await stream.next(), `data:${two}\nid:${ids[0]}\n\n`);
      assert.equal(await stream.next(), `data:${one}\nid:${ids[1]}\n\n`);
      stream.close();
      await until(async () => (await listed(id)) === undefined, 'a nameless client is forgotten');
    });

    test('who a stream is for: a name, a client, a group', async () => {
      const [name, id, group] = [unique('n'), unique('c_'), unique('g')];
      const named = await open(`${base}events?name=${name}`);
      assert.match(await named.next(), new RegExp(`data:\\{"client":"${name}_[a-z2-7]{26}"\\}`));
      const client = await open(`${base}events?client=${id}&group=${group}`);
      assert.match(await client.next(), new RegExp(`data:\\{"client":"${id}"\\}`));
      assert.ok(await listed(`${group}/${id}`));
      await publish([{ to: { name }, data: 'name' }, { to: { group }, data: 'group' }]);
      assert.match(await named.next(), /^data:name\n/);
      assert.match(await client.next(), /^data:group\n/);
      named.close();
      client.close();
    });

    test('several streams of one client all receive', async () => {
      const id = unique('many_');
      const streams = [await open(`${base}events?client=${id}`), await open(`${base}events?client=${id}`)];
      await publish({ to: { client: id }, data: 'both' });
      for (const stream of streams) assert.match(await stream.event(), /^data:both\n/);
      for (const stream of streams) stream.close();
    });

    test('resuming by header, by query, and from the earliest', async () => {
      const topic = unique('r');
      const ids = (await publish(['1', '2', '3'].map((data) => ({ to: { topic }, data })))).map(({ id }) => id);
      const header = await open(`${base}events?topic=${topic}`, { 'last-event-id': ids[0] });
      const query = await open(`${base}events?topic=${topic}&lastEventId=${ids[0]}`);
      const earliest = await open(`${base}events?topic=${topic}&lastEventId=earliest`);
      const first = `data:1\nid:${ids[0]}\n\n`;
      // What other tests sent to all is older.
      for (let frame = await earliest.event(); frame !== first; ) frame = await earliest.event();
      for (const stream of [header, query, earliest]) {
        assert.equal(await stream.event(), `data:2\nid:${ids[1]}\n\n`);
        assert.equal(await stream.event(), `data:3\nid:${ids[2]}\n\n`);
        stream.close();
      }
    });

    test('a stream cut anywhere is resumed without loss and without repetition', async () => {
      const [id, key] = [unique('cut_'), unique('k')];
      let stream = await join(id);
      await done('PUT', `listen/${id}/${key}`);
      const sent = [];
      const received = [];
      let last;
      for (let round = 0; round < 5; round++) {
        sent.push((await done('POST', `notify/${key}`)).json().id);
        last = idOf(await stream.event());
        received.push(last);
        stream.close();
        sent.push((await done('POST', `notify/${key}`)).json().id);
        stream = await open(`${base}register-listener/${id}`, { 'last-event-id': last });
        received.push(idOf(await stream.event().then(async (frame) => (frame.startsWith('event:resume') ? stream.event() : frame))));
      }
      assert.deepEqual(received, sent);
      stream.close();
    });

    test('an id that is not known gives a gap in band', async () => {
      for (const [id, reason] of [['00000000-5', 'epoch'], ['nonsense', 'unknown']]) {
        const stream = await open(`${base}events`, { 'last-event-id': id });
        assert.match(await stream.next(), /^retry:1000\nevent:connected\ndata:\{[^\n]*\}\n\n$/);
        const gap = await stream.next();
        assert.equal(gap, `event:gap\ndata:{"reason":"${reason}"}\nid:${idOf(gap)}\n\n`);
        stream.close();
      }
    });

    test('bad parameters are named', async () => {
      for (const [query, status, field] of [
        ['topics=a', 400, 'topics'],
        ['name=a&name=b', 400, 'name'],
        ['client=a&name=b', 400, 'name'],
        ['client=a%5Eb', 400, 'client'],
        [`client=${'a'.repeat(200)}`, 413, 'client'],
        ['name=a%20b', 400, 'name'],
        ['topic=', 400, 'topic'],
        ['group=a%5Eb', 400, 'group'],
        [`topic=${'a'.repeat(300)}`, 413, 'topic'],
      ]) {
        await refused('GET', `events?${query}`, undefined, status, field);
      }
    });

    test('heartbeats come when nothing else does', async () => {
      const stream = await open(`${base}events`);
      await stream.next();
      assert.equal(await stream.frame(), ':heartbeat\n\n');
      stream.close();
    });

    test('HEAD carries nothing out', async () => {
      const id = unique('head_');
      for (const route of [`make-id/x`, `disconnect-registrant/${id}`, 'list-registrants']) {
        assert.equal((await ask('HEAD', route)).status, 405, route);
      }
      const head = await ask('HEAD', `register-listener/${id}`);
      assert.equal(head.status, 200);
      assert.equal(head.headers.get('content-type'), 'text/event-stream');
      assert.equal(await listed(id), undefined);
      const wrong = await ask('POST', 'make-id/x');
      assert.equal(wrong.status, 405);
      assert.equal(wrong.json().error, 'this route does not take this method; see the Allow header');
    });

    // ---- publishing

    test('each field reaches the wire', async () => {
      const topic = unique('f');
      const stream = await open(`${base}events?topic=${topic}`);
      await stream.next();
      const own = unique('own-');
      const cases = [
        [{ data: 'plain' }, (id) => `data:plain\nid:${id}\n\n`],
        [{ data: 'two\nlines\r\nand\rmore' }, (id) => `data:two\ndata:lines\ndata:and\ndata:more\nid:${id}\n\n`],
        [{ data: ' led by a space' }, (id) => `data:  led by a space\nid:${id}\n\n`],
        [{ event: 'tick', data: '' }, (id) => `event:tick\ndata:\nid:${id}\n\n`],
        [{ event: 'tick' }, (id) => `event:tick\ndata:\nid:${id}\n\n`],
        [{ retry: 4_294_967_295, data: 'x' }, (id) => `retry:4294967295\ndata:x\nid:${id}\n\n`],
        [{ id: own, data: 'x' }, () => `id:${own}\ndata:x\n\n`],
        [{ data: null }, (id) => `data:null\nid:${id}\n\n`],
        [{ data: '𝄞é\u2028' }, (id) => `data:𝄞é\u2028\nid:${id}\n\n`],
      ];
      for (const [event, wanted] of cases) {
        const { id } = await publish({ to: { topic }, ...event });
        assert.equal(await stream.next(), wanted(id));
      }
      stream.close();
      const resumed = await open(`${base}events?topic=${topic}`, { 'last-event-id': own });
      assert.match(await resumed.event(), /^data:null\n/);
      resumed.close();
    });

    test('JSON is published as it was written', async () => {
      const topic = unique('j');
      const stream = await open(`${base}events?topic=${topic}`);
      await stream.next();
      for (const json of ['{"b": 1.0, "10": "}", "2":[1e3 , {}]}', '[ ]', '1.50', 'true', '"a\\u00e9\\"b"']) {
        const { id } = (await done('POST', 'publish', ` {"data" : ${json} ,"to":{"topic":"${topic}"}}`)).json();
        const data = json.startsWith('"') ? JSON.parse(json) : json;
        assert.equal(await stream.next(), `data:${data}\nid:${id}\n\n`);
      }
      stream.close();
    });

    test('an array is published in order, and not at all if one event of it cannot be', async () => {
      const topic = unique('a');
      const stream = await open(`${base}events?topic=${topic}`);
      await stream.next();
      const one = (data) => ({ to: { topic }, data });
      const ids = await publish([one('1'), { ...one('2'), id: 'mine' }, one('3')]);
      assert.equal(ids[1].id, 'mine');
      for (const data of ['1', '2', '3']) assert.match(await stream.next(), new RegExp(`data:${data}\n`));
      const numbers = [ids[0], ids[2]].map(({ id }) => Number(id.split('-')[1]));
      assert.equal(numbers[1] - numbers[0], 2);
      const bad = [
        [{ ...one('x'), id: 'a\nb' }, 400, '[1].id'],
        [{ to: { client: 'nobody_1' }, data: 'x' }, 404, '[1].to.client'],
        [{ to: { topic: 'a^b' }, data: 'x' }, 400, '[1].to.topic'],
        [{ data: 'x' }, 400, '[1].to'],
      ];
      for (const [event, status, field] of bad) await refused('POST', 'publish', JSON.stringify([one('no'), event]), status, field);
      await publish(one('end'));
      assert.match(await stream.next(), /^data:end\n/);
      stream.close();
    });

    test('each refusal names the field', async () => {
      const to = { topic: 't' };
      for (const [event, status, field] of [
        [{}, 400, 'to'],
        [{ to: 'all', dat: 1 }, 400, 'dat'],
        [{ to: { topic: 5 } }, 400, 'to.topic'],
        [{ to: { topic: '' } }, 400, 'to.topic'],
        [{ to: { name: 'a b' } }, 400, 'to.name'],
        [{ to: { group: 'a^b' } }, 400, 'to.group'],
        [{ to: { client: 'nobody_1' } }, 404, 'to.client'],
        [{ to: { topic: 'a'.repeat(300) } }, 413, 'to.topic'],
        [{ to, event: 'a\nb' }, 400, 'event'],
        [{ to, event: 5 }, 400, 'event'],
        [{ to, id: 'a\0b' }, 400, 'id'],
        [{ to, id: 'a'.repeat(2000) }, 413, 'id'],
        [{ to, retry: -1 }, 400, 'retry'],
        [{ to, retry: 'x' }, 400, 'retry'],
        [{ to, data: 'a'.repeat(300_000) }, 413, 'data'],
      ]) {
        await refused('POST', 'publish', JSON.stringify(event), status, field);
      }
      await refused('POST', 'publish', '{"to":', 400, undefined);
      await refused('POST', 'publish', '', 400, undefined);
      const large = `{"to":"all","data":"${'a'.repeat(1 << 20)}"}`;
      const { status, text } = await askAlone(`${base}publish`, { method: 'POST', headers: BEARER, body: large });
      assert.equal(status, 413, text);
      assert.deepEqual(JSON.parse(text), { error: 'the request body is larger than http.max_body allows; send less at once' });
    });

    test('a burst arrives whole and in order', async () => {
      const topic = unique('burst');
      const stream = await open(`${base}events?topic=${topic}`);
      await stream.next();
      const sent = [];
      for (let round = 0; round < 10; round++) {
        const batch = Array.from({ length: 200 }, (_, at) => ({ to: { topic }, data: `${round}-${at}-${'x'.repeat(at)}` }));
        await publish(batch);
        sent.push(...batch.map(({ data }) => data));
      }
      for (const data of sent) assert.equal((await stream.next()).split('\n')[0], `data:${data}`);
      stream.close();
    });

    // ---- tasks

    test('a task is told of in named events, and its result to who submitted it alone', async () => {
      const user = unique('w');
      const owner = await open(`${base}events?client=${user}_1`);
      const other = await open(`${base}events?client=${user}_2`);
      const at = (frame) => /"timestamp":(\d{13})/.exec(frame)[1];
      await done('PUT', `submit-task/${user}_1/job`, '{"a":1}');
      await done('POST', `progress/${user}_1/job`, '{"percent":50}');
      let frame = await owner.event();
      const progressed = `"task":"job","client":"${user}_1","timestamp":${at(frame)},"progress":{"percent":50}`;
      assert.equal(frame, `event:progress\ndata:{${progressed}}\nid:${idOf(frame)}\n\n`);
      assert.equal((await done('GET', `tasks/${user}_1`)).text, '[{"progress":{"percent":50},"status":"progress","task":"job"}]');
      await done('POST', `complete/${user}_1/job`, '{"result":{"ok":true}}');
      frame = await owner.event();
      const completed = `"task":"job","client":"${user}_1","timestamp":${at(frame)},"result":{"ok":true}`;
      assert.equal(frame, `event:completed\ndata:{${completed}}\nid:${idOf(frame)}\n\n`);
      frame = await other.event();
      const told = `"task":"job","client":"${user}_2","timestamp":${at(frame)}`;
      assert.equal(frame, `event:completed\ndata:{${told}}\nid:${idOf(frame)}\n\n`);
      await refused('POST', `complete/${user}_1/job`, '', 409, undefined);
      await done('PUT', `submit-task/${user}_1/job`);
      await done('POST', `complete/${user}_1/job`, '{"status":"failed","reason":"out of \\"paper\\""}');
      frame = await owner.event();
      const failed = `"task":"job","client":"${user}_1","timestamp":${at(frame)},"reason":"out of \\"paper\\""`;
      assert.equal(frame, `event:failed\ndata:{${failed}}\nid:${idOf(frame)}\n\n`);
      owner.close();
      other.close();
    });

    test('what is reported of a task is passed on as it was written', async () => {
      const id = unique('raw_');
      const stream = await open(`${base}events?client=${id}`);
      await done('PUT', `submit-task/${id}/job`);
      for (const json of ['{"b": 1.0, "10": "}", "2":[1e3 , {}]}', '[ ]', '1.50', 'null', '"a\\u00e9\\"b"']) {
        await done('POST', `progress/${id}/job`, ` ${json} `);
        assert.ok((await stream.event()).includes(`,"progress":${json}}\n`), json);
        assert.equal((await done('GET', `tasks/${id}`)).text, `[{"progress":${json},"status":"progress","task":"job"}]`);
      }
      const result = '{"z": 1.0, "a":{"y":[ 1e3 ],"b":null}}';
      await done('POST', `complete/${id}/job`, `{ "result" : ${result}, "status":"completed"}`);
      assert.ok((await stream.event()).includes(`,"result":${result}}\n`));
      assert.equal((await done('GET', `tasks/${id}`)).text, `[{"result":${result},"status":"completed","task":"job"}]`);
      stream.close();
    });

    test('what cannot be reported is refused', async () => {
      const id = unique('rep_');
      const stream = await open(`${base}events?client=${id}`);
      await done('PUT', `submit-task/${id}/job`);
      await refused('POST', `complete/${id}/job`, '{"reason":"x"}', 400, 'reason');
      await refused('POST', `complete/${id}/job`, '{"status":"failed","result":1}', 400, 'result');
      await refused('POST', `complete/${id}/job`, '{"state":"failed"}', 400, 'state');
      await refused('POST', `complete/${id}/job`, '{"status":"odd"}', 400, 'status');
      await refused('POST', 'complete/nobody_1/job', '', 404, undefined);
      await refused('POST', `progress/${id}/nothing`, '1', 404, undefined);
      await refused('GET', 'tasks/nobody_1', undefined, 404, undefined);
      stream.close();
    });

    test('a completion while away is delivered on return, once', async () => {
      const id = unique('away_');
      let stream = await open(`${base}events?client=${id}`);
      await stream.next();
      await done('PUT', `submit-task/${id}/job`);
      await leave(stream);
      await done('POST', `complete/${id}/job`, '{"result":7}');
      stream = await open(`${base}events?client=${id}`);
      const frame = await stream.event();
      assert.match(frame, /^event:completed\n/);
      await publish({ to: { client: id }, data: 'end' });
      assert.match(await stream.event(), /^data:end\n/);
      stream.close();
      stream = await open(`${base}events?client=${id}`, { 'last-event-id': idOf(frame) });
      assert.match(await stream.event(), /^data:end\n/);
      assert.equal((await done('GET', `tasks/${id}`)).text, '[]');
      stream.close();
    });

    // ---- who may do what

    test('privileged routes need the token', async () => {
      for (const [method, route] of [['POST', 'publish'], ['GET', 'list-registrants'], ['POST', 'notify/k'], ['POST', 'complete/a/b']]) {
        const missing = await refused(method, route, undefined, 401, 'Authorization', { authorization: '' });
        assert.equal(missing.headers.get('www-authenticate'), 'Bearer realm="sse-hub"');
        const wrong = await refused(method, route, undefined, 401, 'Authorization', { authorization: 'Bearer wrong-wrong-wrong-wrong' });
        assert.equal(wrong.headers.get('www-authenticate'), 'Bearer realm="sse-hub", error="invalid_token"');
      }
      assert.equal((await ask('GET', 'make-id/x', undefined, { authorization: '' })).status, 200);
    });

    test('another site’s page changes nothing, and nothing stays of an id that it brings', async () => {
      const id = unique('site_');
      await refused('GET', 'make-id/x', undefined, 403, 'Origin', { authorization: '', ...CROSS });
      await refused('PUT', `listen/${id}/k`, undefined, 403, 'Origin', { authorization: '', ...CROSS });
      const stream = await open(`${base}register-listener/${id}`, CROSS);
      assert.ok(await listed(id));
      stream.close();
      await until(async () => (await listed(id)) === undefined, 'the id is forgotten with its stream');
    });
  });
}
