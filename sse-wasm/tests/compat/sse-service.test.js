// System G: every row of the table, for the facade and for the original package beside it, with literal bytes.
import { createRequire } from 'node:module';
import { before, mock } from 'node:test';

import { compare } from './compare.js';
import { observe } from './service-script.js';

// As applications of the original load it: one import is changed.
const require = createRequire(import.meta.url);

const rows = {
  G1: 'connectSSE: headers',
  G2: 'client ids',
  G3: 'groups',
  G4: 'metadata',
  G5: 'sending to a client, to all, to a connection',
  G6: 'getClientObj and getAllClientObjs',
  G7: 'onDisconnectCb',
  G8: 'keep-alive',
  G9: 'ordered writes with back-pressure',
};

/** What the facade does. */
const expected = {
  'G1 status': 200,
  'G1 a header of the framework': ['1', 'accept'],
  'G1 how often content-type is there': 1,
  'G1 how often cache-control is there': 1,
  'G1 content-type': 'text/event-stream',
  'G1 cache-control': 'no-cache',
  'G1 x-accel-buffering': 'no',
  'G1 connection': 'keep-alive',
  'G1 first bytes': '\n',
  'G2 what connectSSE returns': [['clientId', 'connections', 'meta'], 'ann', true],
  'G2 connections of an id': 2,
  'G2 an id is made': true,
  'G3 the same id in another group is another client': 1,
  'G3 a client of the group': 'event:message\ndata:for other\n\n',
  'G3 all of the group': 'event:e\ndata:all of other\n\n',
  'G3 sendSSEToAll in an unknown group': undefined,
  'G3 sendSSEToClient in an unknown group': undefined,
  'G3 getClientObj in an unknown group': undefined,
  'G3 setClientMetadata in an unknown group': undefined,
  'G4 metadata of the first connection stays': { n: 1 },
  'G4 setClientMetadata returns the client': true,
  'G4 and replaces': { n: 3 },
  'G4 of an unknown client': undefined,
  'G4 with one argument it is a function of the rest': 'function',
  'G5 to a client': 'event:message\ndata:{"a":1}\n\n',
  'G5 to its other connection': 'event:message\ndata:{"a":1}\n\n',
  'G5 to a client, event and id': 'id:7\nevent:e\ndata:x\n\n',
  'G5 to a client by a function of the rest': 'event:message\ndata:x\n\n',
  'G5 to a client that is promised': 'event:message\ndata:promised\n\n',
  'G5 to an unknown client': '',
  'G5 to all': 'data:[1,2]\n\n',
  'G5 to all, with an event': 'event:e\ndata:x\n\n',
  'G5 to all: another client': ['data:[1,2]\n\n', 'event:e\ndata:x\n\n'],
  'G5 to a connection': 'data:x\n\n',
  'G5 to a connection, with an event': 'event:e\ndata:x\n\n',
  'G5 a number': 'data:5\n\n',
  'G5 a line break in the data': 'data:a\ndata:id:1\n\n',
  'G5 a line break in the event': 'invalid-field',
  'G6 an unknown client': undefined,
  'G6 all of the default group': [[2, { n: 3 }], [1, {}], [1, {}]],
  'G6 all of an unknown group': [],
  'G6 the default group by its name': true,
  'G6 the id "Zoë Ω"': 'event:message\ndata:odd\n\n',
  'G6 the id "a/b?c"': 'event:message\ndata:odd\n\n',
  'G6 the id "~x"': 'event:message\ndata:odd\n\n',
  'G6 the id "100%"': 'event:message\ndata:odd\n\n',
  'G6 the id " "': 'event:message\ndata:odd\n\n',
  'G6 a number as id': 5,
  'G6 after one connection left': 1,
  'G7 calls': 1,
  'G7 the client is gone': undefined,
  'G7 calls when the application ends the response': 1,
  'G8 before 20 s': 'event:message\ndata:before 20 s\n\n',
  'G8 after 20 s': ':keep-alive\n\n',
  'G9 callbacks in order': true,
  'G9 writes in order': true,
  'G9 writes that wait fail when the connection is gone': true,
};

/** Where the original does something else, and why that is meant. Rows are those of the table. */
const differences = {
  'G1 how often content-type is there': { original: 2, why: 'merged whatever the case' },
  'G1 how often cache-control is there': { original: 2, why: 'merged whatever the case' },
  'G3 sendSSEToAll in an unknown group': { original: 'TypeError', why: 'an unknown group is a no-op' },
  'G3 sendSSEToClient in an unknown group': { original: 'TypeError', why: 'an unknown group is a no-op' },
  'G3 getClientObj in an unknown group': { original: 'TypeError', why: 'an unknown group is a no-op' },
  'G3 setClientMetadata in an unknown group': { original: 'TypeError', why: 'an unknown group is a no-op' },
  'G5 to a client, event and id': { original: 'event:e\nid:7\ndata:x\n\n', why: 'the same fields; the id leads, as in all frames of the engine' },
  'G5 a line break in the data': { original: 'data:a\nid:1\n\n', why: 'nothing can be injected by a line break' },
  'G5 a line break in the event': { original: 'event:e\nid:1\ndata:x\n\n', why: 'nothing can be injected by a line break' },
  'G6 all of an unknown group': { original: undefined, why: 'an empty list, not undefined' },
  'G8 after 20 s': { original: 'data::keep-alive\n\n', why: 'a comment, not a message' },
  'G9 writes that wait fail when the connection is gone': { original: false, why: 'pending sends fail on close' },
};

let facade;
let original;
before(async () => {
  facade = await withClock(require('sse-wasm/compat/sse-service'));
  original = await withClock(require('sse-service'));
});

async function withClock(service) {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_795_217_213_271 });
  // The original logs whole ids.
  mock.method(console, 'log', () => {});
  try {
    return await observe(service, mock.timers);
  } finally {
    mock.restoreAll();
    mock.timers.reset();
  }
}

compare({ rows, expected, differences, facade: () => facade, original: () => original });
