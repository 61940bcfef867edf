import { startWorker } from '../support/workerd.js';
import { TOKEN, conformance } from './suite.js';

conformance('the Worker and its object in workerd', () => startWorker({ token: TOKEN, options: { heartbeat: 1000, writeStall: 3000 } }));
