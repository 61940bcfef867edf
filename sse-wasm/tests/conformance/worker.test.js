import { startWorker } from '../support/workerd.js';
import { TOKEN, conformance } from './suite.js';

const options = { heartbeat: 1000, writeStall: 3000 };

conformance('the Worker and its object in workerd', () => startWorker({ token: TOKEN, options }));
conformance('the Worker and an object that hibernates', () => startWorker({ token: TOKEN, options: { ...options, hibernate: true } }));
