// The fixture as a process that can be killed: serve.js FOLDER TOKEN tells its parent where it listens.
import { startWorker } from '../support/workerd.js';

const [persist, token] = process.argv.slice(2);
const { origin } = await startWorker({ token, persist, options: { heartbeat: 1000, writeStall: 3000 } });
process.send(origin);
