// System M: every row of the table, for the facade and for the original package beside it, with literal bytes.
import { createRequire } from 'node:module';
import { before, mock } from 'node:test';

import { compare } from './compare.js';
import { observe } from './mgr-script.js';

// As applications of the original load it: one import is changed.
const require = createRequire(import.meta.url);

const rows = {
  M1: 'the path prefix',
  M2: 'make-id',
  M3: 'the shape of ids',
  M4: 'register-listener',
  M5: 'registering the same id again',
  M6: 'disconnect-registrant',
  M7: 'isRegistered',
  M8: 'notifyCompletions',
  M9: 'submit-task',
  M10: 'listen',
  M11: 'notifyListeners',
  M12: 'who comes and goes is told',
  M13: 'list-registrants',
  M14: 'clear-registrants',
  M15: 'trigger-cleanup',
  M16: 'trigger-adhoc and trigger-ad-hoc',
  M17: 'the sweep',
  M18: 'CORS',
  M19: 'own handlers, without the router',
  M20: 'setVerbose',
  M21: 'many listeners at once',
};

/** What the facade does. Timestamps are T. */
const expected = {
  'M1 the prefix': '/x/y/',
  'M1 a prefix without slashes at its ends is refused': 'yes',
  'M1 nothing is there without the prefix': 404,
  'M2 status': 200,
  'M2 content type': 'text/plain; charset=utf-8',
  'M2 different ids of 400': true,
  'M3 the suffix': 'random',
  'M4 registered when the head is here': true,
  'M4 status': 200,
  'M4 content type': 'text/event-stream',
  'M4 cache control': 'no-cache, no-transform',
  'M4 acknowledgement': 'data:"registered^bob_1"\n\n',
  'M5 keys are kept': 1,
  'M5 the stream before is still open': false,
  'M5 the new stream is the one': 'data:"notify^k"\n\n',
  'M6 a known id': [200, 'ok'],
  'M6 content type': 'text/plain; charset=utf-8',
  'M6 it is gone': false,
  'M6 an unknown id': 'ok',
  'M6 the stream stays open': true,
  'M7 an id that is registered': true,
  'M7 one that is not': false,
  'M8 resolves to': true,
  'M8 to the id': 'data:"completed^{\\"timestamp\\":T,\\"id\\":\\"bob_1\\",\\"taskid\\":\\"t\\"}"\n\n',
  'M8 to another of its user': 'data:"completed^{\\"timestamp\\":T,\\"id\\":\\"bob_2\\",\\"taskid\\":\\"t\\"}"\n\n',
  'M8 to a user whose name begins as that one': 'data:"notify^mark"\n\n',
  'M8 of a user without ids': true,
  'M9 submit-task': 200,
  'M9 submit-task with an unknown id': 404,
  'M9 completion': 'data:"completed^{\\"timestamp\\":T,\\"id\\":\\"ann_1\\",\\"taskid\\":\\"job\\"}"\n\n',
  'M10 listen': 200,
  'M10 listen with an unknown id': 404,
  'M10 keys after listening twice': ['k'],
  'M10 addListenKey with an unknown id throws': 'yes',
  'M11 to one who listens': 'data:"notify^clock-tick"\n\n',
  'M11 to another': 'data:"notify^clock-tick"\n\n',
  'M11 with user names': 'data:"notify^clock-tick"\n\n',
  'M11 to who is not among the user names': 'data:"notify^after"\n\n',
  'M12 when one comes': 'data:"notify^who"\n\n',
  'M12 when one goes': 'data:"notify^who"\n\n',
  'M12 setNotifyListenersChanged': 'function',
  'M12 notifyListenersChanged': 'function',
  'M13 content type': 'application/json',
  'M13 the map': '{"watcher_1":{"listenKeys":["who"],"registered-ts":T}}',
  'M13 order': ['watcher_1', '20', '3'],
  'M13 getListenersJSON': true,
  'M14 answer': [200, 'ok'],
  'M14 content type': 'text/plain; charset=utf-8',
  'M14 who is left': '{}',
  'M15 answer': [200, 'ok'],
  'M15 content type': 'text/plain; charset=utf-8',
  'M15 a millisecond later it is swept': true,
  'M16 trigger-adhoc': 200,
  'M16 trigger-ad-hoc': 200,
  'M16 triggerAdHocResponse': 'function',
  'M17 at exactly an hour': true,
  'M17 after 15 s of silence': ':heartbeat\n\n',
  'M17 a client with a live stream, after an hour': true,
  'M17 the first that grows old is swept': true,
  'M17 the second that grows old is swept': true,
  'M18 origins that may read the stream': '*',
  'M18 OPTIONS make-id/bob': 204,
  'M18 OPTIONS register-listener/bob_7': 204,
  'M18 OPTIONS list-registrants': 204,
  'M19 registerListener without the router': 'data:"registered^own_1"\n\n',
  'M19 it is registered': true,
  'M20 diagnostics while verbose': true,
  'M20 diagnostics while not': false,
  'M21 everyone of 250 is told': 'data:"notify^all"\n\n',
};

/** Where the original does something else, and why that is meant. Rows are those of the table. */
const differences = {
  'M1 a prefix without slashes at its ends is refused': { original: 'no', why: 'a prefix that cannot work is refused' },
  'M2 content type': { original: 'text/html; charset=utf-8', why: 'an id is bare text: what a peer chose is no HTML' },
  'M2 different ids of 400': { original: false, why: 'unique over issued and registered ids' },
  'M3 the suffix': { original: 'the time', why: 'an id is a capability: 130 random bits' },
  'M4 cache control': { original: 'no-cache', why: 'no-transform: a proxy that compresses would buffer events' },
  'M5 the stream before is still open': { original: true, why: 'the stream is replaced, not left open' },
  'M6 content type': { original: 'text/html; charset=utf-8', why: 'plain text and JSON are said to be that' },
  'M8 to a user whose name begins as that one': { original: 'data:"completed^{\\"timestamp\\":T,\\"id\\":\\"bobby_1\\",\\"taskid\\":\\"t\\"}"\n\n', why: 'the exact user name, not what begins with it' },
  'M10 keys after listening twice': { original: ['k', 'k'], why: 'idempotent' },
  'M11 to who is not among the user names': { original: 'data:"notify^clock-tick"\n\n', why: 'restricted to user names' },
  'M12 setNotifyListenersChanged': { original: 'undefined', why: 'documented, not in 0.1.5' },
  'M12 notifyListenersChanged': { original: 'undefined', why: 'documented, not in 0.1.5' },
  'M13 content type': { original: 'text/html; charset=utf-8', why: 'plain text and JSON are said to be that' },
  'M13 order': { original: ['3', '20', 'watcher_1'], why: 'insertion order, whatever ids look like' },
  'M14 content type': { original: 'text/html; charset=utf-8', why: 'plain text and JSON are said to be that' },
  'M15 content type': { original: 'text/html; charset=utf-8', why: 'plain text and JSON are said to be that' },
  'M16 trigger-adhoc': { original: 404, why: 'documented, not in 0.1.5' },
  'M16 trigger-ad-hoc': { original: 404, why: 'documented, not in 0.1.5' },
  'M16 triggerAdHocResponse': { original: 'undefined', why: 'documented, not in 0.1.5' },
  'M17 after 15 s of silence': { original: 'data:"notify^mark"\n\n', why: 'a live stream counts as active: a heartbeat, which clients do not see, finds out whether it lives' },
  'M17 a client with a live stream, after an hour': { original: false, why: 'a live stream counts as active' },
  'M17 the second that grows old is swept': { original: false, why: 're-armed after a sweep that left nobody' },
  'M18 OPTIONS make-id/bob': { original: 200, why: 'OPTIONS is 204 for every route' },
  'M18 OPTIONS register-listener/bob_7': { original: 200, why: 'OPTIONS is 204 for every route' },
  'M18 OPTIONS list-registrants': { original: 200, why: 'OPTIONS is 204 for every route' },
  'M19 registerListener without the router': { original: 'threw', why: 'the manager works without the router' },
  'M19 it is registered': { original: false, why: 'the manager works without the router' },
};

let facade;
let original;
before(async () => {
  original = await withClock(require('@aphorica/server-event-mgr'));
  facade = await withClock(require('sse-wasm/compat/server-event-mgr'));
});

async function withClock(manager) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_795_217_213_271 });
  // The original compares its timer with numbers, which Node's own timers can be.
  const timer = setTimeout(() => {}, 0);
  Object.getPrototypeOf(timer)[Symbol.toPrimitive] ??= () => 1;
  clearTimeout(timer);
  try {
    return await observe(manager, mock.timers);
  } finally {
    mock.timers.reset();
  }
}

compare({ rows, expected, differences, facade: () => facade, original: () => original });
