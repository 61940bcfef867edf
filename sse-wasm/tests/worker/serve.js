// The fixture as a process that can be killed: serve.js FOLDER TOKEN OPTIONS tells its parent where it listens, and ends with it.
import { startWorker } from '../support/workerd.js';

const [persist, token, options] = process.argv.slice(2);
const { origin } = await startWorker({ token, persist, options: JSON.parse(options) });
process.once('disconnect', () => process.exit());
process.send(origin);
